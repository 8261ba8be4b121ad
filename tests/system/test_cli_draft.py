#!/usr/bin/env python3
"""A recipe before anything is built: imprint new, imprint check, variables."""
import json
import os
import re
import subprocess

import imptest

RECIPE = """\
imprint: 1
name: Widget ${COLOUR}
version: "${VERSION}"
device: nRF51822
data: {app: {file: app.bin, at: 0x00000000}}
releases: {bench: {kind: sap, units: "${UNITS}"}}
"""
VARIABLES = ["-D", "COLOUR=red", "-DVERSION=1.10", "--define", "UNITS=5"]


class Draft(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_DATA_HOME=self.path("data"), XDG_CONFIG_HOME=self.path("config"))
        self.write("app.bin", bytes(range(256)))
        self.write("recipe.yaml", RECIPE.encode())

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def imprint(self, *args, status=0):
        done = subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=60, env=self.env,
                              cwd=self.dir)
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def test_new(self):
        for device in ("nRF51822", "STM32F103CB"):
            name = f"{device}.yaml"
            self.imprint("new", "--device", device, name)
            self.assertIn("firmware.hex", self.imprint("check", name, status=2))
            self.write("firmware.hex", b":0400000001020304F2\n:00000001FF\n" if device == "nRF51822" else
                       b":020000040800F2\n:0400000001020304F2\n:00000001FF\n")
            self.assertIn("no faults, 0 warnings", self.imprint("check", name))
            # with all its comments taken off the recipe is right as well: what it offers can be used
            with open(self.path(name), encoding="utf-8") as f:
                text = f.read()
            self.write("all.yaml", re.sub(r"(?m)^#(?=(  )?[-a-z])", "", text).encode())
            self.assertIn("no faults, 0 warnings", self.imprint("check", "all.yaml"))
        # from the firmware: what comes out can be run
        os.mkdir(self.path("build"))
        self.write("build/my app.bin", b"\1\2\3\4")
        self.assertIn("imprint run my-app.yaml", self.imprint("new", "--device", "STM32F103CB", "build/my app.bin"))
        self.assertIn("no faults, 0 warnings", self.imprint("check", "my-app.yaml"))
        self.imprint("new", "--device", "nRF51822", "firmware.hex", "-o", "build/other.yaml")
        with open(self.path("build/other.yaml"), encoding="utf-8") as f:
            self.assertIn(self.path("firmware.hex"), f.read())
        self.imprint("new", "--device", "nRF51822", "firmware.hex", "-o", "build/other.yaml", status=3)
        self.assertIn("E1008", self.imprint("new", "--device", "nRF51822", "recipe.yaml", status=3))
        with open(self.path("recipe.yaml"), encoding="utf-8") as f:
            self.assertEqual(f.read(), RECIPE)
        self.assertIn("did you mean", self.imprint("new", "--device", "nRF51282", "x.yaml", status=2))
        self.assertIn("--device", self.imprint("new", "x.yaml", status=2))
        self.assertFalse(os.path.exists(self.path("x.yaml")))

    def test_check_shows_every_fault(self):
        self.write("bad.yaml", b"imprint: 1\nname: X\ndevice: nRF51282\ndata: {app: {file: none.hex}}\nstesp: []\n")
        said = self.imprint("check", "bad.yaml", status=2)
        for place in ("bad.yaml:3:9: ", "bad.yaml:4:20: ", "bad.yaml:5:1: ", "did you mean 'steps'?"):
            self.assertIn(place, said)

    def test_check_warns(self):
        self.write("warn.yaml", b"imprint: 1\nname: X\ndevice: nRF51822\ndata: {app: {file: app.bin, at: 0x0}}\n"
                   b"values: {serial: {pool: p, decimal: 4}}\n")
        self.assertIn("warn.yaml:5:10: warning: value 'serial' has no place", self.imprint("check", "warn.yaml"))
        result = json.loads(self.imprint("check", "warn.yaml", "--result", "result.json", "--json"))
        self.assertEqual((result["ok"], len(result["warnings"]), result["device"]), (True, 1, "nRF51822_xxAA"))
        self.assertIn("warning: value 'serial'", self.imprint("build", "warn.yaml", "-o", "x.impo"))
        self.assertFalse(os.path.exists(self.path("warn.impo")))

    def test_variables(self):
        said = self.imprint("build", "recipe.yaml", *VARIABLES, "-o", "x.impo")
        self.assertIn("Widget red 1.10", said)
        self.assertIn("no variable 'COLOUR'", self.imprint("check", "recipe.yaml", status=2))
        self.assertIn("there is no ${SIZE}", self.imprint("check", "recipe.yaml", *VARIABLES, "-D", "SIZE=1", status=2))
        self.assertIn("given twice", self.imprint("check", "recipe.yaml", *VARIABLES, "-D", "UNITS=1", status=2))
        self.assertIn("not like NAME=VALUE", self.imprint("check", "recipe.yaml", *VARIABLES, "-D", "x", status=2))
        self.assertIn("needs a value", self.imprint("check", "recipe.yaml", "-D", status=2))
        self.assertIn("no option", self.imprint("inspect", "x.impo", "-D", "A=1", status=2))
        self.imprint("key", "new", "author", "alice")
        seal = ["seal", "x.impo", "--author-key", "alice.key", "-o", "x.imp"]
        self.imprint(*seal, "--recipe", "recipe.yaml", "--release", "bench", *VARIABLES)
        self.assertIn('"units": 5', self.imprint("inspect", "x.imp", "--author-key", "alice.pub", "--json"))
        self.assertIn("--recipe", self.imprint(*seal, "--kind", "sap", "-D", "A=1", status=2))


if __name__ == "__main__":
    imptest.main()
