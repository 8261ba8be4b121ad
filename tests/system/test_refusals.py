#!/usr/bin/env python3
"""A station with a board behind its port is given images that are damaged, cut, longer, or made on purpose by somebody who can do
everything but sign: each is refused with its code when it is loaded or launched, and no packet reaches the board."""
import hashlib
import json
import os
import struct
import subprocess

import impstation
import imptest

REFUSALS = {1004, *range(3001, 3031)}  # a length beyond its limit, and everything that can be wrong with an image


def openssl(*args, folder):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder, timeout=30).stdout


class File:
    """The parts of an image file (docs/formats/image.md)."""

    def __init__(self, data):
        self.fixed = data[:32]
        clear, envelope, _, payload = struct.unpack("<IIIQ", data[12:32])
        self.clear = data[32:32 + clear]
        self.envelope = data[32 + clear:32 + clear + envelope]
        self.payload = data[32 + clear + envelope:][:payload]

    def head(self, envelope, clear=None):
        clear = self.clear if clear is None else clear
        return self.fixed[:12] + struct.pack("<IIIQ", len(clear), len(envelope), 0, len(self.payload)), clear

    def build(self, envelope=None, clear=None):
        """The file with other parts; its lengths and the digest at its end are right."""
        envelope = self.envelope if envelope is None else envelope
        return sealed(b"".join(self.head(envelope, clear)) + envelope + self.payload)


def sealed(data):
    return data + hashlib.sha256(data).digest()


