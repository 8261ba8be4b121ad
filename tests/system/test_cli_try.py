#!/usr/bin/env python3
"""`imprint try`: a recipe on a virtual board that the command starts and ends itself, as the CI of a firmware project runs it."""
import json
import os
import re
import struct
import subprocess

import imptest

RECIPE = """\
imprint: 1
name: Widget
device: {device}
data: {{app: {{file: app.bin, at: {at}}}}}
values:
  serial: {{pool: widget-serial, text: "W-{{n:05}}"}}
place:
  - {{value: serial, at: {serial}, size: 12, pad: 0x00}}
releases:
  two: {{kind: sap, units: 2, numbers: 700 to 701}}
"""
CHIPS = {"nRF51822_xxAA": (0, 0x8000), "STM32F103xB": (0x08000000, 0x08008000), "STM32G071xB": (0x08000000, 0x08008000)}


class Try(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        os.mkdir(os.path.join(self.dir, "tmp"))
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"), TMPDIR=os.path.join(self.dir, "tmp"))
        with open(os.path.join(self.dir, "app.bin"), "wb") as f:
            f.write(struct.pack("<II", 0x20001000, 0x41).ljust(0x40, b"\0") + b"\xfe\xe7" + bytes(range(256)) * 8)

    def recipe(self, device, text=RECIPE):
        at, serial = CHIPS.get(device, (0, 0x8000))
        with open(os.path.join(self.dir, "recipe.yaml"), "w", encoding="utf-8") as f:
            f.write(text.format(device=device, at=hex(at), serial=hex(serial)))

    def imprint(self, *args):
        return subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=120,
                              env=self.env, cwd=self.dir)

    def nothing_left(self):
        self.assertEqual(os.listdir(os.path.join(self.dir, "tmp")), [])
        self.assertFalse(os.path.exists(os.path.join(self.dir, "data")))

    def test_each_chip_passes_and_leaves_nothing(self):
        for device in CHIPS:
            with self.subTest(device):
                self.recipe(device)
                for _ in range(2):  # the first number both times: nothing was used up
                    done = self.imprint("try", "recipe.yaml", "--json")
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    result = json.loads(done.stdout)
                    self.assertEqual([n["text"] for n in result["numbers"]], ["W-00001"])
                    self.assertEqual(result["result"], "passed")
                self.nothing_left()

    def test_release_holds(self):
        self.recipe("nRF51822_xxAA")
        done = self.imprint("try", "recipe.yaml", "--release", "two", "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(json.loads(done.stdout)["numbers"][0]["text"], "W-00700")

    def test_the_board_has_what_the_recipe_wants(self):
        """A supply that is switched, and a serial line: here one on which nobody says anything."""
        self.recipe("STM32F103xB", RECIPE + "power: {{volts: 3.3 V, limits: 3.2 V to 3.4 V, off-at-end: true}}\nfinally: [{{power: off}}]\n")
        done = self.imprint("try", "recipe.yaml", "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("power", json.loads(done.stdout)["phase_ms"])
        self.recipe("STM32F103xB", RECIPE + "steps: [erase: all, program, verify: checksum, {{run: {{expect-text: up, within: 50 ms}}}}]\n")
        done = self.imprint("try", "recipe.yaml", "--json")
        self.assertEqual(json.loads(done.stdout)["error"]["name"], "text-missing")
        self.nothing_left()

    def test_dates_need_no_time_server(self):
        self.recipe("nRF51822_xxAA", RECIPE.replace("W-{{n:05}}", "W-{{date:yy}}-{{n:05}}"))
        done = self.imprint("try", "recipe.yaml", "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_failures_are_told(self):
        self.recipe("nRF51822_xxAA", RECIPE + "steps: [erase: used, program: all]\n")
        done = self.imprint("try", "recipe.yaml")
        self.assertEqual(done.returncode, 2)
        self.assertIn("E4007", done.stderr)
        self.recipe("nRF51822_xxAA")
        self.env["IMPRINT_BOARD"] = "/bin/false"
        done = self.imprint("try", "recipe.yaml")
        self.assertEqual(done.returncode, 5)
        self.assertIn("imprint-board did not start", done.stderr)
        self.env["IMPRINT_BOARD"] = "/nowhere/imprint-board"
        done = self.imprint("try", "recipe.yaml")
        self.assertIn("/nowhere/imprint-board", done.stderr)
        self.nothing_left()

    def test_the_example_workflow(self):
        """Its commands, as they stand there."""
        path = os.path.join(os.environ["IMPRINT_SOURCE"], "examples", "ci", "firmware.yml")
        with open(path, encoding="utf-8") as f:
            commands = re.findall(r"run: (imprint .*)", f.read())
        self.assertEqual([c.split()[1] for c in commands], ["check", "try"])
        self.recipe("STM32F103xB")
        for command in commands:
            done = self.imprint(*command.split()[1:])
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(os.path.join(self.dir, "try.json"), encoding="utf-8") as f:
            self.assertTrue(json.load(f)["ok"])


if __name__ == "__main__":
    imptest.main()
