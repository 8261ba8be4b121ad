#!/usr/bin/env python3
"""`imprint cloud …` against a real imprint-cloud: login and what protects it, factories, authors, images, pools, log."""
import json
import os
import subprocess

import imptest

RECIPE = """\
imprint: 1
name: Widget
device: nRF51822
data: {app: {file: app.bin, at: 0x00000000}}
values: {serial: {pool: widget-serial, text: "W-{n:05}"}}
place: [{value: serial, at: 0x00008000, size: 12}]
log: [serial]
releases:
  line: {kind: job, factory: Shenzhen, encrypt-to: image.pub, units: 6}
"""
PASSWORD = "correct horse battery staple"


class Cloud(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_CONFIG_HOME=self.path("config"), XDG_DATA_HOME=self.path("data"))
        self.write("app.bin", bytes(range(256)))
        self.write("recipe.yaml", RECIPE.encode())
        self.write("password", PASSWORD.encode() + b"\n")
        cloud = imptest.program("imprint-cloud")
        subprocess.run([cloud, "init", "--data", self.path("cloud"), "--account", "acme", "--owner", "owner@acme.example",
                        "--password-file", self.path("password"), "--url", "https://127.0.0.1:0"], check=True, capture_output=True)
        self.cloud = imptest.Process([cloud, "run", "--config", self.path("cloud/cloud.yaml")], r"ready: .*(https://\S+)\n")
        self.addCleanup(self.cloud.kill)
        self.url = self.cloud.ready.group(1)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def imprint(self, *args, status=0, stdin=""):
        done = subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=60, env=self.env,
                              cwd=self.dir, input=stdin)
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def json(self, *args, status=0):
        return json.loads(self.imprint(*args, "--json", status=status))

    def login(self, *more, status=0, stdin=""):
        return self.imprint("cloud", "login", self.url, "--user", "owner@acme.example", *more, status=status, stdin=stdin)

    def login_well(self):
        return self.login("--password-file", "password", "--ca", "cloud/ca.pem")

    def test_login(self):
        self.assertIn("cloud login", self.imprint("cloud", "log", status=2))
        openssl = ["openssl", "pkey", "-pubin", "-outform", "DER"]
        public = subprocess.run(["openssl", "x509", "-in", self.path("cloud/ca.pem"), "-noout", "-pubkey"], check=True,
                                capture_output=True).stdout
        der = subprocess.run(openssl, input=public, check=True, capture_output=True).stdout
        digest = subprocess.run(["openssl", "sha256"], input=der, check=True, capture_output=True).stdout.split()[-1].decode()
        # the CA: unknown, another, by its digest, after a question
        self.login("--password-file", "password", "--fingerprint", "00" * 32, status=3)
        self.assertIn("not confirmed", self.login("--password-file", "password", status=2, stdin="n\n"))
        self.assertFalse(os.path.exists(self.path("config/imprint/cloud.token")))
        said = self.login("--password-file", "password", stdin="y\n")
        self.assertIn(digest, said)
        self.login("--password-file", "password", "--fingerprint", digest)
        # the password: wrong, empty, read from standard input; never shown
        self.write("wrong", b"guess\n")
        self.assertIn("E70", self.login("--password-file", "wrong", "--ca", "cloud/ca.pem", status=2))
        self.write("empty", b"\n")
        self.login("--password-file", "empty", "--ca", "cloud/ca.pem", status=2)
        said = self.login("--ca", "cloud/ca.pem", stdin=PASSWORD + "\n")
        self.assertNotIn(PASSWORD, said)
        self.assertIn("owner", said)
        token = self.path("config/imprint/cloud.token")
        self.assertEqual(os.stat(token).st_mode & 0o777, 0o600)
        with open(token, encoding="ascii") as f:
            secret = f.read().strip()
        shown = self.imprint("cloud", "login", self.url, "--user", "owner@acme.example", "--password-file", "password", "--ca",
                             "cloud/ca.pem", "--json")
        with open(token, encoding="ascii") as f:
            self.assertNotIn(f.read().strip(), shown)
        # another token by file; logout revokes
        self.write("old", secret.encode() + b"\n")
        self.imprint("cloud", "factory", "list", "--token-file", "old")
        self.imprint("cloud", "logout")
        self.assertFalse(os.path.exists(token))
        self.imprint("cloud", "factory", "list", status=2)
        self.imprint("cloud", "logout", "--token-file", "old")
        self.assertIn("E71", self.imprint("cloud", "factory", "list", "--token-file", "old", status=2))

    def test_images_and_pools(self):
        self.login_well()
        self.imprint("cloud", "factory", "add", "Shenzhen")
        self.assertIn("E1008", self.imprint("cloud", "factory", "add", "Shenzhen", status=3))
        self.imprint("cloud", "group", "add", "line-1", "--factory", "Shenzhen")
        self.assertIn("line-1", self.imprint("cloud", "group", "list"))
        self.assertIn("line-1", self.imprint("cloud", "factory", "list"))
        self.imprint("cloud", "group", "add", "x", "--factory", "Nowhere", status=2)
        for purpose, name in (("author", "alice"), ("image", "image")):
            self.imprint("key", "new", purpose, name)
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        sealed = self.json("seal", "x.impo", "--recipe", "recipe.yaml", "--release", "line", "--author-key", "alice.key", "-o",
                           "x.imp")
        # an author that the account does not know
        self.assertIn("E3016", self.imprint("cloud", "image", "register", "x.statement", status=3))
        self.imprint("cloud", "author", "add", "alice.pub")
        self.assertIn("alice", self.imprint("cloud", "author", "list"))
        self.imprint("cloud", "image", "upload", "x.imp", status=3)  # not registered
        self.imprint("cloud", "image", "register", "x.statement")
        self.assertEqual(self.json("cloud", "image", "list")["images"][0]["content"], False)
        self.imprint("cloud", "image", "upload", "x.imp")
        image = self.json("cloud", "image", "list")["images"][0]
        self.assertEqual((image["image"], image["content"], image["state"], image["units"]), (sealed["id"], True, "active", 6))
        # by name, and what a person is told
        self.assertIn("in force at", self.imprint("cloud", "image", "pause", "Widget", "--reason", "test"))
        self.assertIn("paused", self.imprint("cloud", "image", "list"))
        self.imprint("cloud", "image", "resume", "Widget")
        self.assertIn("not disabled", self.imprint("cloud", "image", "disable", "Widget", status=2, stdin="n\n"))
        self.imprint("cloud", "image", "pause", "Wodget", status=2)
        self.imprint("cloud", "image", "disable", "Widget", "--yes")
        self.imprint("cloud", "image", "resume", "Widget", status=3)
        # numbers only go forward, and with a reason
        pool = self.json("pool", "list")["pools"][0]
        self.assertEqual(pool["pool"], "widget-serial")
        self.assertIn("--reason", self.imprint("pool", "set-next", "widget-serial", "100", status=2))
        self.imprint("pool", "set-next", "widget-serial", "100", "--reason", "labels")
        self.assertEqual(self.json("pool", "list")["pools"][0]["next"], 100)
        self.imprint("pool", "set-next", "widget-serial", "99", "--reason", "labels", status=3)
        # a range for a SAP is gone for the cloud
        split = ["pool", "split", "widget-serial", "--count", "50"]
        self.assertIn("--reason", self.imprint(*split, status=2))
        self.assertIn("--count", self.imprint(*split[:3], "--reason", "bench", status=2))
        self.assertIn("numbers: 100 to 149", self.imprint(*split, "--reason", "bench"))
        taken = self.json(*split, "--reason", "bench")
        self.assertEqual((taken["first"], taken["last"]), (150, 199))
        self.assertEqual(self.json("pool", "list")["pools"][0]["next"], 200)
        self.assertIn("E5008", self.imprint(*split[:3], "--count", "99801", "--reason", "bench", status=3))
        self.assertEqual(self.json("pool", "list")["pools"][0]["next"], 200)
        # nothing has been made yet
        self.assertEqual(self.json("cloud", "log")["records"], [])
        self.imprint("cloud", "log", "--csv", "log.csv")
        with open(self.path("log.csv"), encoding="utf-8") as f:
            self.assertEqual(len(f.readlines()), 1)

    def test_stations(self):
        self.login_well()
        self.imprint("cloud", "factory", "add", "Shenzhen")
        self.imprint("cloud", "group", "add", "line-1", "--factory", "Shenzhen")
        said = self.imprint("cloud", "station", "enrol-code", "--factory", "Shenzhen", "--group", "line-1", "-o", "code")
        with open(self.path("code"), encoding="ascii") as f:
            code = f.read().strip()
        self.assertTrue(code.startswith("imprint-enrol-1."))
        self.assertNotIn(code, said)
        self.assertEqual(os.stat(self.path("code")).st_mode & 0o777, 0o600)
        subprocess.run([imptest.program("imprint-station"), "init", "--data", self.path("st"), "--name", "bench",
                        "tcp:127.0.0.1:1"], check=True, capture_output=True)
        station = imptest.Process([imptest.program("imprint-station"), "run", "--data", self.path("st")], "ready")
        self.addCleanup(station.kill)
        socket = ["--socket", self.path("st/control.sock")]
        self.imprint("station", *socket, "enrol", code[:-1] + ("0" if code[-1] != "0" else "1"), status=4)
        self.imprint("station", *socket, "enrol", "--code-file", "code")
        self.imprint("station", *socket, "enrol", "--code-file", "code", status=3)  # once; a station has one cloud
        listed = self.json("cloud", "station", "list")["stations"]
        self.assertEqual([(s["name"], s["factory"], s["group"]) for s in listed], [("bench", "Shenzhen", "line-1")])
        self.assertIn("in force at", self.imprint("cloud", "station", "remove", "bench", "--reason", "sold"))
        self.assertIn("removed", self.imprint("cloud", "station", "list"))


if __name__ == "__main__":
    imptest.main()
