#!/usr/bin/env python3
"""./demo --once with the programs of this build: it ends with 0, says what it must say, and leaves nothing behind; and when a
board is faulty it does not end with 0."""
import os
import pty
import select
import subprocess
import time

import imptest

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAMS = {"IMPRINT": "cli/imprint", "IMPRINT_BOARD": "board/imprint-board", "IMPRINT_STATION": "station/imprint-station",
            "IMPRINT_CLOUD": "cloud/imprint-cloud"}


def processes_that_name(text):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


class Demo(imptest.TestCase):
    def setUp(self):
        for needed in ("qemu-system-arm",):
            imptest.program(needed)
        if not os.path.exists("/usr/share/firmware-microbit-micropython/firmware.hex"):
            self.skipTest("no firmware-microbit-micropython here")
        self.dir = self.folder()
        self.tmp = os.path.join(self.dir, "tmp")
        os.mkdir(self.tmp)
        self.build = os.path.join(self.dir, "build")
        for name, path in PROGRAMS.items():
            path = os.path.join(self.build, "src", path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(imptest.program(name.lower()), path)

    def demo(self):
        done = subprocess.run([os.path.join(SOURCE, "demo"), "--once", "--build", self.build], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=570, env=dict(os.environ, TMPDIR=self.tmp))
        self.assertEqual(os.listdir(self.tmp), [], "a folder is left behind")
        self.assertEqual(processes_that_name(self.dir), [], "processes are left behind")
        return done

    def until_ctrl_c(self, text):
        """On a terminal: waits until it says text, then presses Ctrl-C. What it said, and its exit status."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["TMPDIR"] = self.tmp
            os.execv(os.path.join(SOURCE, "demo"), ["demo", "--build", self.build])
        said, pressed, end = "", False, time.monotonic() + 300
        try:
            while select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
                some = os.read(terminal, 65536)
                if not some:
                    break
                said += some.decode(errors="replace")
                if text in said and not pressed:
                    pressed = os.write(terminal, b"\x03") == 1
        except OSError:  # the other side of the terminal is closed
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
        self.assertTrue(pressed, said)
        self.assertEqual(os.listdir(self.tmp), [], "a folder is left behind")
        self.assertEqual(processes_that_name(self.dir), [], "processes are left behind")
        return said, status

    def test_stays_up_on_a_terminal(self):
        said, status = self.until_ctrl_c("Ctrl-C here ends all of it")
        self.assertEqual(status, 0, said)
        self.assertIn("\033[", said)  # live bars
        self.assertIn("and it stays up", said)

    def test_interrupted(self):
        said, status = self.until_ctrl_c("launching on four boards")
        self.assertEqual(status, 130, said)
        self.assertNotIn("two passed", said)

    def test_everything_as_described(self):
        done = self.demo()
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, said)
        for line in ("ok the chip's own ID was read",
                     "ok the firmware's text can be read in the object, and not in the image",
                     "ok the image is at the station and can be launched",
                     "ok all four passed",
                     "ok two passed and two were refused",
                     "ok six units have six different serial numbers",
                     "ok and six different chip IDs",
                     "E5003 image-paused",
                     "ok resumed, it says again that the count is used up",
                     "ok six records, all passed",
                     "ok the CSV has a heading and six lines",
                     "ok the JOB does not start without its cloud",
                     "ok the station counts for itself",
                     "ok MicroPython reads its unit's own serial number",
                     "== everything came out as described"):
            self.assertIn(line, said)
        self.assertEqual(said.count("ok its chip was not touched"), 2)
        self.assertNotIn("NOT AS DESCRIBED", said)

    def test_a_faulty_board_is_noticed(self):
        board = os.path.join(self.build, "src", "board", "imprint-board")
        real = os.readlink(board)
        os.unlink(board)
        with open(board, "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\nexec "{real}" "$@" --fault "stuck-bit 0x1004 3"\n')
        os.chmod(board, 0o755)
        done = self.demo()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("E2107 flash-mismatch", done.stdout)
        self.assertIn("NOT AS DESCRIBED: imprint run", done.stderr)
        self.assertNotIn("everything came out", done.stdout)


if __name__ == "__main__":
    imptest.main()
