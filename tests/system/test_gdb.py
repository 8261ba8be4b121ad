#!/usr/bin/env python3
"""Programming through GDB servers that others wrote: QEMU's micro:bit by its own flash controller, until MicroPython's prompt
comes; a virtual board behind OpenOCD. Each trouble is told by its code, and nothing hangs."""
import json
import os
import random
import re
import socket
import subprocess
import threading

import imptest

FIRMWARE = "/usr/share/firmware-microbit-micropython/firmware.hex"
SERIAL_AT = 0x3BC00  # of examples/microbit.yaml
IMAGE_BYTES = 8 * 1024
SEED = 20261124
TIMEOUT_S = 120
MERGED = ["sh", "-c", 'exec "$@" 2>&1', "sh"]  # what says that it is ready may go to standard error


class Gdb(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"), XDG_CONFIG_HOME=os.path.join(self.dir, "config"))

    def qemu(self, *options):
        self.prompt = socket.socket(socket.AF_UNIX)  # QEMU connects to it once the debugger is there
        self.addCleanup(self.prompt.close)
        self.prompt.settimeout(TIMEOUT_S)
        self.prompt.bind(os.path.join(self.dir, "serial"))
        self.prompt.listen(1)
        process = imptest.Process(
            [*MERGED, imptest.program("qemu-system-arm"), "-M", "microbit", "-S", "-display", "none", "-monitor", "none",
             "-serial", f"unix:{self.dir}/serial",
             "-chardev", "socket,id=gdb,host=127.0.0.1,port=0,server=on,wait=on,nodelay=on", "-gdb", "chardev:gdb", *options],
            r"waiting for connection on: \S*127\.0\.0\.1:(\d+)")
        self.addCleanup(process.kill)
        return f"127.0.0.1:{process.ready.group(1)}"

    def openocd(self, board):
        process = imptest.Process(
            [*MERGED, imptest.program("usb-proxy"), "--board", board.dap, "--", imptest.program("openocd"),
             "-c", "adapter driver cmsis-dap", "-c", "cmsis_dap_backend usb_bulk", "-c", "transport select swd",
             "-f", "target/nrf51.cfg", "-c", "gdb_port 0; tcl_port disabled; telnet_port disabled", "-c", "gdb_report_data_abort enable", "-c", "adapter speed 4000"],
            r"Listening on port (\d+) for gdb connections")
        self.addCleanup(process.kill)
        self.addCleanup(process.child.terminate)  # first: OpenOCD ends with the proxy
        return f"127.0.0.1:{process.ready.group(1)}"

    def until(self, stream, text):
        seen = ""
        while not seen.endswith(text):
            some = stream.recv(1)
            self.assertTrue(some, seen)
            seen += some.decode(errors="replace")
        return seen

    def ask_python(self, stream, line):
        """MicroPython's prompt loses characters that come fast: each is waited for."""
        for char in line:
            stream.sendall(char.encode())
            self.until(stream, char)
        stream.sendall(b"\r")
        return self.until(stream, ">>> ")

    def flash(self, addr, image, *options):
        done = subprocess.run([imptest.program("flashcli"), f"gdb:{addr}", "nRF51822", image, "0", *options],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
        return done.returncode, done.stdout

    def image(self):
        print(f"# seed {SEED}")
        data = random.Random(SEED).randbytes(IMAGE_BYTES)
        path = os.path.join(self.dir, "image.bin")
        with open(path, "wb") as f:
            f.write(data)
        return path, data

    def test_a_recipe_boots_in_qemu(self):
        if not os.path.exists(FIRMWARE):
            self.skipTest("no MicroPython here")
        addr = self.qemu()
        recipe = os.path.join(os.environ["IMPRINT_SOURCE"], "examples", "microbit.yaml")
        done = subprocess.run([imptest.program("imprint"), "run", recipe, "--probe", f"gdb:{addr}", "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("MB-000001", json.dumps(json.loads(done.stdout)))
        with self.prompt.accept()[0] as serial:
            serial.settimeout(TIMEOUT_S)
            self.assertIn("MicroPython v1.9.2", self.until(serial, ">>> "))
            self.ask_python(serial, "import machine")
            for i, text in enumerate((b"MB-0", b"0000", b"1\0\0\0")):
                answer = self.ask_python(serial, f"print(machine.mem32[{SERIAL_AT + 4 * i}])")
                numbers = re.findall(r"^(-?\d+)\r?$", answer, re.M)
                self.assertEqual([int(n) & 0xFFFFFFFF for n in numbers], [int.from_bytes(text, "little")], answer)

    def relay(self, addr, disturb):
        """A server that passes everything on; disturb sees each piece from the other side."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def pump(source, sink, change):
            try:
                while some := source.recv(65536):
                    sink.sendall(change(some))
            except OSError:
                pass
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        def serve():
            near, _ = listener.accept()
            far = imptest.connect(addr)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            other = threading.Thread(target=pump, args=(near, far, lambda some: some), daemon=True)
            other.start()
            pump(far, near, disturb)
            other.join()
            near.close()
            far.close()

        threading.Thread(target=serve, daemon=True).start()
        return "127.0.0.1:%d" % listener.getsockname()[1]

    def test_damaged_packets_are_asked_for_again(self):
        image, _ = self.image()
        count = {"pieces": 0, "damaged": 0}

        def damage(some):
            count["pieces"] += 1
            if count["pieces"] % 5 == 0 and b"#" in some and len(some) > 8:
                at = some.index(b"#") - 1
                count["damaged"] += 1
                return some[:at] + bytes([some[at] ^ 1]) + some[at + 1:]
            return some

        status, out = self.flash(self.relay(self.qemu(), damage), image, "0", "used")
        self.assertEqual(status, 0, out)
        self.assertGreater(count["damaged"], 4)

    def test_the_server_goes_away(self):
        image, _ = self.image()
        count = {"pieces": 0}

        def cut(some):
            count["pieces"] += 1
            if count["pieces"] == 100:
                raise OSError("cut")
            return some

        status, out = self.flash(self.relay(self.qemu(), cut), image, "0", "used")
        self.assertEqual(status, 1, out)
        self.assertIn("E2004 ", out)

    def identify(self, addr):
        done = subprocess.run([imptest.program("imprint"), "target", "identify", "--probe", f"gdb:{addr}", "--json"],
                              capture_output=True, text=True, timeout=TIMEOUT_S, env=self.env)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_identify(self):
        result = self.identify(self.qemu())
        self.assertIn("Cortex-M0", result["core"])
        self.assertEqual([d["device"] for d in result["devices"]], ["nRF51822_xxAA"])
        board = self.board()
        uid = bytes.fromhex(board.control("uid"))[::-1].hex()
        result = self.identify(self.openocd(board))
        self.assertEqual(result["devices"], [{"device": "nRF51822_xxAA", "uid": uid, "locked": False}])
        self.assertNotIn("dpidr", result)
        self.assertEqual((board.status()["mass_erases"], board.status()["words_programmed"]), (0, 0))

    def test_a_board_behind_openocd(self):
        board = self.board("--seed", "71", "--fill", "random")
        image, data = self.image()
        before = board.dump()
        status, out = self.flash(self.openocd(board), image, "0", "used")
        self.assertEqual(status, 0, out)
        uid = bytes.fromhex(board.control("uid"))[::-1]
        self.assertIn(f"UID {uid.hex()}", out)
        after = board.dump()
        self.assertEqual(after[:IMAGE_BYTES], data)
        self.assertEqual(after[IMAGE_BYTES:], before[IMAGE_BYTES:], "what was not in the image is untouched")
        board.stop()

    def test_a_lost_bit_behind_openocd(self):
        image, data = self.image()
        bit = next(b for b in range(8) if not data[0x1001] >> b & 1)
        board = self.board("--fault", f"stuck-bit 0x1001 {bit}")
        status, out = self.flash(self.openocd(board), image, "0", "all")
        self.assertEqual(status, 1, out)
        self.assertIn("E2107 verify", out)
        self.assertIn("0x00001000", out)
        board.stop()

    def test_a_wrong_chip_behind_openocd(self):
        image, _ = self.image()
        board = self.board("--fault", "wrong-variant")
        status, out = self.flash(self.openocd(board), image, "0", "used")
        self.assertEqual(status, 1, out)
        self.assertIn("E2101 ", out)
        counters = board.status()
        self.assertEqual(counters["pages_erased"] + counters["mass_erases"] + counters["words_programmed"], 0)
        board.stop()

    def battery(self, addr):
        """The battery of tests/contract/target.c, case by case through this server."""
        done = subprocess.run([imptest.program("contract-target"), "--gdb", addr],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertEqual(len(re.findall(r"^ok \d+ /contract/target/elsewhere/", done.stdout, re.M)), 8, done.stdout)

    def test_openocd_passes_the_battery_for_targets(self):
        board = self.board("--seed", "72", "--fill", "random")
        self.battery(self.openocd(board))
        board.stop()

    def test_qemu_passes_the_battery_for_targets(self):
        if not os.path.exists(FIRMWARE):
            self.skipTest("no MicroPython here")
        self.battery(self.qemu("-device", f"loader,file={FIRMWARE}"))  # QEMU ends when an empty chip runs

    def test_no_server(self):
        image, _ = self.image()
        for answer, code in ((None, 2004), (b"$OK#00" * 8, 2006), (b"HTTP/1.1 400 Bad Request\r\n\r\n", 2004)):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                addr = "127.0.0.1:%d" % listener.getsockname()[1]

                def serve():
                    while True:  # who hears nothing comes again for a while
                        try:
                            peer, _ = listener.accept()
                        except OSError:
                            return
                        peer.recv(1)
                        if answer:
                            peer.sendall(answer)
                        peer.shutdown(socket.SHUT_WR)
                        while peer.recv(4096):
                            pass
                        peer.close()
                thread = threading.Thread(target=serve, daemon=True)
                thread.start()
                status, out = self.flash(addr, image)
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(TIMEOUT_S)
                self.assertEqual(status, 1, out)
                self.assertIn(f"E{code} ", out)
        status, out = self.flash(addr, image)
        self.assertIn("E2001 ", out)
        status, out = self.flash("host:0", image)
        self.assertIn("E1001 ", out)


if __name__ == "__main__":
    imptest.main()
