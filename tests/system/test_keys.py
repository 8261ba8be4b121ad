#!/usr/bin/env python3
"""Keys as a factory lives with them: image keys granted, deleted, granted again, rotated."""
import base64
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess

import impstation
import imptest

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


class Keys(impstation.TestCase):
    def setUp(self):
        super().setUp()
        self.write("app.hex", impstation.intel_hex(self.app))
        self.keys()
        self.board_ = self.board()
        self.station_ = self.station(self.init([self.board_]))

    def on_station(self, *args):
        return self.imprint(*args, "--socket", self.station_.socket)

    def fingerprint(self):
        return self.station_.get("/v1/keys")["sealing"]["fingerprint"]

    def launch(self, image):
        self.board_.control("next")
        return self.station_.wait(self.station_.launch(image))[0]["state"]

    def refused(self, code, image):
        before = self.board_.status()["packets"]
        with self.assertRaises(impstation.ApiError) as caught:
            self.station_.launch(image)
        self.assertEqual(caught.exception.code, code)
        self.assertEqual(self.board_.status()["packets"], before)

    def load(self, out="widget.imp"):
        with open(self.path(out), "rb") as f:
            return self.station_.post("/v1/images", f.read(), "application/octet-stream")["id"]

    def test_deleted_key(self):
        """A station whose key was deleted refuses at once, also after a restart, and runs again after a new grant."""
        self.admit(self.station_)
        self.sap()
        image = self.load()
        self.assertEqual(self.launch(image), "passed")
        revoked = self.on_station("key", "revoke", self.path("image.pub"))
        self.assertEqual(revoked["images"], 1)
        self.refused(3015, image)
        self.station_.stop()
        self.station_ = self.station(self.station_.data)
        self.refused(3015, image)
        self.grant(self.station_)
        self.assertEqual(self.launch(image), "passed")
        with self.assertRaisesRegex(AssertionError, "E?3109|key-role"):
            self.on_station("key", "grant", self.path("author.key"), "--fingerprint", self.fingerprint())

    def test_key_on_no_disk(self):
        """Granted, used, revoked and granted again: the image key's private number is in no file of the station."""
        self.admit(self.station_)
        self.sap()
        image = self.load()
        self.assertEqual(self.launch(image), "passed")
        text = subprocess.run(["openssl", "pkey", "-in", self.path("image.key"), "-noout", "-text"], check=True, capture_output=True,
                              text=True, timeout=30).stdout
        number = bytes.fromhex(re.search(r"priv:\s+([0-9a-f:\s]+?)\s*pub:", text).group(1).replace(":", "").replace(" ", "").replace("\n", ""))
        number = number.lstrip(b"\0")
        self.assertGreater(len(number), 28)
        with open(self.path("image.key"), "rb") as f:
            self.assertIn(number, base64.b64decode(f.read().split(b"-----")[2]))  # this is how it would look
        pieces = [number, number.hex().encode(), *(base64.b64encode(number[i:])[4:36] for i in range(3))]
        scanned = 0
        for folder, _, names in os.walk(self.station_.data):
            for path in (os.path.join(folder, name) for name in names):
                if os.path.isfile(path):
                    with open(path, "rb") as f:
                        content = f.read()
                    scanned += len(content)
                    for piece in pieces:
                        self.assertNotIn(piece, content, path)
        self.assertGreater(scanned, 10000)
        self.assertTrue(os.listdir(os.path.join(self.station_.data, "keys", "granted")))

    def test_rotation(self):
        self.admit(self.station_)
        self.sap(numbers="1-100")
        old = self.load()
        self.imprint("key", "new", "image", "next", "--dir", self.dir)
        rotate = ["key", "rotate", self.path("image.pub"), self.path("next.key"), "--fingerprint", self.fingerprint()]
        with self.assertRaisesRegex(AssertionError, "does not have the new key"):
            self.on_station(*rotate, "--finish")
        self.assertEqual(self.on_station(*rotate)["images"], 1)
        self.assertEqual(len(self.station_.get("/v1/keys")["granted"]), 2)
        self.sap("--encrypt-to", self.path("next.pub"), encrypted=False, numbers="101-200", out="next.imp")
        new = self.load("next.imp")
        self.assertEqual([self.launch(image) for image in (old, new)], ["passed", "passed"])  # both are valid
        with self.assertRaisesRegex(AssertionError, "still needs the old key"):
            self.on_station(*rotate, "--finish")
        self.station_.delete(f"/v1/images/{old}")
        self.on_station(*rotate, "--finish")
        self.assertEqual([k["id"] for k in self.station_.get("/v1/keys")["granted"]],
                         [self.imprint("key", "show", self.path("next.pub"))["id"]])
        self.assertEqual(self.launch(new), "passed")
        self.refused(3015, self.load())


