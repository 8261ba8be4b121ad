#!/usr/bin/env python3
"""The program imprint-board: options, framing, control port, one DAP client after the other, clean end."""
import os
import random
import re
import signal
import struct
import subprocess

import imptest

LINE_RESET = b"\x12\x40" + b"\xff" * 7 + b"\x00"
READ_DPIDR = b"\x05\x00\x01\x02"
DPIDR_IS = b"\x05\x01\x01" + struct.pack("<I", 0x0BB11477)
NO_ANSWER = b"\x05\x00\x07"


def attach(client):
    assert client(b"\x02\x01") == b"\x02\x01"
    assert client(LINE_RESET) == b"\x12\x00"
    return client(READ_DPIDR)


class Program(imptest.TestCase):
    def run_board(self, *args):
        return subprocess.run([imptest.program("imprint-board"), *args], capture_output=True, text=True, timeout=30)

    def test_help_and_version(self):
        done = self.run_board("--help")
        self.assertEqual(done.returncode, 0)
        for option in ("--chip", "--listen", "--control", "--seed", "--fault", "--port-file"):
            self.assertIn(option, done.stdout)
        done = self.run_board("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"^imprint-board \d+\.\d+\.\d+\n$")

    def test_bad_arguments_are_named(self):
        rows = [
            (["--chip", "z80"], "z80"), (["--seed", "-1"], "seed"), (["--seed", "many"], "seed"), (["--fill", "half"], "fill"),
            (["--packet-size", "32"], "packet-size"), (["--packet-count", "0"], "packet-count"), (["--fault", "rain"], "rain"),
            (["--fault", "stuck-bit 0x99999999 1"], "0x99999999"), (["--fault", "stuck-bit 0 8"], "stuck-bit"),
            (["--load", "/nonexistent"], "/nonexistent"), (["extra"], "extra"), (["--colour", "red"], "colour"),
            (["--serial", ""], "serial"),
        ]
        for args, named in rows:
            done = self.run_board("--listen", "127.0.0.1:0", *args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn(named, done.stderr, args)
            self.assertEqual(done.stdout, "", args)
        for addr in ("127.0.0.1", ":80", "127.0.0.1:x", "nowhere.invalid:1"):
            done = self.run_board("--listen", addr)
            self.assertEqual(done.returncode, 1, addr)
            self.assertIn(addr, done.stderr)

    def test_port_in_use(self):
        board = self.board()
        done = self.run_board("--listen", board.dap)
        self.assertEqual(done.returncode, 1)
        self.assertIn(board.dap, done.stderr)
        board.stop()

    def test_port_file(self):
        path = os.path.join(self.folder(), "ports")
        board = self.board("--port-file", path)
        with open(path, encoding="ascii") as f:
            self.assertEqual(f.read(), f"ready dap={board.dap} control={board.control_addr}\n")
        board.stop()

    def test_ends_on_signals_and_quit(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            board = self.board()
            client = imptest.DapClient(board.dap)
            attach(client)
            board.child.send_signal(number)
            self.assertEqual(board.child.wait(20), 0)
            client.close()
        board = self.board()
        board.control("quit")
        self.assertEqual(board.child.wait(20), 0)


class Dap(imptest.TestCase):
    def test_one_client_then_the_next(self):
        board = self.board()
        first, second = imptest.DapClient(board.dap), imptest.DapClient(board.dap)
        self.assertEqual(attach(first), DPIDR_IS)
        second.send(b"\x00\xf0")  # waits: nobody answers while the first is there
        second.socket.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            second.receive()
        first.close()
        second.socket.settimeout(20)
        self.assertEqual(second.receive(), b"\x00\x01\x11")
        second.close()
        board.stop()

    def test_bad_frames_end_the_connection(self):
        board = self.board()
        for frame in (b"DAX\0\x02\0\x01\0\x00\xf0", b"DAP\0\x02\0\x02\0\x00\xf0", b"DAP\0\xff\xff\x01\0"):
            client = imptest.DapClient(board.dap)
            client.socket.sendall(frame)
            with self.assertRaises(ConnectionError):
                client.receive()
            client.close()
        client = imptest.DapClient(board.dap)
        self.assertEqual(attach(client), DPIDR_IS)
        client.close()
        board.stop()

    def test_frames_in_pieces_and_together(self):
        board = self.board()
        client = imptest.DapClient(board.dap)
        frame = b"DAP\0\x02\0\x01\0\x00\xf0"
        for i in range(len(frame)):
            client.socket.sendall(frame[i:i + 1])
        self.assertEqual(client.receive(), b"\x00\x01\x11")
        client.socket.sendall(frame * 20)
        for _ in range(20):
            self.assertEqual(client.receive(), b"\x00\x01\x11")
        client.close()
        board.stop()

    def test_queued_packets_wait_for_another(self):
        board = self.board("--packet-count", "3")
        client = imptest.DapClient(board.dap)
        attach(client)
        client.send(b"\x7e\x01\x00\xf0")
        client.send(b"\x7e\x01\x00\xfe")
        client.socket.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            client.receive()
        client.socket.settimeout(20)
        client.send(b"\x00\xff")
        self.assertEqual([client.receive() for _ in range(3)],
                         [b"\x7f\x01\x00\x01\x11", b"\x7f\x01\x00\x01\x03", b"\x00\x02\x00\x02"])
        client.close()
        board.stop()


# Firmware of an nRF51 that sends TEXT at 115200 baud on its UART and sleeps: vectors; ENABLE, BAUDRATE, STARTTX; then for each byte TXD,
# and wait for TXDRDY.
TEXT = b"T2 ready\r\n"
SENDER = bytes.fromhex(
    "00200020090000000f480ca10f4a104d425104220f4d4251012383600e4c0f4d0a78002a07d0425107591f42fcd0002707510131f4e730bffde7c046"
    "54322072656164790d0a00000020004000e0d70124050000000500001c0100001c050000")


class Uart(imptest.TestCase):
    def exactly(self, s, size):
        data = b""
        while len(data) < size:
            more = s.recv(size - len(data))
            self.assertTrue(more, data)
            data += more
        return data

    def test_text_of_the_firmware(self):
        """What the chip sends arrives although nobody clocks the wire; each power-on once; the latest client alone."""
        file = os.path.join(self.folder(), "sender.bin")
        with open(file, "wb") as f:
            f.write(SENDER)
        board = self.board("--load", file, "--uart-port", "127.0.0.1:0")
        board.control("power off")
        with imptest.connect(board.ports["uart"]) as s:
            for _ in range(3):
                board.control("power on")
                self.assertEqual(self.exactly(s, len(TEXT)), TEXT)
                self.assertEqual(board.status()["running"], 0)  # asleep
                board.control("power off")
            with imptest.connect(board.ports["uart"]) as later:
                self.assertEqual(s.recv(1), b"")
                later.sendall(b"nobody listens")
                board.control("power on")
                self.assertEqual(self.exactly(later, len(TEXT)), TEXT)
        board.stop()

    def test_in_use(self):
        board = self.board("--uart-port", "127.0.0.1:0")
        done = subprocess.run([imptest.program("imprint-board"), "--listen", "127.0.0.1:0", "--uart-port", board.ports["uart"]],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot listen on", done.stderr)
        board.stop()


class Control(imptest.TestCase):
    def test_socket_and_power(self):
        board = self.board("--seed", "9")
        client = imptest.DapClient(board.dap)
        self.assertEqual(attach(client), DPIDR_IS)
        for off, on in (("remove", "insert"), ("power off", "power on")):
            uid = board.control("uid")
            board.control(off)
            self.assertEqual(attach(client), NO_ANSWER)
            board.control(on)
            self.assertEqual(attach(client), DPIDR_IS)
            self.assertEqual(board.control("uid"), uid)
        client.close()
        board.stop()

    def test_next_is_a_new_blank_chip(self):
        board = self.board("--seed", "9", "--fill", "random")
        seen = {board.control("uid")}
        self.assertNotEqual(board.dump()[:1024], b"\xff" * 1024)
        for _ in range(5):
            uid = board.control("next").split("=")[1]
            self.assertRegex(uid, r"^[0-9A-F]{16}$")
            self.assertNotIn(uid, seen)
            seen.add(uid)
            self.assertEqual(board.dump(), b"\xff" * 262144)
        self.assertEqual(board.control("next 77"), board.control("next 77"))
        board.control("next 78 random")
        self.assertEqual(len(set(board.dump())), 256)
        board.stop()
        again = self.board("--seed", "9", "--fill", "random")
        self.assertIn(again.control("uid"), seen)
        again.stop()

    def test_dump_and_load(self):
        board = self.board()
        folder = self.folder()
        path = os.path.join(folder, "with space.bin")
        data = random.Random(3).randbytes(5000)
        with open(path, "wb") as f:
            f.write(data)
        self.assertEqual(board.control(f'load "{path}" 0x3000'), "bytes=5000")
        self.assertEqual(board.dump(0x3000, 5000), data)
        self.assertEqual(board.dump()[0x3000:0x3000 + 5000], data)
        for line in (f'load "{path}" 0x3ff00', "load /nonexistent 0", f'dump "{path}" 0x3ffff 2', "dump /nonexistent/x",
                     f'dump "{path}" 0 0', "load", "dump a b"):
            with self.assertRaisesRegex(AssertionError, "error"):
                board.control(line)
        board.stop()

    def test_bad_lines(self):
        board = self.board()
        for line in ("", "dance", "next two", "next 1 2", "power", "power maybe", "remove it", "fault", "fault rain", "fault none 1",
                     "fault stuck-bit 0", "fault stuck-bit 0 8", "fault stuck-bit 0x40000 1", 'load "x', "a " * 400):
            with self.assertRaisesRegex(AssertionError, ": error"):
                board.control(line)
        with imptest.connect(board.control_addr) as s:
            s.sendall(b"x" * 5000)
            self.assertIn(b"error line too long", s.recv(100))
        self.assertEqual(board.control("status").split()[0], "present=1")
        board.stop()

    def test_status_counts(self):
        board = self.board("--wire-time")
        board.control("reset-counters")
        client = imptest.DapClient(board.dap)
        before = board.status()
        attach(client)
        after = board.status()
        self.assertEqual(after["packets"] - before["packets"], 3)
        self.assertEqual(after["transfers"] - before["transfers"], 1)
        self.assertEqual(after["swclk"] - before["swclk"], 64 + 46)
        self.assertEqual(after["now_ns"] - before["now_ns"], (64 + 46) * 1000)
        client.close()
        board.stop()

    def test_wall_clock_goes_on_while_idle(self):
        board = self.board()
        first = board.status()["now_ns"]
        second = board.status()["now_ns"]
        self.assertGreater(second, first)
        board.stop()

    def test_faults(self):
        board = self.board()
        board.control("fault wrong-chip")
        client = imptest.DapClient(board.dap)
        self.assertEqual(attach(client), b"\x05\x01\x01" + struct.pack("<I", 0x2BA01477))
        board.control("fault none")
        self.assertEqual(attach(client), DPIDR_IS)
        uid = board.control("uid")
        board.control("fault wrong-variant")
        self.assertEqual(board.dump(0x10000014, 4), struct.pack("<I", 128))
        board.control("fault none")
        self.assertEqual(board.dump(0x10000014, 4), struct.pack("<I", 256))
        self.assertEqual(board.control("uid"), uid)
        client.close()
        board.stop()
        board = self.board("--fault", "stuck-bit 0x1000 3", "--fault", "wrong-variant")
        path = os.path.join(self.folder(), "zero")
        with open(path, "wb") as f:
            f.write(bytes(2))
        board.control(f'load "{path}" 0x1000')
        self.assertEqual(board.dump(0x1000, 2), b"\x08\x00")
        self.assertTrue(re.match(r"[0-9A-F]{16}$", board.control("uid")))
        board.stop()


if __name__ == "__main__":
    imptest.main()
