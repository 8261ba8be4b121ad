#!/usr/bin/env python3
"""The engine in a process of its own against a board in another: over CMSIS-DAP's TCP framing, and over USB (bulk and
HID) through libusb and a mocked device. Programs and verifies; each trouble is told by its code, and nothing hangs."""
import os
import random
import subprocess

import imptest

IMAGE_BYTES = 48 * 1024
SEED = 20261123
TIMEOUT_S = 120
PROXY = {"usb": [], "hid": ["--v1"], "hid-set-report": ["--v1", "--set-report"], "hid-large": ["--v1", "--report-bytes=512"], "both": ["--both"]}


class Paths(imptest.TestCase):
    def image(self):
        print(f"# seed {SEED}")
        path = os.path.join(self.folder(), "image.bin")
        data = random.Random(SEED).randbytes(IMAGE_BYTES)
        with open(path, "wb") as f:
            f.write(data)
        return path, data

    def command(self, board, path, image, *options, spec=None):
        flashcli = imptest.program("flashcli")
        args = [flashcli, spec or (f"tcp:{board.dap}" if path == "tcp" else "usb:"), "nRF51822", image, "0", *options]
        env = dict(os.environ)
        if path != "tcp":
            args = [imptest.program("usb-proxy"), "--board", board.dap, *PROXY[path], "--", *args]
            library = imptest.sanitizer_of(flashcli)
            if library:
                env["LD_PRELOAD"] = library
        return {"args": args, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}

    def flash(self, *args, **more):
        done = subprocess.run(timeout=TIMEOUT_S, **self.command(*args, **more))
        return done.returncode, done.stdout

    def programs(self, path, *options, spec=None):
        board = self.board("--seed", "61", "--fill", "random")
        image, data = self.image()
        before = board.dump()
        status, out = self.flash(board, path, image, *options, spec=spec)
        self.assertEqual(status, 0, out)
        wanted = "tcp:" if path == "tcp" else "hid:" if "hid" in path or spec else "usb:"
        self.assertTrue(out.startswith(wanted), out)
        uid = bytes.fromhex(board.control("uid"))[::-1]  # the board tells it as a number, the engine as memory has it
        self.assertIn(f"UID {uid.hex()}", out)
        self.assertIn(f"verify   {IMAGE_BYTES}/{IMAGE_BYTES}", out)
        after = board.dump()
        self.assertEqual(after[:IMAGE_BYTES], data)
        if "all" in options:
            self.assertEqual(set(after[IMAGE_BYTES:256 * 1024]), {0xFF})
            self.assertEqual(board.status()["mass_erases"], 1)
        else:
            self.assertEqual(after[IMAGE_BYTES:], before[IMAGE_BYTES:], "what was not in the image is untouched")
            self.assertEqual(board.status()["pages_erased"], IMAGE_BYTES // 1024)
        board.stop()

    def test_usb_passes_the_battery_for_targets(self):
        """tests/contract/target.c, case by case: CMSIS-DAP v2, then v1."""
        program = imptest.program("contract-target")
        library = imptest.sanitizer_of(program)
        for path, spec in (("usb", "usb:"), ("hid", "hid:")):
            board = self.board("--seed", "62", "--fill", "random")
            done = subprocess.run([imptest.program("usb-proxy"), "--board", board.dap, *PROXY[path], "--", program, "--probe", spec],
                                  env=dict(os.environ, **({"LD_PRELOAD": library} if library else {})), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
            self.assertEqual(done.returncode, 0, done.stdout[-3000:])
            self.assertEqual(done.stdout.count("\nok "), 8, done.stdout)
            board.stop()

    def test_tcp_programs_pages(self):
        self.programs("tcp", "4000000", "used")

    def test_tcp_programs_after_mass_erase(self):
        self.programs("tcp", "1000000", "all")

    def test_usb_programs_pages(self):
        self.programs("usb", "1000000", "used")

    def test_usb_programs_after_mass_erase(self):
        self.programs("usb", "4000000", "all")

    def test_hid_programs_pages(self):
        self.programs("hid", "1000000", "used")

    def test_hid_programs_after_mass_erase(self):
        self.programs("hid-set-report", "4000000", "all")

    def test_hid_programs_with_large_reports(self):
        self.programs("hid-large", "4000000", "all")

    def test_a_probe_that_offers_both(self):
        self.programs("both", "4000000", "all")
        self.programs("both", "4000000", "all", spec="hid:")

    def fails(self, path, board_options, code, *words):
        board = self.board(*board_options)
        image, _ = self.image()
        status, out = self.flash(board, path, image)
        self.assertEqual(status, 1, out)
        self.assertIn(f"E{code} ", out)
        for word in words:
            self.assertIn(word, out)
        if code != 2107:
            counters = board.status()
            self.assertEqual(counters["pages_erased"] + counters["mass_erases"] + counters["words_programmed"], 0)
        board.stop()

    def test_a_lost_bit(self):
        # the image's own bit there must be 0 for the fault to show
        _, data = self.image()
        bit = next(b for b in range(8) if not data[0x6001] >> b & 1)
        word = data[0x6000:0x6004]
        bad = bytes((word[0], word[1] | 1 << bit, word[2], word[3]))
        for path in ("tcp", "usb"):
            self.fails(path, ["--fault", f"stuck-bit 0x6001 {bit}"], 2107, "verify", "0x00006000",
                       f"expected {word.hex(' ').upper()}, found {bad.hex(' ').upper()}")

    def test_a_wrong_chip(self):
        for path in ("tcp", "usb"):
            self.fails(path, ["--fault", "wrong-chip"], 2101)
            self.fails(path, ["--fault", "wrong-variant"], 2101)

    def test_an_empty_socket(self):
        for path in ("tcp", "usb", "hid"):
            self.fails(path, ["--empty"], 2010)

    def test_no_such_probe(self):
        board = self.board("--serial", "0815")
        image, _ = self.image()
        status, out = self.flash(board, "usb", image, spec="usb:4711")
        self.assertEqual(status, 1, out)
        self.assertIn("E2001 ", out)
        self.assertIn("there are: ", out)
        for spec in ("hid:", "hid:0815"):
            status, out = self.flash(board, "usb", image, spec=spec)
            self.assertEqual(status, 1, out)
            self.assertIn("E2001 ", out)
            self.assertIn("there is no HID probe on USB", out)
        addr = board.dap
        board.stop()
        status, out = self.flash(board, "tcp", image, spec=f"tcp:{addr}")
        self.assertEqual(status, 1, out)
        self.assertIn("E2001 ", out)
        for spec in ("tcp:", "tcp:host:0", "tcp:host:70000", "serial:1", ""):
            status, out = self.flash(board, "tcp", image, spec=spec or "x")
            self.assertIn("E1001 ", out)

    def test_the_probe_dies(self):
        """The board's process is killed in the middle of programming."""
        board = self.board("--fill", "random")
        image, _ = self.image()
        with subprocess.Popen(**self.command(board, "tcp", image, "1000000", "all")) as child:
            seen = ""
            while "program" not in seen:
                some = child.stdout.read(1)
                self.assertNotEqual(some, "", seen)
                seen += some
            board.kill()
            rest = child.stdout.read()
            self.assertEqual(child.wait(TIMEOUT_S), 1, seen + rest)
        self.assertIn("E2004 ", rest)


if __name__ == "__main__":
    imptest.main()