class Tokens(impstation.TestCase):
    """Keys that stay in a PKCS#11 token: softhsm2."""
    PIN = "4321"

    def setUp(self):
        super().setUp()
        imptest.program("softhsm2-util")
        imptest.program("pkcs11-tool")
        self.module = next(m for m in MODULES if os.path.exists(m))
        os.mkdir(self.path("tokens"))
        self.env["SOFTHSM2_CONF"] = self.write("softhsm.conf", f"directories.tokendir = {self.path('tokens')}\nlog.level = ERROR\n")
        self.write("pin", self.PIN)
        self.tool("softhsm2-util", "--init-token", "--free", "--label", "acme", "--pin", self.PIN, "--so-pin", "8765")
        self.write("app.hex", impstation.intel_hex(self.app))

    def tool(self, *args):
        subprocess.run(args, check=True, capture_output=True, timeout=60, env=self.env)

    def key(self, name, kind, *usage):
        self.tool("pkcs11-tool", "--module", self.module, "--token-label", "acme", "--login", "--pin", self.PIN, "--keypairgen",
                  "--key-type", kind, "--label", name, "--id", name.encode().hex(), *usage)

    def uri(self, name, pin="pin"):
        return f"pkcs11:token=acme;object={name}?pin-source=file:{self.path(pin)}&module-path={self.module}"

    def program(self, suite, kind):
        """Author, image and sealing key are all in the token; the image is sealed, loaded and programmed."""
        self.key(f"author{suite}", kind, "--usage-sign")
        self.key(f"image{suite}", kind, "--usage-derive" if suite == "1" else "--usage-decrypt")
        self.key(f"sealing{suite}", kind, "--usage-derive" if suite == "1" else "--usage-decrypt")
        shown = self.imprint("key", "show", self.uri(f"author{suite}"))
        self.assertEqual((shown["suite"], shown["private"]), (int(suite), True))
        out = f"t{suite}.imp"
        self.sap("--author-key", self.uri(f"author{suite}"), "--encrypt-to", self.uri(f"image{suite}"), encrypted=False, out=out,
                 author=None)
        verified = self.imprint("verify", self.path(out), "--author-key", self.uri(f"author{suite}"), "--image-key",
                                self.uri(f"image{suite}"))
        self.assertEqual(verified["verified"], "all")
        board = self.board()
        data = self.init([board], name=f"station{suite}")
        with open(os.path.join(data, "station.yaml"), "a", encoding="utf-8") as f:
            f.write(f'keys:\n  sealing: "{self.uri("sealing" + suite)}"\n  image: ["{self.uri("image" + suite)}"]\n')
        station = self.station(data, env=self.env)
        sealing = station.get("/v1/keys")["sealing"]
        self.assertEqual(sealing["fingerprint"], self.imprint("key", "show", self.uri(f"sealing{suite}"))["id"])
        self.assertFalse(os.path.exists(os.path.join(data, "keys", "sealing.key")))
        station.post("/v1/trust", {"name": "anna", "public_key": shown["public_key"]})
        with open(self.path(out), "rb") as f:
            image = station.post("/v1/images", f.read(), "application/octet-stream")
        self.assertEqual([u["state"] for u in station.run(image["id"])], ["passed"])
        # a key from a file is granted to the sealing key in the token
        self.imprint("key", "new", "image", f"file{suite}", "--dir", self.dir, "--suite", suite)
        self.imprint("key", "grant", self.path(f"file{suite}.key"), "--socket", station.socket, "--fingerprint", sealing["fingerprint"])
        granted = {k["id"] for k in station.get("/v1/keys")["granted"]}
        self.assertIn(self.imprint("key", "show", self.path(f"file{suite}.pub"))["id"], granted)
        # one of the token does not leave it
        with self.assertRaisesRegex(AssertionError, "does not give it away"):
            self.imprint("key", "grant", self.uri(f"image{suite}"), "--socket", station.socket, "--fingerprint", sealing["fingerprint"])
        # and can be taken away there for this life only: that is said
        token_key = self.imprint("key", "show", self.uri(f"image{suite}"))["id"]
        with self.assertRaisesRegex(AssertionError, "back at the next start"):
            self.imprint("key", "revoke", token_key, "--socket", station.socket)
        with self.assertRaises(impstation.ApiError) as caught:
            station.launch(image["id"])
        self.assertEqual(caught.exception.code, 3015)
        station.stop()

    def test_p256(self):
        self.program("1", "EC:prime256v1")

    def test_rsa(self):
        self.program("2", "rsa:3072")

    def test_refused(self):
        self.key("anna", "EC:prime256v1", "--usage-sign")
        self.write("wrong", "9999")
        for uri, code in ((self.uri("nobody"), "key-token"), (self.uri("anna").replace("acme", "acne"), "key-token"),
                          (self.uri("anna").replace(self.module, "/nowhere.so"), "key-token"),
                          ("pkcs11:token=acme;object=anna?pin-value=4321", "argument")):
            with self.assertRaisesRegex(AssertionError, code) as caught:
                self.imprint("key", "show", uri)
            self.assertNotIn(self.path("pin"), str(caught.exception).split("} ")[0].split("message")[-1])
        with self.assertRaisesRegex(AssertionError, "key-private-missing|key-token"):  # a wrong PIN shows no private key
            self.sap("--author-key", self.uri("anna", "wrong"), encrypted=False, author=None)
        # an EC image key without CKA_DERIVE cannot open what is sealed for it, and says so
        self.imprint("key", "new", "author", "author", "--dir", self.dir)
        self.key("noderive", "EC:prime256v1", "--usage-sign")
        self.sap("--encrypt-to", self.uri("noderive"), encrypted=False, out="n.imp")
        with self.assertRaisesRegex(AssertionError, "envelope-open"):
            self.imprint("verify", self.path("n.imp"), "--author-key", self.path("author.pub"), "--image-key", self.uri("noderive"))


