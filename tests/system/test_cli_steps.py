#!/usr/bin/env python3
"""The steps of a recipe beside erase, program and verify, and what comes with a launch, on a real imprint-board: what the chip holds
afterwards, what is refused, what the record keeps."""
import hashlib
import json
import os
import random
import struct
import subprocess

import imptest

SEED = int(os.environ.get("IMPRINT_SEED", random.randrange(1 << 32)))
FLASH = 256 * 1024
UICR = 0x10001000
RAM = 0x20000000

HEAD = """\
imprint: 1
name: Widget
device: nRF51822
connection: {swd: 4 MHz}
data:
  boot: {file: boot.bin, at: 0x0}
  app: {file: app.bin, at: 0x4000}
"""


class Steps(imptest.TestCase):
    def setUp(self):
        print(f"# seed {SEED}", flush=True)
        self.random = random.Random(SEED)
        self.dir = self.folder()
        # a vector table (stack, reset handler 0x41), and `b .` at 0x40
        self.boot = struct.pack("<II", 0x20002000, 0x41).ljust(0x40, b"\0") + b"\xfe\xe7" + self.random.randbytes(3000)
        self.app = self.random.randbytes(5000)
        self.write("boot.bin", self.boot)
        self.write("app.bin", self.app)
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"),
                        XDG_CONFIG_HOME=os.path.join(self.dir, "config"))

    def write(self, name, data):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        return path

    def imprint(self, *args):
        return subprocess.run([imptest.program("imprint"), *args], capture_output=True, timeout=120, env=self.env)

    def run_json(self, board, text, *more):
        done = self.imprint("run", self.write("recipe.yaml", HEAD + text), "--probe", f"tcp:{board.dap}", "--json", *more)
        self.assertTrue(done.stdout, done.stderr)
        return done.returncode, json.loads(done.stdout)

    def passes(self, board, text, *more):
        status, result = self.run_json(board, text, *more)
        self.assertEqual((status, result.get("result")), (0, "passed"), result)
        return result

    def fails(self, board, text, name, *more):
        status, result = self.run_json(board, text, *more)
        self.assertNotEqual(status, 0, result)
        self.assertEqual(result["error"]["name"], name, result)
        return result

    def memory(self, *more):
        memory = bytearray(b"\xff" * FLASH)
        for at, data in ((0, self.boot), (0x4000, self.app), *more):
            memory[at:at + len(data)] = data
        return bytes(memory)

    def test_groups_and_ranges(self):
        """Two groups, each with its range; what no range holds keeps what was there."""
        board = self.board("--fill", "random", "--seed", str(SEED))
        before = board.dump()
        self.passes(board, """
steps:
  - erase: 0x0 to 0xFFF
  - program: [boot]
  - verify: {by: read-back, data: [boot]}
  - erase: 0x4000 to 0x57FF
  - program: [app]
  - verify: {by: checksum, data: [app]}
  - verify: checksum
finally: [reset]
""")
        after = board.dump()
        self.assertEqual(after[:0x1000], self.boot.ljust(0x1000, b"\xff"))
        self.assertEqual(after[0x4000:0x5800], self.app.ljust(0x1800, b"\xff"))
        self.assertEqual(after[0x1000:0x4000], before[0x1000:0x4000])
        self.assertEqual(after[0x5800:], before[0x5800:])
        self.assertEqual(board.status()["mass_erases"], 0)
        self.assertEqual(board.status()["running"], 1)

    def test_main_flash_and_uicr(self):
        """Several algorithm blocks in one launch, and a value that is read and then programmed."""
        board = self.board()
        uid = bytes.fromhex(board.control("uid"))[::-1]
        self.passes(board, """
values:
  uid: {read: uid}
place:
  - {value: uid, at: 0x10001080}
  - {value: uid, at: 0x10001090, size: 12, pad: 0x55, order: reversed}
  - {value: uid, at: 0x4004, over: app}
steps:
  - read: all
  - erase: all
  - program: [values]
  - program: [app, boot]
  - verify: checksum
""")
        self.assertEqual(board.dump(), self.memory((0x4004, uid)))
        self.assertEqual(board.dump(UICR + 0x80, 0x1C), uid + b"\xff" * 8 + uid[::-1] + b"\x55" * 4)

    def test_blank_check(self):
        steps = "steps:\n  - blank-check: {}\n  - erase: all\n  - program\n  - verify: checksum\n"
        board = self.board()
        for what in ("all", "used", "0x10001000 to 0x100010FF"):
            self.passes(board, steps.format(what))
            board.control("next")
        # one bit that is not erased: behind the data, so only `all` sees it
        board = self.board()
        at = 0x20000 + self.random.randrange(FLASH - 0x20000)
        self.write("dirt.bin", b"\xfe")
        done = self.imprint("run", self.write("dirty.yaml", "imprint: 1\nname: Dirt\ndevice: nRF51822\ndata: {d: {file: dirt.bin, at: 0x%X}}\n" % at),
                            "--probe", f"tcp:{board.dap}")
        self.assertEqual(done.returncode, 0, done.stdout)
        erases = board.status()["mass_erases"]
        result = self.fails(board, steps.format("all"), "not-blank")
        self.assertEqual((result["result"], result["error"]["step"]), ("failed", "blank-check"))
        self.assertEqual(int(result["error"]["address"], 16), at)
        self.assertEqual(board.status()["mass_erases"], erases)  # nothing was written: the unit is as it was
        self.fails(board, steps.format(f"0x{at:X} to 0x{at + 3:X}" if at + 3 < FLASH else f"0x{at - 3:X} to 0x{at:X}"), "not-blank")
        self.passes(board, steps.format("used"))

    def test_write_expect_delay(self):
        board = self.board()
        word = self.random.randrange(1 << 32)
        recipe = f"""
steps:
  - write: {{at: 0x{RAM + 0x100:X}, value: 0x{word:X}}}
  - write: {{at: 0x{RAM + 0x104:X}, hex: "00 80 FF 7F"}}
  - delay: 300 ms
  - expect: {{at: 0x{RAM + 0x100:X}, equals: 0x{word:X}}}
  - expect: {{at: 0x{RAM + 0x104:X}, size: 2, between: 0x8000 to 0x8000}}
  - expect: {{at: 0x{RAM + 0x104:X}, mask: 0xFF0000, equals: 0xFF0000}}
  - erase: used
  - program
  - verify: checksum
  - expect: {{at: 0x0, equals: 0x20002000}}
"""
        result = self.passes(board, recipe)
        self.assertGreaterEqual(result["phase_ms"]["delay"], 300)
        for step, found in (("{at: 0x0, size: 1, equals: 1}", "00"),
                            ("{at: 0x0, size: 2, between: 1 to 0x1FFF, within: 30 ms}", "0020")):
            result = self.fails(board, recipe + f"  - expect: {step}\n", "not-expected")
            self.assertEqual((result["result"], result["error"]["step"], result["error"]["found"]), ("spent", "expect", found))
            self.assertEqual(int(result["error"]["address"], 16), 0)

    def test_finally_runs_after_failure(self):
        """The mark is written whatever happened, and a unit that failed stays so."""
        for steps, good in (("erase: used, program, verify: checksum", True),
                            ("erase: used, program, verify: checksum, {expect: {at: 0x0, equals: 1}}", False)):
            board = self.board()
            status, result = self.run_json(board, f"""
steps: [{steps}]
finally: [delay: 10 ms, {{write: {{at: 0x{RAM + 0x200:X}, value: 0x600DF00D}}}}, reset]
""")
            self.assertEqual((status == 0, result["result"] == "passed"), (good, good), result)
            self.assertEqual(board.dump(RAM + 0x200, 4), struct.pack("<I", 0x600DF00D))
            self.assertEqual(board.status()["running"], 1)

    def test_given_values(self):
        """All 256 byte values by every way in; the record keeps what it may keep."""
        recipe = """
values:
  label: {barcode: "T2[0-9]{4}"}
  cal: {given: {size: 1 to 256}}
  key: {given: {size: 16}, redact: true}
  note: {given: {size: 1 to 32}}
place:
  - {value: label, at: 0x8000, size: 8, pad: 0x00}
  - {value: cal, at: 0x8100, pad: 0xEE}
  - {value: key, at: 0x8010, when: after}
  - {value: note, at: 0x4010, over: app, pad: 0x20}
"""
        everything, key = bytes(range(256)), self.random.randbytes(16)
        path = self.write("cal.bin", everything)
        for given in (f"cal=file:{path}", "cal=hex:" + everything.hex()):
            board = self.board()
            result = self.passes(board, recipe, "--set", given, "--set", "key=hex:" + key.hex(), "--barcode", "T20042",
                                 "--set", "note=text:hex:\N{SNOWMAN}")
            note = "hex:\N{SNOWMAN}".encode().ljust(32, b" ")
            self.assertEqual(board.dump(), self.memory((0x8000, b"T20042\0\0"), (0x8010, key), (0x8100, everything), (0x4010, note)))
            reads = {r["name"]: r for r in result["reads"]}
            self.assertEqual(reads["label"]["bytes"], b"T20042".hex())
            self.assertEqual(reads["cal.sha256"]["bytes"], hashlib.sha256(everything).hexdigest())
            self.assertEqual((reads["key"]["bytes"], reads["key"]["redacted"]), ("", True))
            with open(os.path.join(self.dir, "data", "imprint", "ledger.db"), "rb") as f:
                self.assertNotIn(key, f.read())
            board.stop()

    def test_verify_only(self):
        """Compares, says where it differs, writes nothing, uses no number up, and stands in the log as what it is."""
        recipe = """
values:
  serial: {pool: widget-serial, decimal: 6}
  key: {given: {size: 4}, redact: true}
  uid: {read: uid}
place:
  - {value: serial, at: 0x4020, over: app}
  - {value: key, at: 0x8000}
  - {value: uid, at: 0x8010}
"""
        board = self.board()
        made = self.passes(board, recipe, "--set", "key=1234")
        self.assertEqual(made["numbers"][0]["text"], "000001")
        board.control("reset-counters")
        before = board.dump()
        for more in ((), ("--set", "key=1234")):
            result = self.run_json(board, recipe, "--verify-only", *more)[1]
            self.assertEqual((result["ok"], result["state"], result["result"], result["verify_only"]),
                             (True, "passed", "verified", True), result)
            reads = {r["name"]: r for r in result["reads"]}
            self.assertEqual(reads["serial"]["bytes"], b"000001".hex())
            self.assertEqual((reads["key"]["bytes"], reads["uid"]["bytes"]), ("", made["uid"]))
            self.assertEqual(result["numbers"], [])
        done = self.imprint("run", os.path.join(self.dir, "recipe.yaml"), "--probe", f"tcp:{board.dap}", "--verify-only")
        self.assertIn(b"VERIFIED in", done.stdout)
        self.assertNotIn(b"PASSED", done.stdout)
        self.assertNotIn(b"serial numbers", done.stdout)  # none is given
        # another key than the unit's, another unit's ID, one bit of the data
        result = self.fails(board, recipe, "flash-mismatch", "--verify-only", "--set", "key=1235")
        self.assertEqual((result["result"], int(result["error"]["address"], 16) & ~3), ("unverified", 0x8000))
        self.assertEqual(board.dump(), before)
        status = board.status()
        self.assertEqual((status["pages_erased"], status["mass_erases"], status["words_programmed"]), (0, 0, 0))
        self.write("app.bin", bytes([self.app[0] ^ 0x10]) + self.app[1:])
        result = self.fails(board, recipe, "flash-mismatch", "--verify-only")
        self.assertEqual(int(result["error"]["address"], 16) & ~3, 0x4000)
        self.write("app.bin", self.app)
        # no number was used, and this chip counts as made once
        board.control("next")
        self.assertEqual(self.passes(board, recipe, "--set", "key=1234")["numbers"][0]["text"], "000002")
        result = self.fails(self.board("--empty"), recipe, "no-target", "--verify-only")
        self.assertEqual(result["result"], "unverified")

    def test_a_unit_without_a_number_is_not_verified(self):
        """All the data is there, and the place of the number is blank."""
        board = self.board()
        self.passes(board, "")
        result = self.fails(board, """
values: {serial: {pool: widget-serial, decimal: 6}}
place: [{value: serial, at: 0x8000}]
""", "flash-mismatch", "--verify-only")
        self.assertEqual((result["result"], int(result["error"]["address"], 16)), ("unverified", 0x8000))
        self.assertIn("no number at 0x00008000, where value 'serial' goes", result["error"]["message"])

    def test_given_values_are_refused(self):
        recipe = """
values:
  label: {barcode: "T2[0-9]{4}"}
  key: {given: {size: 4}}
place:
  - {value: key, at: 0x8000}
"""
        board = self.board()
        board.control("reset-counters")
        good = ("--barcode", "T20001", "--set", "key=1234")
        rows = [
            (("--barcode", "T2000"), "given-barcode"), (("--barcode", "T20001", "--set", "key=123"), "given-size"),
            (("--set", "key=1234"), "given-missing"), (good + ("--set", "kay=1"), "given-unknown"),
            (good + ("--set", "key=1234"), "argument"), (good + ("--set", "key"), "argument"),
            (("--barcode", "T20001", "--set", "key=hex:123"), "argument"),
            (("--barcode", "T20001", "--set", "key=file:nothing"), "not-found"),
            (good + ("--probe", "tcp:127.0.0.1:1"), "given-barcode"),
        ]
        for more, name in rows:
            self.fails(board, recipe, name, *more)
        self.assertEqual(board.status()["packets"], 0)  # the chip was not touched
        self.passes(board, recipe, *good)

    def test_overlap_names_both(self):
        path = self.write("recipe.yaml", HEAD + "values: {cal: {given: {size: 4}}}\nplace: [{value: cal, at: 0x4010}]\n")
        done = self.imprint("check", path)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"value 'cal' lies over data 'app' at 0x00004010", done.stdout + done.stderr)


if __name__ == "__main__":
    imptest.main()
