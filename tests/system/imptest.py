"""What the system tests share: a TAP runner for unittest, processes that end with the test, virtual boards.

    import imptest
    class Something(imptest.TestCase): ...
    if __name__ == "__main__":
        imptest.main()

Programs are found by name in the environment, as tests/system/meson.build sets it: IMPRINT_BOARD, USB_PROXY, and so on.
"""
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

READY_S = 20  # for a program to say that it is ready
END_S = 20    # for a program to end after SIGTERM


def program(name):
    """The path of a program of this build, or of the system."""
    path = os.environ.get(name.upper().replace("-", "_")) or shutil.which(name)
    if not path:
        raise unittest.SkipTest(f"no {name} here")
    return path


def sanitizer_of(path):
    """The sanitizer library that a program is linked with: it must come first in LD_PRELOAD."""
    for line in subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        if "libasan" in line or "libtsan" in line:
            return line.split()[2]
    return None


class TapResult(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.number = 0

    def _line(self, ok, test, more=""):
        self.number += 1
        print(f"{'ok' if ok else 'not ok'} {self.number} {test.id()}{more}", file=self.out, flush=True)

    def _bad(self, test, err):
        self._line(False, test)
        for line in "".join(traceback.format_exception(*err)).splitlines():
            print(f"# {line}", file=self.out, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line(True, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._bad(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._bad(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line(True, test, f" # SKIP {reason}")


def main():
    module = sys.modules["__main__"]
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    if len(sys.argv) > 1:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:], module)
    print(f"1..{suite.countTestCases()}", flush=True)
    result = TapResult(sys.stdout)
    suite.run(result)
    # setUpClass and the like report errors that belong to no test: the plan then does not match, and the status says it
    sys.exit(0 if result.wasSuccessful() else 1)


class Process:
    """A program that writes one line when it is ready, and ends on SIGTERM."""

    def __init__(self, args, ready, env=None, cwd=None):
        self.args = args
        self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=self.log, env=env, cwd=cwd)
        self.ready = self._wait_ready(ready)

    def _wait_ready(self, ready):
        end = time.monotonic() + READY_S
        text = b""
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.child.stdout], [], [], left)[0]:
                self.stop()
                raise AssertionError(f"{self.args[0]} was not ready in {READY_S} s: {text!r} {self.errors()}")
            some = os.read(self.child.stdout.fileno(), 4096)
            if not some:
                self.child.wait()
                raise AssertionError(f"{self.args[0]} ended with {self.child.returncode}: {self.errors()}")
            text += some
            match = re.search(ready, text.decode(errors="replace"))
            if match:
                return match

    def errors(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self, expect=0):
        """SIGTERM, and the exit status must be the expected one."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            status = self.child.wait(END_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.args[0]} did not end in {END_S} s") from None
        finally:
            self.child.stdout.close()
        if status != expect:
            raise AssertionError(f"{self.args[0]} ended with {status}: {self.errors()}")

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()


def connect(addr):
    host, port = addr.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=30)


class Board(Process):
    """imprint-board on ports of its own. Further options as arguments."""

    def __init__(self, *options, chip="nrf51822"):
        super().__init__([program("imprint-board"), "--chip", chip, "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0",
                          *options], r"ready (dap=\S+ control=[^\n]+)\n")
        self.ports = dict(word.split("=", 1) for word in self.ready.group(1).split())
        self.dap = self.ports["dap"]
        self.control_addr = self.ports["control"]

    def control(self, line):
        """One control command; its reply without `ok`. An `error` reply is an assertion."""
        with connect(self.control_addr) as s, s.makefile("rw") as f:
            f.write(line + "\n")
            f.flush()
            reply = f.readline().strip()
        if reply.split(" ")[0] != "ok":
            raise AssertionError(f"{line}: {reply}")
        return reply[3:]

    def status(self):
        return {k: int(v) for k, v in (word.split("=") for word in self.control("status").split())}

    def dump(self, addr=None, size=None):
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "dump")
            self.control(f'dump "{name}"' + (f" {addr} {size}" if size else ""))
            with open(name, "rb") as f:
                return f.read()


class DapClient:
    """Raw CMSIS-DAP packets over TCP."""

    def __init__(self, addr):
        self.socket = connect(addr)

    def send(self, packet):
        self.socket.sendall(b"DAP\0" + struct.pack("<HBB", len(packet), 1, 0) + packet)

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            some = self.socket.recv(size - len(data))
            if not some:
                raise ConnectionError("the board closed the connection")
            data += some
        return data

    def receive(self):
        head = self._exactly(8)
        size, kind, _ = struct.unpack("<HBB", head[4:])
        assert head[:4] == b"DAP\0" and kind == 2, head
        return self._exactly(size)

    def __call__(self, packet):
        self.send(packet)
        return self.receive()

    def close(self):
        self.socket.close()


class TestCase(unittest.TestCase):
    def folder(self):
        path = tempfile.mkdtemp(prefix="imprint-test-")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def board(self, *options, **more):
        board = Board(*options, **more)
        self.addCleanup(board.kill)
        return board
