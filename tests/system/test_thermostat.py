#!/usr/bin/env python3
"""examples/thermostat, as its reader builds and tries it: two firmware parts, a board test whose result is programmed, serial number,
MAC address, label, read protection that is proved, firmware that says that it is up, and a supply that is switched."""
import json
import os
import re
import shutil
import subprocess

import imptest

SOURCE = os.environ["IMPRINT_SOURCE"]
EXAMPLE = os.path.join(SOURCE, "examples", "thermostat")
LABEL = "T200000042"


def luhn(text):
    """The check digit over all digits of text (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed([int(c) for c in text if c.isdigit()])):
        digit *= 1 + (place + 1) % 2
        total += digit - 9 if digit > 9 else digit
    return str(-total % 10)


class Thermostat(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        for name in os.listdir(EXAMPLE):
            if name != "build":
                shutil.copy(os.path.join(EXAMPLE, name), self.dir)
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"))
        done = subprocess.run(["make", "-C", self.dir, f"LIB={os.path.join(SOURCE, 'algorithms', 'runtest')}"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def imprint(self, *args):
        return subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=120, env=self.env, cwd=self.dir)

    def attempt(self, *more):
        done = self.imprint("try", "recipe.yaml", "--json", *more)
        return done.returncode, json.loads(done.stdout)

    def edit(self, old, new, name="recipe.yaml"):
        path = os.path.join(self.dir, name)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.assertIn(old, text)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new))

    def test_try(self):
        status, result = self.attempt("--barcode", LABEL)
        self.assertEqual((status, result.get("result")), (0, "passed"), result)
        serial, mac = (n["text"] for n in result["numbers"])
        self.assertRegex(serial, r"^T2-\d{4}-\d{6}\d$")
        self.assertEqual(luhn(serial[:-1]), serial[-1])
        self.assertEqual((mac, result["numbers"][1]["bytes"]), ("70-B3-D5-1A-20-00", "70b3d51a2000"))
        reads = {r["name"]: bytes.fromhex(r["bytes"]) for r in result["reads"]}
        self.assertEqual(sorted(reads), ["label", "trim", "uid"])
        self.assertEqual((reads["label"], len(reads["uid"]), len(reads["trim"])), (LABEL.encode(), 12, 4))
        ppm = 0
        for byte in reads["uid"]:
            ppm = (ppm * 31 + byte) % 400
        self.assertEqual(int.from_bytes(reads["trim"], "little"), ppm)
        self.assertLessEqual({"read", "test", "erase", "program", "verify", "protect", "run", "power"}, set(result["phase_ms"]))

    def test_each_part_is_needed(self):
        status, result = self.attempt()
        self.assertEqual(result["error"]["name"], "given-missing")
        status, result = self.attempt("--barcode", "T3" + LABEL[2:])
        self.assertEqual(result["error"]["name"], "given-barcode")
        # what the firmware finds missing is found out by what it says, though the chip is locked by then
        self.edit('{expect-text: "T2 ready"', '{expect-text: "T2: something"')
        status, result = self.attempt("--barcode", LABEL)
        self.assertEqual((status, result["error"]["name"], result["error"]["step"]), (1, "text-missing", "run"), result)

    def test_the_page_has_it(self):
        """README of the examples names it, and the recipe checks without a fault."""
        done = self.imprint("check", "recipe.yaml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(os.path.join(SOURCE, "examples", "README.md"), encoding="utf-8") as f:
            self.assertTrue(re.search(r"^- `thermostat/`", f.read(), re.M))


if __name__ == "__main__":
    imptest.main()