def element(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x81" + bytes([size]) if size < 256 else b"\x82" + struct.pack(">H", size)
    return bytes([tag]) + length + content


def enter(data, tag):
    """Content of the first element, which has this tag, and what follows it."""
    assert data[0] == tag, (data[:4], tag)
    size, at = data[1], 2
    if size >= 128:
        at += size & 127
        size = int.from_bytes(data[2:at], "big")
    return data[at:at + size], data[at + size:]


def short_tag(envelope):
    """An AuthEnvelopedData whose authentication tag has 4 bytes, and whose parameters say so: CMS libraries accept it."""
    content, _ = enter(envelope, 0x30)
    rest = content[2 + content[1]:]
    body, _ = enter(enter(rest, 0xa0)[0], 0x30)
    assert body[-18:-16] == b"\x04\x10", body[-18:]
    at = body.rindex(b"\x02\x01\x10")
    body = body[:at] + b"\x02\x01\x04" + body[at + 3:-18] + b"\x04\x04" + body[-16:-12]
    return element(0x30, content[:2 + content[1]] + element(0xa0, element(0x30, body)))


class Refusals(impstation.TestCase):
    SIGN = []  # what tells openssl to sign and to encrypt as the suite does
    ENCRYPT = ["-keyopt", "ecdh_kdf_md:sha256"]
    OTHER = "2"  # suite
    RECIPE = """\
imprint: 1
name: {name}
device: nRF51822
data: {{app: {{file: app.hex}}}}
"""

    def setUp(self):
        super().setUp()
        self.app = self.app[:96]
        self.write("app.hex", impstation.intel_hex(self.app))
        self.keys()
        self.board_ = self.board()
        self.station_ = self.station(self.init([self.board_]))
        self.admit(self.station_)

    def object(self, name="Widget", pool=""):
        """Of a recipe without numbers, for a small image."""
        self.imprint("build", self.write("w.yaml", self.RECIPE.format(name=name)), "-o", self.path("w.impo"))
        return self.path("w.impo")

    def sap(self, *options, **more):
        return super().sap(*options, numbers=None, **more)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def code(self, data, name="?"):
        """The code with which a file is refused when it is loaded, or when it is launched; 0: it is not."""
        try:
            loaded = self.station_.post("/v1/images", data, "application/octet-stream")
        except impstation.ApiError as e:
            self.assertTrue(e.text, name)
            return e.code
        try:
            self.station_.wait(self.station_.launch(loaded["id"]))
        except impstation.ApiError as e:
            self.assertTrue(e.text, name)
            return e.code
        finally:
            self.station_.delete(f"/v1/images/{loaded['id']}")
        return 0

    def nothing_touched(self, before):
        self.assertEqual(self.board_.status()["packets"], before)
        self.assertEqual(self.station_.records(), [])
        self.assertEqual(self.board_.dump(0, impstation.FLASH), b"\xff" * impstation.FLASH)

    def good_is_good(self, data):
        """Or the test has seen nothing."""
        before = self.board_.status()["packets"]
        self.assertEqual(self.code(data), 0)
        self.assertGreater(self.board_.status()["packets"], before)
        self.assertEqual([r["result"] for r in self.station_.records()], ["passed"])

    def damage(self, encrypted):
        good = self.read(os.path.basename(self.sap(encrypted=encrypted)))
        self.assertLessEqual(len(good), 5120)
        before = self.board_.status()["packets"]
        for i in range(len(good)):
            flipped = good[:i] + bytes([good[i] ^ 1]) + good[i + 1:]
            self.assertIn(self.code(flipped), REFUSALS, f"byte {i}")
            self.assertIn(self.code(good[:i]), (3004, 7101, 7108), f"cut at {i}")
            # with the digest at the end made right again, as one does who changes it on purpose
            if i < len(good) - 32 and i % 7 == 0:
                self.assertIn(self.code(sealed(flipped[:-32])), REFUSALS, f"byte {i}, forged")
        for n in (1, 2, 31, 32, 33, 4096):
            self.assertEqual(self.code(good + bytes(n)), 3005, n)
        loaded = self.station_.post("/v1/images", good, "application/octet-stream")
        other = File(good)
        other.payload = other.payload[:-1] + bytes([other.payload[-1] ^ 1])
        with self.assertRaises(impstation.ApiError) as caught:  # under the ID of one that is here
            self.station_.post("/v1/images", other.build(), "application/octet-stream")
        self.assertEqual(caught.exception.code, 6004)
        self.station_.delete(f"/v1/images/{loaded['id']}")
        self.nothing_touched(before)
        self.good_is_good(good)

    def test_damaged(self):
        self.damage(encrypted=False)

    def test_damaged_encrypted(self):
        self.damage(encrypted=True)

    def certificate(self, name, key_id, key=None):
        """A certificate around name.key which claims this key ID."""
        openssl("req", "-x509", "-new", "-key", f"{key or name}.key", "-subj", f"/CN={name}", "-addext",
                f"subjectKeyIdentifier={key_id}", "-out", f"{name}.crt", folder=self.dir)

    def key_id(self, name):
        return hashlib.sha256(openssl("pkey", "-pubin", "-in", f"{name}.pub", "-outform", "DER", folder=self.dir)).hexdigest()

    def sign(self, manifest):
        with open(self.path("manifest"), "wb") as f:
            f.write(manifest)
        openssl("cms", "-sign", "-binary", "-nodetach", "-md", "sha256", "-noattr", "-nocerts", "-keyid", "-signer", "author.crt",
                "-inkey", "author.key", *self.SIGN, "-in", "manifest", "-outform", "DER", "-out", "signed", folder=self.dir)
        return self.read("signed")

    def encrypt(self, signed, recipient, cipher="-aes-256-gcm"):
        with open(self.path("signed"), "wb") as f:
            f.write(signed)
        openssl("cms", "-encrypt", "-binary", "-in", "signed", "-outform", "DER", "-out", "made", "-recip", f"{recipient}.crt", cipher,
                "-keyid", *self.ENCRYPT, folder=self.dir)
        return self.read("made")

    def forge(self, good, edit):
        """An image with another manifest, signed by the author, which binds header, length and payload as it must."""
        file = File(good)
        with open(self.path("signed"), "wb") as f:
            f.write(file.envelope)
        text = openssl("cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-nointern", "-in", "signed", "-certfile", "author.crt",
                       folder=self.dir)
        manifest = json.loads(text)
        edit(manifest)
        data = good
        for _ in range(200):  # the length of a signature is not always the same
            envelope = File(data).envelope
            fixed, clear = file.head(envelope)
            manifest["file_bytes"] = len(data)
            manifest["fixed_sha256"] = hashlib.sha256(fixed).hexdigest()
            manifest["clear_sha256"] = hashlib.sha256(clear).hexdigest()
            canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            made = file.build(self.sign(canonical))
            if len(made) == len(data):
                return made
            data = made
        raise AssertionError("no signature of the right length")

    def test_by_name(self):
        plain = self.read(os.path.basename(self.sap(encrypted=False, out="plain.imp")))
        secret = self.read(os.path.basename(self.sap(out="secret.imp")))
        self.certificate("author", self.key_id("author"))
        self.certificate("image", self.key_id("image"))
        for purpose, name, suite in (("image", "other", self.SUITE), ("author", "mallory", self.SUITE), ("author", "author-b", self.OTHER),
                                     ("image", "image-b", self.OTHER)):
            self.imprint("key", "new", purpose, name, "--dir", self.dir, "--suite", suite)
        self.certificate("liar", self.key_id("image"), key="other")
        for name in ("liar", "other-ca"):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out",
                    "ca.pem", "-subj", f"/CN={name}", folder=self.dir)
        seal = ["seal", self.object(), "--author-key", self.path("author.key")]
        self.imprint(*seal, "--kind", "sap", "--encrypt-to", self.path("other.pub"), "-o", self.path("1.imp"))
        self.imprint("seal", self.object(), "--author-key", self.path("mallory.key"), "--kind", "sap", "-o", self.path("2.imp"))
        self.imprint(*seal, "--kind", "job", "--encrypt-to", self.path("image.pub"), "--ca", self.path("ca.pem"), "--factory", "north",
                     "-o", self.path("3.imp"))
        # the same author's and the same customer's keys of the other suite are known here, too
        with open(self.path("author-b.pub"), encoding="utf-8") as f:
            self.station_.post("/v1/trust", {"name": "author-b", "public_key": f.read()})
        fingerprint = self.station_.get("/v1/keys")["sealing"]["fingerprint"]
        self.imprint("key", "grant", self.path("image-b.key"), "--socket", self.station_.socket, "--fingerprint", fingerprint)
        self.imprint("seal", self.object(), "--author-key", self.path("author-b.key"), "--kind", "sap", "--encrypt-to",
                     self.path("image-b.pub"), "-o", self.path("b.imp"))
        other = File(self.read("b.imp"))
        file = File(secret)
        downgraded = file.build(other.envelope)
        rows = [
            ("another image key", 3015, self.read("1.imp")),
            ("the image key's name, another key", 3014, file.build(self.encrypt(File(plain).envelope, "liar"))),
            ("an author who is not trusted", 3016, self.read("2.imp")),
            ("a JOB, and no cloud", 6008, self.read("3.imp")),
            ("another version", 3002, sealed(plain[:8] + b"\2\0" + plain[10:-32])),
            ("another suite", 3003, sealed(plain[:10] + b"\3\0" + plain[12:-32])),
            ("the other suite's number", 3010, sealed(plain[:10] + bytes([int(self.OTHER), 0]) + plain[12:-32])),
            ("the other suite's number, encrypted", 3010, sealed(secret[:10] + bytes([int(self.OTHER), 0]) + secret[12:-32])),
            ("the other suite's envelope", 3010, downgraded),
            ("the other suite's envelope and number", 3010, sealed(downgraded[:10] + bytes([int(self.OTHER), 0]) + downgraded[12:-32])),
            ("another manifest version", 3022, self.forge(plain, lambda m: m.update({"imprint-manifest": 2}))),
            ("an unknown member", 3021, self.forge(plain, lambda m: m.update(zz=1))),
            ("an unknown member of a restriction", 3021, self.forge(plain, lambda m: m["restrictions"].update(zz=1))),
            ("CBC", 3011, file.build(self.encrypt(File(plain).envelope, "image", "-aes-256-cbc"))),
            ("a tag of 4 bytes", 3012, file.build(short_tag(file.envelope))),
            ("signed by somebody else", 3010, File(plain).build(File(self.read("2.imp")).envelope)),
            ("cut off inside", 3010, file.build(file.envelope[:-1])),
            ("a byte after the envelope", 3013, file.build(file.envelope + b"\0")),
        ]
        before = self.board_.status()["packets"]
        for name, code, data in rows:
            self.assertEqual(self.code(data, name), code, name)
        self.nothing_touched(before)
        self.good_is_good(self.forge(plain, lambda m: None))  # the forger's hand alone spoils nothing


class RefusalsSuite2(Refusals):
    """The same with RSA."""
    SUITE, OTHER = "2", "1"
    SIGN = ["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:32"]
    ENCRYPT = ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"]


if __name__ == "__main__":
    imptest.main()