class Carried(impstation.CloudTestCase):
    """What the cloud carries: shares, and the list of authors that the root key signs."""

    def setUp(self):
        super().setUp()
        self.write("app.hex", impstation.intel_hex(self.app))
        self.board_ = self.board()
        self.data = self.init([self.board_])
        with open(os.path.join(self.data, "station.yaml"), "a", encoding="utf-8") as f:
            f.write("cloud-poll: 200 ms\n")

    def start(self):
        self.station_ = self.station(self.data)

    def launch(self, image):
        self.board_.control("next")
        return self.station_.run(image)[0]["state"]

    def usable(self, image, usable=True):
        return self.wait_image(self.station_, image, usable)

    def test_release(self):
        """Released by the cloud: the station opens the image with image key and share only; the share is in no file."""
        self.start()
        self.enrol(self.station_)
        self.admit(self.station_)
        image = self.job("--units", "9")
        with open(self.path("job.share"), encoding="ascii") as f:
            share = f.read().strip()
        self.assertEqual(os.stat(self.path("job.share")).st_mode & 0o777, 0o600)
        self.assertEqual(self.cloud_image(image)["share"], "here")
        self.upload()
        self.usable(image)
        self.assertEqual(self.launch(image), "passed")
        keys = ["--image-key", self.path("image.key"), "--author-key", self.path("author.pub")]
        self.assertEqual(self.imprint("verify", self.path("job.imp"), *keys)["verified"], "manifest")
        self.assertEqual(self.imprint("verify", self.path("job.imp"), *keys, "--share", self.path("job.share"))["verified"], "all")
        # after a restart it is asked for again, and without a cloud the image does not open
        self.cloud.stop()
        self.station_.stop()
        self.start()
        found = next(i for i in self.station_.get("/v1/images")["images"] if i["id"] == image)
        self.assertEqual((found["usable"], found["reason"]["code"]), (False, 3110))
        self.start_cloud()
        self.usable(image)
        self.wait_cloud(self.station_)
        self.assertEqual(self.launch(image), "passed")
        self.station_.stop()
        self.start()
        self.assertEqual(self.launch(image), "passed")  # a launch waits for the share
        for folder, _, names in os.walk(self.data):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as f:
                        content = f.read()
                    self.assertNotIn(bytes.fromhex(share), content, path)
                    self.assertNotIn(share.encode(), content, path)
        # another share than the statement names is not taken; without one the image waits
        other = self.job("--units", "9", out="other.imp")
        self.assertEqual(self.cloud_image(other)["share"], "here")
        self.imprint("seal", self.object("Widget"), "--kind", "job", "--author-key", self.path("author.key"), "--encrypt-to",
                     self.path("image.pub"), "--factory", "north", "-o", self.path("third.imp"))
        shutil.copy(self.path("job.share"), self.path("third.share"))
        with self.assertRaisesRegex(AssertionError, "not the share"):
            self.imprint("cloud", "image", "register", self.path("third.statement"))
        third = self.imprint("inspect", self.path("third.imp"))["header"]["id"]
        self.assertEqual(self.cloud_image(third)["share"], "missing")
        self.imprint("cloud", "image", "upload", self.path("third.imp"))
        self.assertEqual(self.usable(third, False)["reason"]["code"], 3110)
        with self.assertRaises(impstation.ApiError) as caught:  # after it has waited its time
            self.station_.launch(third)
        self.assertEqual(caught.exception.code, 3110)
        # disabled: the share goes, and the image with it
        self.imprint("cloud", "image", "disable", other, "--yes")
        # released by the key alone
        plain = self.job("--units", "9", "--release-by", "key", out="plain.imp")
        self.assertNotIn("share", self.cloud_image(plain))
        self.assertFalse(os.path.exists(self.path("plain.share")))
        self.upload("plain.imp")
        self.usable(plain)
        self.assertEqual(self.launch(plain), "passed")

    def test_trust(self):
        """The root key's list admits an author; one without the author blocks them; older, forged and strangers' lists do nothing."""
        for name in ("root", "stranger"):
            self.imprint("key", "new", "root", name, "--dir", self.dir)
        sign = ["trust", "sign", self.path("acme.trust"), "--root-key", self.path("root.key")]
        with self.assertRaisesRegex(AssertionError, "no root key"):
            self.imprint(*sign)
            self.imprint("cloud", "trust", self.path("acme.trust"))
        os.unlink(self.path("acme.trust"))
        root = self.imprint("cloud", "root", self.path("root.pub"))["root"]
        with self.assertRaisesRegex(AssertionError, "another root key"):
            self.imprint("cloud", "root", self.path("stranger.pub"))
        with self.assertRaisesRegex(AssertionError, "key-role"):
            self.imprint("cloud", "root", self.path("author.pub"))
        with self.assertRaisesRegex(AssertionError, "key-role"):
            self.imprint(*sign, self.path("image.pub"))
        self.start()
        self.enrol(self.station_)
        self.grant(self.station_)
        image = self.job("--release-by", "key")
        self.upload()
        self.assertEqual(self.usable(image, False)["reason"]["code"], 3016)
        first = self.imprint(*sign, self.path("author.pub"))
        self.assertEqual((first["number"], first["root"], [a["name"] for a in first["authors"]]), (1, root, ["author"]))
        shutil.copy(self.path("acme.trust"), self.path("first.trust"))
        self.imprint("cloud", "trust", self.path("acme.trust"))
        self.usable(image)
        self.assertEqual(self.launch(image), "passed")
        trust = self.station_.get("/v1/trust")
        self.assertEqual((trust["account_list"], [(a["name"], a["by"]) for a in trust["authors"]]), (1, [("author", "account")]))
        # a stranger's list, higher in number: neither the cloud nor, behind its back, the station takes it
        self.imprint("trust", "sign", self.path("s.trust"), "--root-key", self.path("stranger.key"), "--number", "99")
        with self.assertRaisesRegex(AssertionError, "trust-root"):
            self.imprint("cloud", "trust", self.path("s.trust"))
        with self.assertRaisesRegex(AssertionError, "trust-root"):
            self.imprint("trust", "list", self.path("s.trust"), "--root-key", self.path("root.pub"))
        # the author is left out: blocked at once, also after a restart
        self.assertEqual(self.imprint(*sign)["number"], 2)
        self.imprint("cloud", "trust", self.path("acme.trust"))
        self.assertEqual(self.usable(image, False)["reason"]["code"], 3016)
        with self.assertRaises(impstation.ApiError) as caught:
            self.station_.launch(image)
        self.assertEqual(caught.exception.code, 3016)
        with self.assertRaisesRegex(AssertionError, "trust-old"):
            self.imprint("cloud", "trust", self.path("first.trust"))
        self.station_.stop()
        # a cloud that was put back, or lies, offers the old list: the station keeps the newer one
        self.cloud.stop()
        with open(self.path("first.trust"), "rb") as f:
            old = f.read()
        database = next(os.path.join(self.cloud_folder, n) for n in os.listdir(self.cloud_folder) if n.endswith(".db"))
        with sqlite3.connect(database) as db:
            db.execute("UPDATE cloud_trust SET number = 3, list = ?", (old,))
        db.close()
        self.start_cloud()
        self.start()
        self.wait_cloud(self.station_)
        self.assertEqual(self.usable(image, False)["reason"]["code"], 3016)
        self.wait_for(self.station_, self.station_.errors, lambda text: "E3112" in text or "list of authors from the cloud" in text)
        self.assertEqual(self.station_.get("/v1/trust")["account_list"], 2)


