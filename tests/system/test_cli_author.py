#!/usr/bin/env python3
"""The authors' commands on files: keys, build, seal, inspect, verify, grant."""
import json
import os
import stat
import subprocess

import imptest

RECIPE = """\
imprint: 1
name: Widget
version: 1.2.3
device: nRF51822
data: {app: {file: app.bin, at: 0x00000000}}
releases:
  bench: {kind: sap, encrypt-to: image.pub, units: 5, dates: 2026-12-01 to 2027-03-31}
  line: {kind: job, factory: Shenzhen, encrypt-to: image.pub, units: 6, max-failures: 2}
"""


class Author(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_DATA_HOME=self.path("data"), XDG_CONFIG_HOME=self.path("config"))
        with open(self.path("app.bin"), "wb") as f:
            f.write(bytes(range(256)) * 5)
        with open(self.path("recipe.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE)

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def imprint(self, *args, status=0):
        done = subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=60, env=self.env,
                              cwd=self.dir)
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def json(self, *args, status=0):
        return json.loads(self.imprint(*args, "--json", status=status))

    def keys(self):
        for purpose, name in (("author", "alice"), ("image", "image")):
            self.imprint("key", "new", purpose, name)

    def sap(self):
        self.keys()
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        return self.json("seal", "x.impo", "--recipe", "recipe.yaml", "--release", "bench", "--author-key", "alice.key",
                         "-o", "x.imp")

    def test_keys(self):
        made = self.json("key", "new", "author", "alice")
        self.assertEqual(os.stat(self.path("alice.key")).st_mode & 0o777, 0o600)
        shown = self.json("key", "show", "alice.pub")
        self.assertEqual((shown["id"], shown["private"], shown["role"], shown["suite"]), (made["id"], False, "author", 1))
        self.assertTrue(self.json("key", "show", "alice.key")["private"])
        self.assertNotIn("PRIVATE", self.imprint("key", "show", "alice.key"))
        before = self.read("alice.key")
        self.assertIn("E1008", self.imprint("key", "new", "author", "alice", status=3))
        self.assertEqual(self.read("alice.key"), before)
        os.chmod(self.path("alice.key"), 0o644)
        self.assertIn("E3104", self.imprint("key", "show", "alice.key", status=2))
        self.imprint("key", "new", "door", "bob", status=2)
        self.imprint("key", "new", "station", "bob", status=2)
        self.imprint("key", "new", "image", "bob", "--suite", "3", status=2)

    def test_roles(self):
        """A key is taken for what it was made for; one of version 0.1, without that line, is taken, and what for is said."""
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        for purpose, name, suite in (("author", "alice", "1"), ("image", "image", "1"), ("root", "root", "1"), ("author", "rob", "2"),
                                     ("image", "rsa", "2")):
            self.imprint("key", "new", purpose, name, "--suite", suite)
        listed = {k["file"]: k for k in self.json("key", "list")["keys"]}
        self.assertEqual({n: (k["role"], k["private"], k["suite"]) for n, k in listed.items() if n.startswith("r")},
                         {"rob.key": ("author", True, 2), "rob.pub": ("author", False, 2), "root.key": ("root", True, 1),
                          "root.pub": ("root", False, 1), "rsa.key": ("image", True, 2), "rsa.pub": ("image", False, 2)})
        self.assertIn("2 (RSA 3072)", self.imprint("key", "list"))
        seal = ["seal", "x.impo", "--kind", "sap", "-o", "x.imp"]
        for author, image, code in (("image", "image", "E3109"), ("root", "image", "E3109"), ("alice", "alice", "E3109"),
                                    ("alice", "root", "E3109"), ("alice", "rsa", "E1001"), ("rob", "image", "E1001")):
            status = 3 if code == "E3109" else 2
            self.assertIn(code, self.imprint(*seal, "--author-key", f"{author}.key", "--encrypt-to", f"{image}.pub", status=status))
        self.imprint(*seal, "--author-key", "rob.key", "--encrypt-to", "rsa.pub")
        inspected = self.json("inspect", "x.imp", "--image-key", "rsa.key", "--author-key", "rob.pub")
        self.assertEqual((inspected["suite"], inspected["signature"]), (2, "good"))
        self.assertIn("every chunk", self.imprint("verify", "x.imp", "--image-key", "rsa.key", "--author-key", "rob.pub"))
        text = self.read("image.key").decode()
        self.assertTrue(text.startswith("Imprint-Key: image\n"))
        self.write("old.key", text[text.index("-----"):].encode())
        os.chmod(self.path("old.key"), 0o600)
        said = self.imprint("key", "show", "old.key")
        self.assertIn("not said", said)
        self.assertIn(listed["image.key"]["id"], said)

    def test_build_is_reproducible(self):
        first = self.json("build", "recipe.yaml", "-o", "a.impo")
        os.utime(self.path("app.bin"), (1, 1))
        second = self.json("build", self.path("recipe.yaml"), "-o", "b.impo")
        self.assertEqual(self.read("a.impo"), self.read("b.impo"))
        self.assertEqual(first["content_sha256"], second["content_sha256"])
        self.assertIn(first["content_sha256"], self.imprint("inspect", "a.impo"))

    def test_sap(self):
        sealed = self.sap()
        self.assertEqual((sealed["kind"], sealed["encrypted"]), ("sap", True))
        self.assertNotIn(bytes(range(64)), self.read("x.imp"))  # the firmware cannot be read
        self.assertIn(sealed["id"], self.imprint("inspect", "x.imp"))
        everything = self.imprint("inspect", "x.imp", "--image-key", "image.key", "--author-key", "alice.pub")
        for words in ("Widget", "1.2.3", "nRF51822"):
            self.assertIn(words, everything)
        self.assertEqual(self.json("verify", "x.imp", "--author-key", "alice.pub")["verified"], "shape")
        self.assertEqual(self.json("verify", "x.imp", "--author-key", "alice.pub", "--image-key", "image.key")["verified"],
                         "all")
        again = self.json("seal", "x.impo", "--kind", "sap", "--author-key", "alice.key", "--encrypt-to", "image.pub", "-o",
                          "y.imp")
        self.assertNotEqual(again["id"], sealed["id"])

    def test_verify_refuses(self):
        self.sap()
        self.imprint("key", "new", "author", "mallory")
        self.imprint("key", "new", "image", "other")
        whole = self.read("x.imp")
        rows = [("E3016", ["--author-key", "mallory.pub", "--image-key", "image.key"], whole),
                ("E3001", [], b"hello" * 20),
                ("E3004", [], whole[:-1]),
                ("E3005", [], whole + b"\0"),
                ("E3006", [], whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])]
        for code, keys, data in rows:
            self.write("bad.imp", data)
            self.assertIn(code, self.imprint("verify", "bad.imp", *keys, status=3))
        # with a key that is not the image's own, only the shape can be seen
        self.assertEqual(self.json("verify", "x.imp", "--author-key", "alice.pub", "--image-key", "other.key")["verified"],
                         "shape")

    def test_the_wrong_file(self):
        self.sap()
        self.assertIn("an object", self.imprint("verify", "x.impo"))
        self.assertIn("sealed already", self.imprint("seal", "x.imp", "--kind", "sap", "--author-key", "alice.key", "-o", "y.imp",
                                                     status=3))
        self.write("empty", b"")
        said = self.imprint("key", "show", "empty", status=2)
        self.assertIn("no PEM key", said)
        self.assertNotIn("routines", said)
        os.mkdir(self.path("folder"))
        rows = [(["inspect", "folder"], "E1013"), (["inspect", "x.imp/y"], "E1009"), (["build", "folder", "-o", "y"], "E1013"),
                (["build", "recipe.yaml", "-o", "none/y"], "E1009"), (["build", "recipe.yaml", "-o", "folder"], "E1013"),
                (["key", "new", "author", "bob", "--dir", "none"], "E1009"),
                (["seal", "folder", "--kind", "sap", "--author-key", "alice.key", "-o", "y"], "E1013")]
        for args, code in rows:
            self.assertIn(code, self.imprint(*args, status=2), args)
        self.assertFalse(os.path.exists(self.path("y")))

    def test_a_pipe_is_written_into(self):
        os.mkfifo(self.path("pipe"))
        reader = subprocess.Popen(["cat", self.path("pipe")], stdout=subprocess.PIPE)
        self.addCleanup(reader.kill)
        self.imprint("build", "recipe.yaml", "-o", "pipe")
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        self.assertEqual(reader.communicate(timeout=60)[0], self.read("x.impo"))
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path("pipe")).st_mode))

    def test_job_needs_its_cloud(self):
        self.keys()
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        args = ["seal", "x.impo", "--recipe", "recipe.yaml", "--release", "line", "--author-key", "alice.key", "-o", "j.imp"]
        self.assertIn("cloud login", self.imprint(*args, status=2))
        openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                   "/CN=ca", "-keyout", self.path("ca.key"), "-out", self.path("ca.pem")]
        subprocess.run(openssl, check=True, capture_output=True)
        sealed = self.json(*args, "--ca", "ca.pem")
        self.assertEqual((sealed["kind"], sealed["statement"]), ("job", "j.statement"))
        self.assertTrue(self.read("j.statement"))
        inspected = self.json("inspect", "j.imp")
        self.assertIn("Shenzhen", json.dumps(inspected))
        # an unencrypted JOB can be made for a local load; the command says that anyone can read it
        self.assertIn("anyone can read", self.imprint("seal", "x.impo", "--kind", "job", "--factory", "Shenzhen", "--ca", "ca.pem",
                                                      "--author-key", "alice.key", "-o", "k.imp"))

    def test_seal_says_what_is_missing(self):
        self.keys()
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        rows = [(["--kind", "sap", "-o", "x.imp"], "--author-key"),
                (["--author-key", "alice.key", "-o", "x.imp"], "--kind"),
                (["--kind", "sap", "--author-key", "alice.key"], "--output"),
                (["--kind", "tea", "--author-key", "alice.key", "-o", "x.imp"], "tea"),
                (["--kind", "sap", "--author-key", "alice.pub", "-o", "x.imp"], "E3103"),
                (["--kind", "sap", "--author-key", "alice.key", "--units", "0", "-o", "x.imp"], "--units"),
                (["--kind", "sap", "--author-key", "alice.key", "--dates", "soon", "-o", "x.imp"], "--dates"),
                (["--recipe", "recipe.yaml", "--author-key", "alice.key", "-o", "x.imp"], "--release"),
                (["--recipe", "recipe.yaml", "--release", "bensh", "--author-key", "alice.key", "-o", "x.imp"], "bench")]
        for args, says in rows:
            self.assertIn(says, self.imprint("seal", "x.impo", *args, status=2), args)
            self.assertFalse(os.path.exists(self.path("x.imp")), args)

    def test_numbers_of_a_sap(self):
        """A SAP that takes numbers needs a range of its own; the object and its digest are the JOB's."""
        self.keys()
        values = ('values: {serial: {pool: widget-serial, text: "W-{n:05}", first: 10, step: 10}}\n'
                  'place: [{value: serial, at: 0x00008000, size: 12, pad: 0x00}]\n')
        recipe = RECIPE.replace("releases:", values + "releases:").replace("units: 5,", "units: 5, numbers: 500 to 1490,")
        self.write("recipe.yaml", recipe.encode())
        built = self.json("build", "recipe.yaml", "-o", "x.impo")
        before = self.read("x.impo")
        args = ["seal", "x.impo", "--author-key", "alice.key", "-o", "x.imp"]
        refused = self.imprint(*args, "--kind", "sap", status=2)
        for words in ("E4012", "imprint pool split widget-serial", "--numbers", "would give the same"):
            self.assertIn(words, refused)
        rows = [("500-1495", "E4013"), ("5-100", "E4013"), ("10-100000", "E4013"), ("15-100", "E4013"), ("100-90", "--numbers"),
                ("all", "--numbers"), ("010-100", "--numbers"), ("-5", "--numbers")]
        for numbers, says in rows:
            self.assertIn(says, self.imprint(*args, "--kind", "sap", "--numbers", numbers, status=2), numbers)
            self.assertFalse(os.path.exists(self.path("x.imp")), numbers)
        args += ["--recipe", "recipe.yaml", "--release", "bench"]
        self.assertIn("load it on one station only", self.imprint(*args))
        for more, first, last in (([], 500, 1490), (["--numbers", "10-20"], 10, 20), (["--numbers", "10 to 20"], 10, 20)):
            self.assertEqual(self.json(*args, *more)["numbers"], [{"pool": "widget-serial", "first": first, "last": last}])
            keys = ["--image-key", "image.key", "--author-key", "alice.pub"]
            inspected = self.json("inspect", "x.imp", *keys)
            self.assertEqual(inspected["restrictions"]["numbers"], {"first": first, "last": last})
            self.assertEqual(inspected["content_sha256"], built["content_sha256"])
            self.assertEqual(inspected["content"]["pools"][0]["id"], "widget-serial")
            said = self.imprint("inspect", "x.imp", *keys)
            self.assertIn(f"{first} to {last} of pool widget-serial, as pool widget-serial.{first}-{last}", said)
            self.assertIn("load it on one station only", said)
        self.assertEqual(self.read("x.impo"), before)
        # nothing to take numbers from
        self.write("recipe.yaml", RECIPE.encode())
        self.imprint("build", "recipe.yaml", "-o", "x.impo")
        self.assertIn("takes no number", self.imprint(*args, "--numbers", "1-2", status=2))

    def test_diff(self):
        """What changed between two builds and two sealings, in words."""
        self.sap()
        self.imprint("build", "recipe.yaml", "-o", "same.impo")
        self.assertEqual(self.json("diff", "x.impo", "same.impo"), {"ok": True, "same": True, "differences": []})
        self.assertEqual(self.imprint("diff", "x.impo", "same.impo"), "no difference\n")
        app = bytearray(self.read("app.bin"))
        app[7] ^= 0xff
        self.write("app.bin", bytes(app))
        self.imprint("build", "recipe.yaml", "-o", "y.impo")
        told = self.json("diff", "x.impo", "y.impo")["differences"]
        self.assertEqual(len(told), 1, told)
        self.assertRegex(told[0], r"^memory: 0x[0-9A-F]{8} to 0x[0-9A-F]{8}, 1 bytes: was 07, is F8$")
        self.imprint("seal", "y.impo", "--recipe", "recipe.yaml", "--release", "bench", "--author-key", "alice.key", "-o", "y.imp")
        keys = ["--image-key", "image.key", "--author-key", "alice.pub"]
        self.assertEqual(self.json("diff", "x.imp", "y.imp", *keys)["differences"], told)
        self.assertEqual(len(self.json("diff", "x.impo", "x.imp", *keys)["differences"]), 1)  # an object, an image
        self.assertIn("its content is not compared", self.imprint("diff", "x.imp", "y.imp"))
        self.imprint("diff", "x.imp", "recipe.yaml", status=3)
        self.assertEqual(self.json("verify", "x.impo")["verified"], "object")
        damaged = bytearray(self.read("x.impo"))
        damaged[-40] ^= 1
        self.write("damaged.impo", bytes(damaged))
        self.assertIn("E3032", self.imprint("verify", "damaged.impo", status=3))
        said = self.imprint("inspect", "x.impo")
        for text in ("object, built and not sealed", "connection", "step           verify checksum", "input"):
            self.assertIn(text, said)

    def test_grant(self):
        self.keys()
        # a pair that does not say what it is for may stand for a station's sealing key
        for command in ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out station.key", "pkey -in station.key -pubout -out station.pub"):
            subprocess.run(["openssl", *command.split()], check=True, capture_output=True, cwd=self.dir, timeout=30)
        station = self.json("key", "show", "station.pub")
        args = ["key", "grant", "image.key", "--to", "station.pub", "-o", "grant"]
        self.assertIn("another one", self.imprint(*args, "--fingerprint", "00" * 32, status=2))
        self.assertFalse(os.path.exists(self.path("grant")))
        granted = self.json(*args, "--fingerprint", station["id"])
        self.assertEqual(granted["station_key"], station["id"])
        self.assertTrue(self.read("grant"))
        self.assertNotIn(b"PRIVATE", self.read("grant"))
        self.imprint("key", "grant", "image.pub", "--to", "station.pub", "-o", "g2", "--yes", status=2)


if __name__ == "__main__":
    imptest.main()
