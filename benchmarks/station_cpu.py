"""benchmarks/program's CPU rows: what a station spends on programming, in CPU time of its process alone (docs/benchmarks.md).
Prints "name value" lines. Programs are found by name in the environment (IMPRINT, IMPRINT_BOARD, IMPRINT_STATION, REPLAY).

    station_cpu.py [MIB]
"""
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
import impstation  # noqa: E402
import imptest  # noqa: E402

SEED = 20261122
FLASH = 0x08000000
UNIT_BYTES = 128 * 1024  # the whole flash of fastflash
PAIRS = 5
GANG = 16
GANG_ROUNDS = 5
LOOK_S = 0.05

RECIPE = """\
imprint: 1
name: Bench
device: STM32F103CB
connection: {swd: 10 MHz}
data: {app: {file: app.bin, at: 0x08000000}}
steps:
  - erase: all
  - program: [app]
  - verify: checksum
  - reset: run
"""


def cpu_seconds(pid):
    """CPU time of a process, all its threads (Linux: CPUCLOCK_SCHED of a process)."""
    return time.clock_gettime((~pid << 3) | 2)


class Recorder(threading.Thread):
    """A relay before a board that keeps what the engine sends over one connection."""

    def __init__(self, board):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.board, self.packets = board, b""
        self.start()

    def run(self):
        host, _ = self.listener.accept()
        board = imptest.connect(self.board)
        for s in (host, board):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self.copy, args=(board, host, None), daemon=True)
        back.start()
        kept = []
        self.copy(host, board, kept)
        self.packets = b"".join(kept)
        back.join()

    @staticmethod
    def copy(source, sink, kept):
        while some := source.recv(65536):
            if kept is not None:
                kept.append(some)
            sink.sendall(some)
        sink.shutdown(socket.SHUT_WR)


class Rig:
    """Boards, an image, and stations for them."""

    def __init__(self, folder):
        self.folder = folder
        self.env = dict(os.environ, XDG_DATA_HOME=self.path("data"), XDG_CONFIG_HOME=self.path("config"))
        self.app = random.Random(SEED).randbytes(UNIT_BYTES)
        for name, content in (("app.bin", self.app), ("bench.yaml", RECIPE.encode())):
            with open(self.path(name), "wb") as f:
                f.write(content)
        self.imprint("key", "new", "author", "author", "--dir", folder)
        self.imprint("key", "new", "image", "image", "--dir", folder)
        self.imprint("build", self.path("bench.yaml"), "-o", self.path("bench.impo"))
        self.imprint("seal", self.path("bench.impo"), "--kind", "sap", "--author-key", self.path("author.key"),
                     "--encrypt-to", self.path("image.pub"), "-o", self.path("bench.imp"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def imprint(self, *args):
        return impstation.imprint(*args, env=self.env)

    def station(self, name, addresses):
        subprocess.run([imptest.program("imprint-station"), "init", "--data", self.path(name), "--name", name,
                        *[f"tcp:{address}" for address in addresses]], check=True, capture_output=True)
        station = impstation.Station(self.path(name))
        with open(self.path("author.pub"), encoding="utf-8") as f:
            station.post("/v1/trust", {"name": "author", "public_key": f.read()})
        fingerprint = station.get("/v1/keys")["sealing"]["fingerprint"]
        self.imprint("key", "grant", self.path("image.key"), "--socket", station.socket, "--fingerprint", fingerprint, "--yes")
        station.load(self.path("bench.imp"))
        return station

    def check(self, boards):
        """The outside check."""
        for board in boards:
            if board.dump(FLASH, UNIT_BYTES) != self.app:
                sys.exit("station_cpu: a chip's memory is not what it must be")


class Launches:
    """Launches on a station. Looks at one as rarely as it can, for looking is CPU time too: not before the last one's time is over."""

    def __init__(self, station):
        self.station = station
        self.seconds = 0.0

    def run(self, ports="all"):
        """One unit on each of the ports."""
        begin = time.monotonic()
        waiting = {one["launch"] for one in self.station.launch("Bench", ports)["launches"]}
        time.sleep(self.seconds)
        while waiting:
            one = min(waiting)
            state = self.station.get(f"/v1/launches/{one}")["state"]
            if state in ("failed", "refused"):
                sys.exit(f"station_cpu: {self.station.get(f'/v1/launches/{one}')}")
            if state == "passed":
                waiting.discard(one)
            else:
                time.sleep(LOOK_S)
        self.seconds = time.monotonic() - begin

    def measure(self, units, ports="all"):
        """CPU seconds of so many rounds."""
        begin = cpu_seconds(self.station.child.pid)
        for _ in range(units):
            self.run(ports)
        return cpu_seconds(self.station.child.pid) - begin


def ratio_to_replay(rig, mib):
    board = imptest.Board("--seed", "1", chip="fastflash")
    recorder = Recorder(board.dap)
    with rig.station("recorded", [recorder.address]) as station:
        Launches(station).run()
    recorder.join()
    with open(rig.path("packets"), "wb") as f:
        f.write(recorder.packets)
    units = mib * 1024 * 1024 // UNIT_BYTES
    ratios, ours = [], []
    host, port = board.dap.split(":")
    with rig.station("one", [board.dap]) as station:
        launches = Launches(station)
        launches.run()  # a first one, so that everything is in place
        for _ in range(PAIRS):
            engine = launches.measure(units)
            rig.check([board])
            replay = float(subprocess.run([imptest.program("replay"), host, port, rig.path("packets"), str(units)],
                                          check=True, capture_output=True, text=True).stdout)
            print(f"station_cpu: {engine:.3f} s, replay {replay:.3f} s", file=sys.stderr, flush=True)
            ours.append(engine / mib)
            ratios.append(engine / replay)
    board.stop()
    print(f"station.cpu_s_per_mib {statistics.median(ours):.5f}")
    print(f"station.cpu_ratio_to_replay {statistics.median(ratios):.3f}", flush=True)


def ratio_of_gang(rig):
    boards = [imptest.Board("--seed", str(i + 1), chip="fastflash") for i in range(GANG)]
    with rig.station("gang", [board.dap for board in boards]) as station:
        single, gang = Launches(station), Launches(station)
        gang.run()
        ratios = []
        for _ in range(GANG_ROUNDS):
            one = single.measure(GANG, ["1"]) / GANG
            all_of_them = gang.measure(1)
            print(f"station_cpu: one {one:.4f} s, {GANG} {all_of_them:.4f} s", file=sys.stderr, flush=True)
            ratios.append(all_of_them / (GANG * one))
        rig.check(boards)
    for board in boards:
        board.stop()
    print(f"gang.{GANG}.cpu_ratio {statistics.median(ratios):.3f}", flush=True)


def main():
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    folder = tempfile.mkdtemp(prefix="imprint-bench-")
    try:
        rig = Rig(folder)
        ratio_to_replay(rig, mib)
        ratio_of_gang(rig)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
