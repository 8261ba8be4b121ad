#!/usr/bin/env python3
"""`imprint station …` against a real imprint-station with two boards: what an operator and an engineer do with a SAP."""
import csv
import json
import os
import subprocess

import imptest

RECIPE = """\
imprint: 1
name: Widget
device: nRF51822
data: {app: {file: app.bin, at: 0x00000000}}
values: {serial: {pool: widget-serial, text: "=W-{n:05}"}}
place: [{value: serial, at: 0x00008000, size: 12}]
steps: [{erase: all}, {program: [app, values]}, {verify: checksum}, {reset: run}]
log: [serial]
"""


class Station(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_CONFIG_HOME=self.path("config"), XDG_DATA_HOME=self.path("data"))
        with open(self.path("app.bin"), "wb") as f:
            f.write(bytes(range(256)) * 8)
        with open(self.path("recipe.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE)
        self.boards = [self.board("--seed", str(n)) for n in (1, 2)]
        init = [imptest.program("imprint-station"), "init", "--data", self.path("st"), "--name", "bench"]
        subprocess.run(init + [f"tcp:{board.dap}" for board in self.boards], check=True, capture_output=True)
        self.start()

    def start(self):
        self.station_process = imptest.Process([imptest.program("imprint-station"), "run", "--data", self.path("st")], "ready")
        self.addCleanup(self.station_process.kill)

    def path(self, name):
        return os.path.join(self.dir, name)

    def imprint(self, *args, status=0):
        done = subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=120, env=self.env,
                              cwd=self.dir)
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def station(self, *args, status=0):
        return self.imprint("station", "--socket", self.path("st/control.sock"), *args, status=status)

    def json(self, *args, status=0):
        return json.loads(self.station(*args, "--json", status=status))

    def seal(self, *more):
        for purpose, name in (("author", "alice"), ("image", "image")):
            self.imprint("key", "new", purpose, name)
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        self.imprint("seal", "x.impo", "--kind", "sap", "--encrypt-to", "image.pub", "--author-key", "alice.key", "-o", "x.imp",
                     "--numbers", "11-99999", *more)

    def grant(self, status=0, fingerprint=None):
        fingerprint = fingerprint or self.json("keys")["sealing"]["fingerprint"]
        return self.imprint("key", "grant", "image.key", "--socket", self.path("st/control.sock"), "--fingerprint", fingerprint,
                            status=status)

    def test_sap_from_file_to_log(self):
        self.seal("--units", "3")
        said = self.station("load", "x.imp")
        self.assertIn("cannot be launched yet", said)
        self.assertNotIn("numbers", said)  # not to be seen yet
        self.station("launch", "Widget", status=3)
        self.station("trust", "add", "alice.pub")
        self.assertIn("alice", self.station("trust"))
        self.station("launch", "Widget", status=3)
        self.assertIn("another one", self.grant(status=2, fingerprint="0" * 64))
        self.grant()
        first = self.json("launch", "Widget", "--ports", "all", "--order", "4711")
        self.assertEqual([l["state"] for l in first["launches"]], ["passed", "passed"])
        for board in self.boards:
            board.control("next")
            board.control("reset-counters")
        said = self.station("launch", "Widget", "--ports", "2,1", status=4)  # one of them is in work when the other asks
        for words in ("PASSED", "REFUSED at START", "E5002 count-in-work", "2 of 3 passed, 1 in work"):
            self.assertIn(words, said)
        self.assertNotIn("\033", said)
        self.assertEqual(sorted(board.status()["packets"] == 0 for board in self.boards), [False, True])
        said = self.station("launch", "Widget", "--ports", "1", status=3)
        self.assertIn("E5001 count-used-up", said)

        records = self.json("log")["records"]
        self.assertEqual([r["result"] for r in records], ["passed"] * 3)
        self.assertEqual(sorted(r["numbers"][0]["text"] for r in records), ["=W-00011", "=W-00012", "=W-00013"])
        self.assertEqual([r.get("order") for r in records], ["4711", "4711", None])
        self.assertEqual(len(self.json("log", "--limit", "2")["records"]), 2)
        self.station("log", "--csv", "log.csv")
        with open(self.path("log.csv"), newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f))
        self.assertEqual(len(rows), 3)
        self.assertTrue(rows[0]["serial"].startswith("'="))  # a spreadsheet must not calculate it
        self.assertRegex(rows[0]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

        # deleted and loaded again, the station started again: the count goes on
        image = self.json("images")["images"][0]["id"]
        self.station("delete", image)
        self.assertEqual(self.json("images")["images"], [])
        self.station_process.stop()
        self.start()
        said = self.station("load", "x.imp")
        self.assertIn("numbers 11 to 99999, as pool widget-serial.11-99999", said)
        self.assertIn("load it on one station only", said)
        self.assertIn("E5001 count-used-up", self.station("launch", image, "--ports", "1", status=3))

    def test_blocking_at_once(self):
        self.seal()
        self.station("load", "x.imp")
        self.station("trust", "add", "alice.pub", "--name", "Alice")
        self.grant()
        self.station("launch", "Widget", "--ports", "1")
        key = self.json("keys")["granted"][0]["id"]
        self.station("keys", "remove", key)
        self.assertIn("E3015", self.station("images"))
        self.assertIn("E3015", self.station("launch", "Widget", "--ports", "1", status=3))
        self.grant()
        author = self.json("trust")["authors"][0]
        self.assertEqual(author["name"], "Alice")
        self.station("trust", "remove", author["id"])
        self.assertIn("E3016", self.station("launch", "Widget", "--ports", "1", status=3))

    def test_what_is_wrong_is_said(self):
        with open(self.path("bad.imp"), "wb") as f:
            f.write(b"hello" * 100)
        rows = [(["load", "bad.imp"], 3, "E3001"), (["load", "none.imp"], 2, "none.imp"),
                (["launch", "Nothing"], 2, "Nothing"), (["delete", "Nothing"], 2, "Nothing"),
                (["cancel", "0" * 32], 2, "E1009"),
                (["cancel", "1"], 3, "nothing runs on port 1"), (["keys", "remove", "x"], 2, "64"),
                (["keys", "add", "bad.imp"], 3, "E3"), (["enrol", "not-a-code"], 2, "E")]
        for args, status, says in rows:
            self.assertIn(says, self.station(*args, status=status), args)
        self.station_process.stop()
        said = self.station("status", status=4)
        self.assertIn("control.sock", said)
        self.assertNotIn("localhost", said)


if __name__ == "__main__":
    imptest.main()
