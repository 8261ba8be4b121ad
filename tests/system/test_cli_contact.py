#!/usr/bin/env python3
"""imprint run --on-contact: a launch for every board that is put in; probes that come and go; probes by their place on USB."""
import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import time

import imptest

WAIT_S = 60  # for a line, on a busy machine
RECIPE = """\
imprint: 1
name: Widget
device: nRF51822
data: {app: {file: app.bin, at: 0x00000000}}
values: {serial: {pool: widget, text: "W-{n:05}"}}
place: [{value: serial, at: 0x00001000, size: 16, pad: 0x00}]
releases: {two: {kind: sap, units: 2, numbers: 1 to 9}}
"""


class Desk(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"),
                        XDG_CONFIG_HOME=os.path.join(self.dir, "config"))
        with open(os.path.join(self.dir, "app.bin"), "wb") as f:
            f.write(bytes(range(256)) * 4)
        with open(os.path.join(self.dir, "recipe.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE)

    def start(self, *args):
        """imprint run, its output a line at a time."""
        child = subprocess.Popen([imptest.program("imprint"), "run", "recipe.yaml", "--on-contact", *args],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.dir, env=self.env)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        child.text = ""
        return child

    def until(self, child, pattern):
        """Reads on until what is new matches; what is behind the match stays for the next call."""
        end = time.monotonic() + WAIT_S
        while True:
            match = re.search(pattern, child.text)
            if match:
                child.text = child.text[match.end():]
                return match
            left = end - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                self.fail(f"no /{pattern}/ in {WAIT_S} s: {child.text!r}")
            some = os.read(child.stdout.fileno(), 65536)
            if not some:
                self.fail(f"it ended; no /{pattern}/: {child.text!r}")
            child.text += some.decode()

    def end(self, child):
        """What it still says, and its status."""
        child.send_signal(signal.SIGINT)
        return self.rest(child)

    def rest(self, child):
        said = child.text + child.stdout.read().decode()
        return said, child.wait(WAIT_S)

    def launches(self):
        path = os.path.join(self.dir, "data/imprint/ledger.db")
        if not os.path.exists(path):
            return 0
        with sqlite3.connect(path) as db:
            return db.execute("SELECT count(*) FROM record").fetchone()[0]

    def test_one_board_after_the_other(self):
        board = self.board("--empty")
        child = self.start("--probe", f"tcp:{board.dap}")
        self.until(child, r"waiting for a board\n")
        for number in (1, 2, 3):
            board.control("next")
            self.until(child, r"PASSED in [^\n]*\n")
            self.until(child, f"W-0000{number}")
            self.until(child, r"done: take the board out\n")
            self.assertEqual(board.dump(0x1000, 7), b"W-0000%d" % number)
            uid = board.control("uid")
            board.control("remove")
            self.until(child, r"waiting for a board\n")
        said, status = self.end(child)
        self.assertIn("summary\n  3 boards: 3 passed\n", said)
        self.assertEqual(status, 0)
        self.assertTrue(uid)

    def test_board_in_place_is_the_first_and_only_once(self):
        board = self.board()
        child = self.start("--probe", f"tcp:{board.dap}", "--result", "result.json")
        self.until(child, r"PASSED")
        self.until(child, r"done: take the board out\n")
        said, status = self.end(child)
        self.assertIn("1 board: 1 passed", said)
        self.assertEqual(status, 0)
        with open(os.path.join(self.dir, "result.json"), encoding="utf-8") as f:
            result = json.load(f)
        self.assertEqual((result["passed"], result["failed"], result["refused"], len(result["launches"])), (1, 0, 0, 1))
        self.assertEqual(self.launches(), 1)

    def test_a_bad_board_does_not_end_it(self):
        board = self.board()
        board.control("fault stuck-bit 0x10 0")
        child = self.start("--probe", f"tcp:{board.dap}")
        self.until(child, r"FAILED in ")
        self.until(child, r"done: take the board out\n")
        board.control("fault none")
        board.control("remove")
        self.until(child, r"waiting for a board\n")
        board.control("next")
        self.until(child, r"PASSED")
        self.until(child, r"done: take the board out\n")
        said, status = self.end(child)
        self.assertIn("2 boards: 1 passed, 1 failed\n  1 x E2107 flash-mismatch\n", said)
        self.assertEqual(status, 1)

    def test_two_probes_of_which_one_goes_away(self):
        one, two = self.board("--empty"), self.board("--empty")
        child = self.start("--probe", f"tcp:{one.dap}", "--probe", f"tcp:{two.dap}")
        for _ in (one, two):
            self.until(child, r"port \S+  waiting for a board\n")
        two.stop()
        self.until(child, f"port {re.escape(two.dap)}  waiting for the probe: ")
        one.control("next")  # the other goes on
        self.until(child, f"port {re.escape(one.dap)}  PASSED")
        again = imptest.Board("--listen", two.dap)
        self.addCleanup(again.kill)
        self.until(child, f"port {re.escape(two.dap)}  PASSED")  # as soon as it is back, with a board
        self.until(child, f"port {re.escape(two.dap)}  done: take the board out")
        said, status = self.end(child)
        self.assertIn("2 boards: 2 passed", said)
        self.assertEqual(status, 0)

    def test_a_probe_that_comes_back_does_not_start_the_same_board_again(self):
        board = self.board()
        child = self.start("--probe", f"tcp:{board.dap}")
        self.until(child, r"done: take the board out\n")
        board.stop()
        self.until(child, r"waiting for the probe: ")
        again = imptest.Board("--listen", board.dap)
        self.addCleanup(again.kill)
        self.until(child, r"done: take the board out\n")
        said, status = self.end(child)
        self.assertIn("1 board: 1 passed", said)
        self.assertEqual(status, 0)

    def test_a_probe_unplugged_in_the_middle(self):
        with open(os.path.join(self.dir, "app.bin"), "wb") as f:
            f.write(os.urandom(200 * 1024))
        with open(os.path.join(self.dir, "recipe.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE.replace("0x00001000", "0x0003F000"))
        board = self.board()
        child = self.start("--probe", f"tcp:{board.dap}")
        self.until(child, r"program\n")
        board.kill()
        self.until(child, r"FAILED in program after [^\n]*E20\d\d")
        self.until(child, r"waiting for the probe: ")
        again = imptest.Board("--listen", board.dap)
        self.addCleanup(again.kill)
        self.until(child, r"done: take the board out\n")
        again.control("remove")
        self.until(child, r"waiting for a board\n")
        again.control("next")
        self.until(child, r"PASSED")
        said, status = self.end(child)
        self.assertIn("2 boards: 1 passed, 1 failed", said)
        self.assertEqual(status, 4)

    def test_ends_when_no_more_units_may_be_made(self):
        board = self.board()
        child = self.start("--probe", f"tcp:{board.dap}", "--release", "two")
        for _ in range(2):
            self.until(child, r"PASSED")
            self.until(child, r"done: take the board out\n")
            board.control("remove")
            self.until(child, r"waiting for a board\n")
            board.control("next")
        self.until(child, r"REFUSED at START +E5001 count-used-up\n")
        said, status = self.rest(child)
        self.assertIn("3 boards: 2 passed, 1 refused", said)
        self.assertEqual(status, 3)

    def test_ends_with_the_boards_at_work(self):
        with open(os.path.join(self.dir, "app.bin"), "wb") as f:
            f.write(os.urandom(200 * 1024))
        with open(os.path.join(self.dir, "recipe.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE.replace("0x00001000", "0x0003F000"))
        board = self.board()
        child = self.start("--probe", f"tcp:{board.dap}")
        self.until(child, r"program\n")
        child.send_signal(signal.SIGINT)
        self.until(child, r"ends with the boards at work; once more cancels them\n")
        said, status = self.rest(child)
        self.assertIn("PASSED", said)
        self.assertEqual(status, 0)
        board.control("next")
        child = self.start("--probe", f"tcp:{board.dap}")
        self.until(child, r"program\n")
        child.send_signal(signal.SIGINT)
        self.until(child, r"once more")
        said, status = self.end(child)
        self.assertIn("E1010 cancelled", said)
        self.assertEqual(status, 2)

    def test_malformed_probe_leaves_no_record(self):
        for spec in ("tcp:127.0.0.1:99999", "usb", "com3:", "tcp:", "gdb:"):
            for more in ((), ("--on-contact",)):
                done = subprocess.run([imptest.program("imprint"), "run", "recipe.yaml", *more, "--probe", spec],
                                      capture_output=True, text=True, timeout=60, env=self.env, cwd=self.dir)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertIn("E1001", done.stderr)
                self.assertIn("--probe", done.stderr)
        done = subprocess.run([imptest.program("imprint"), "run", "recipe.yaml", "--on-contact", "--probe", "gdb:127.0.0.1:1"],
                              capture_output=True, text=True, timeout=60, env=self.env, cwd=self.dir)
        self.assertIn("it needs a probe", done.stderr)
        self.assertEqual(self.launches(), 0)


if __name__ == "__main__":
    imptest.main()