class Disk(impstation.TestCase):
    def test_no_plaintext(self):
        """Every byte that a whole encrypted launch writes to any file: none of it is the payload's."""
        imptest.program("strace")
        # random bytes: zstd leaves them as they are, so that they would show packed as well as unpacked
        self.app = self.app[:0x40] + b"\xfe\xe7" + random.Random(4711).randbytes(20002)
        self.write("app.hex", impstation.intel_hex(self.app))
        self.keys()
        board = self.board()
        data = self.init([board])
        trace = self.path("trace")
        # the leak check of an instrumented build attaches to its own process, which strace has done already
        station = self.station(data, env=dict(self.env, ASAN_OPTIONS="detect_leaks=0"), before=[
            "strace", "-f", "-y", "-s", "1000000", "-xx", "-o", trace, "-e",
            "trace=write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendfile,copy_file_range,mmap"])
        with open(f"/proc/{station.child.pid}/task/{station.child.pid}/children", encoding="ascii") as f:
            child = int(f.read().split()[0])
        self.admit(station)
        with open(self.sap(), "rb") as f:
            image = station.post("/v1/images", f.read(), "application/octet-stream")
        self.assertEqual(station.run(image["id"])[0]["state"], "passed")
        self.assertEqual(board.dump(0, len(self.app)), self.app)
        os.kill(child, signal.SIGTERM)
        self.assertEqual(station.child.wait(60), 0)
        station.child.stdout.close()
        pieces = {self.app[i:i + 12] for i in range(0x44, len(self.app) - 12, 4)}
        wires, files = 0, set()
        with open(trace, encoding="ascii", errors="replace") as f:
            for line in f:
                call = re.match(r"\d+ +(\w+)\((\d+)<(.*?)>", line)
                if call is None:
                    if re.search(r" mmap\(.*PROT_WRITE.*MAP_SHARED, \d+<", line):
                        self.assertRegex(line, r"-shm>")  # SQLite's index of its log holds page numbers only
                    continue
                self.assertNotIn(call.group(1), ("sendfile", "copy_file_range"), "what was copied was not seen")
                where = re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m.group(1), 16)), call.group(3))
                data = bytes.fromhex("".join(re.findall(r"\\x([0-9a-f]{2})", line[call.end():])))
                hit = any(data[i:i + 12] in pieces for i in range(len(data) - 11))
                if where.startswith("/"):
                    files.add(where)
                    self.assertFalse(hit, f"plaintext goes to {where}")
                else:
                    wires += hit
        self.assertGreater(wires, 10, "the payload was not seen on its way to the board: this test sees nothing")
        self.assertTrue(any("ledger" in w for w in files) and any("images" in w for w in files), files)


if __name__ == "__main__":
    imptest.main()
