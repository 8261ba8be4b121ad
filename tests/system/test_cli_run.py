#!/usr/bin/env python3
"""`imprint run` against a real imprint-board: what is in the chip afterwards, what is counted, and what goes wrong, read aloud."""
import json
import os
import random
import re
import signal
import struct
import subprocess

import imptest

SEED = int(os.environ.get("IMPRINT_SEED", random.randrange(1 << 32)))
FLASH = 256 * 1024
SERIAL_AT = 0x8000

RECIPE = """\
imprint: 1
name: Widget
device: nRF51822
data: {app: {file: app.hex}}
values:
  serial: {pool: widget-serial, text: "W-{n:05}"}
  uid: {read: uid}
place:
  - {value: serial, at: 0x00008000, size: 12, pad: 0x00}
steps:
  - read: [uid]
  - erase: all
  - program: [app, values]
  - verify: checksum
  - reset: run
log: [uid, serial]
releases:
  two: {kind: sap, units: 2}
  bench: {kind: sap, numbers: 700 to 701, units: 9}
  writes: {kind: sap, numbers: 800 to 809, units: 1, count-on: write}
  failures: {kind: sap, numbers: 810 to 819, units: 9, max-failures: 1}
"""


def intel_hex(data, base=0):
    lines, upper = [], None
    for at in range(0, len(data), 16):
        addr = base + at
        if addr >> 16 != upper:
            upper = addr >> 16
            lines.append(bytes([2, 0, 0, 4, upper >> 8, upper & 255]))
        some = data[at:at + 16]
        lines.append(bytes([len(some), addr >> 8 & 255, addr & 255, 0]) + some)
    lines.append(bytes([0, 0, 0, 1]))
    return "".join(f":{line.hex()}{-sum(line) & 255:02x}\n".upper() for line in lines)


class Run(imptest.TestCase):
    def setUp(self):
        print(f"# seed {SEED}", flush=True)
        self.dir = self.folder()
        self.random = random.Random(SEED)
        # a vector table (stack, reset handler 0x41), `b .` at 0x40, and bytes of the seed
        self.app = struct.pack("<II", 0x20002000, 0x41).ljust(0x40, b"\0") + b"\xfe\xe7" + self.random.randbytes(6000)
        self.write("app.hex", intel_hex(self.app))
        self.recipe = self.write("recipe.yaml", RECIPE)
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"),
                        XDG_CONFIG_HOME=os.path.join(self.dir, "config"))

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def imprint(self, *args):
        return subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=120, env=self.env)

    def run_on(self, board, *more, recipe=None):
        return self.imprint("run", recipe or self.recipe, "--probe", f"tcp:{board.dap}", *more)

    def run_json(self, board, *more):
        done = self.run_on(board, "--json", *more)
        return done.returncode, json.loads(done.stdout)

    def expected(self, serial):
        memory = bytearray(b"\xff" * FLASH)
        memory[:len(self.app)] = self.app
        memory[SERIAL_AT:SERIAL_AT + 12] = serial.encode().ljust(12, b"\0")
        return bytes(memory)

    def test_programs_the_chip(self):
        board = self.board("--fill", "random", "--seed", "7")
        uid = bytes.fromhex(board.control("uid"))[::-1].hex()
        done = self.run_on(board)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(board.dump(), self.expected("W-00001"))
        for text in ("Widget", "nRF51822", "PASSED in ", "W-00001", uid, "program", "verify"):
            self.assertIn(text, done.stdout)
        self.assertNotIn("\033", done.stdout)  # no terminal: no colours, nothing drawn
        self.assertEqual(board.status()["running"], 1)

    def test_numbers_go_on_and_are_kept(self):
        board = self.board()
        serials = []
        for _ in range(3):
            status, result = self.run_json(board)
            self.assertEqual((status, result["ok"], result["state"], result["result"]), (0, True, "passed", "passed"))
            serials.append(result["numbers"][0]["text"])
            board.control("next")
        self.assertEqual(serials, ["W-00001", "W-00002", "W-00003"])
        ledger = os.path.join(self.dir, "data", "imprint", "ledger.db")
        self.assertEqual(os.stat(ledger).st_mode & 0o777, 0o600)

    def test_rework_keeps_values(self):
        """The same chip again gets the numbers that it bears, also after a failure; a new chip gets new ones."""
        more = 'steps:\n  - read: all\n  - erase: all\n  - program: [app, values]\n  - verify: checksum\nrework: keep-values\n'
        values = RECIPE[:RECIPE.index("steps:")].replace(
            "  uid: {read: uid}\n", "  uid: {read: uid}\n  mac: {pool: oui, eui48: 70-B3-D5-1A-20-00 to 70-B3-D5-1A-20-FF}\n").replace(
            "pad: 0x00}\n", "pad: 0x00}\n  - {value: mac, at: 0x00008010, order: reversed}\n")
        self.recipe = self.write("keep.yaml", values + more)
        board = self.board("--fill", "random")
        made = []
        for step in ("", "", "next", "", "next"):
            if step:
                board.control(step)
            status, result = self.run_json(board)
            self.assertEqual((status, result["result"]), (0, "passed"), result)
            texts = {number["pool"]: number["text"] for number in result["numbers"]}
            made.append((texts["widget-serial"], texts["oui"], result.get("kept", False)))
            memory = board.dump()
            self.assertEqual(memory[SERIAL_AT:SERIAL_AT + 12], texts["widget-serial"].encode().ljust(12, b"\0"))
            self.assertEqual(memory[SERIAL_AT + 16:SERIAL_AT + 22][::-1].hex("-").upper(), texts["oui"])
        self.assertEqual(made, [("W-00001", "70-B3-D5-1A-20-00", False), ("W-00001", "70-B3-D5-1A-20-00", True),
                                ("W-00002", "70-B3-D5-1A-20-01", False), ("W-00002", "70-B3-D5-1A-20-01", True),
                                ("W-00003", "70-B3-D5-1A-20-02", False)])
        self.assertIn("this chip had the number already", self.run_on(board).stdout)

    def test_rework_refused_and_counted(self):
        """A chip that passed is refused unwritten; with count-rework: false a unit is counted once."""
        end = 'steps:\n  - read: all\n  - erase: all\n  - program: [app, values]\n  - verify: checksum\n'
        start = RECIPE[:RECIPE.index("steps:")]
        self.recipe = self.write("refuse.yaml", start + end + "rework: refuse\n")
        board = self.board()
        self.assertEqual(self.run_json(board)[0], 0)
        words = board.status()["words_programmed"]
        status, result = self.run_json(board)
        self.assertEqual((status, result["result"], result["error"]["code"]), (3, "failed", 5022))
        self.assertEqual(board.status()["words_programmed"], words)
        board.control("next")
        status, result = self.run_json(board)
        self.assertEqual((status, result["numbers"][0]["text"]), (0, "W-00002"))
        release = "releases: {one: {kind: sap, units: 1, numbers: 500 to 509, count-rework: false}}\n"
        self.recipe = self.write("once.yaml", start + end + "rework: keep-values\n" + release)
        for _ in range(3):
            status, result = self.run_json(board, "--release", "one")
            self.assertEqual((status, result["numbers"][0]["text"]), (0, "W-00500"), result)
        board.control("next")
        status, result = self.run_json(board, "--release", "one")
        self.assertEqual((status, result["result"], result["error"]["code"]), (3, "failed", 5001))

    def test_labels_are_used_once(self):
        """A label of an external pool is good for one unit, and free again when nothing was written."""
        recipe = RECIPE[:RECIPE.index("releases:")].replace(
            "  uid: {read: uid}\n", '  uid: {read: uid}\n  label: {barcode: "W[0-9]{4}", pool: labels}\n').replace(
            "pad: 0x00}\n", "pad: 0x00}\n  - {value: label, at: 0x00008020, size: 8}\n").replace("log: [uid, serial]", "log: [uid, serial, label]")
        self.recipe = self.write("label.yaml", recipe)
        board = self.board()
        status, result = self.run_json(board, "--barcode", "W0042")
        self.assertEqual((status, [n["text"] for n in result["numbers"]]), (0, ["W-00001", "W0042"]), result)
        self.assertEqual(board.dump()[SERIAL_AT + 32:SERIAL_AT + 40], b"W0042\xff\xff\xff")
        board.control("next")
        status, result = self.run_json(board, "--barcode", "W0042")
        self.assertEqual((status, result["error"]["code"]), (3, 5028), result)
        self.assertEqual(self.run_json(board, "--barcode", "W0043")[0], 0)

    def test_numbers_of_the_release(self):
        """Without a release the desk counts for itself and says so; with one, the release's numbers are given."""
        board = self.board()
        done = self.run_on(board)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("this desk's own", done.stdout)
        self.assertIn("W-00001", done.stdout)
        for serial in ("W-00700", "W-00701"):
            board.control("next")
            done = self.run_on(board, "--release", "bench")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("700 to 701 of pool widget-serial, as pool widget-serial.700-701", done.stdout)
            self.assertIn(serial, done.stdout)
        board.control("next")
        done = self.run_on(board, "--release", "bench")
        self.assertIn("E5008", done.stdout)
        self.assertIn("has no number left\n", done.stdout)  # counts are said only where they are why

    def test_release_counts(self):
        board = self.board()
        for _ in range(2):
            status, _ = self.run_json(board, "--release", "two")
            self.assertEqual(status, 0)
            board.control("next")
        board.control("reset-counters")
        done = self.run_on(board, "--release", "two")
        self.assertEqual(done.returncode, 3)
        self.assertIn("REFUSED at START", done.stdout)
        self.assertIn("E5001 count-used-up", done.stdout)
        self.assertIn("2 of 2 passed, 0 in work", done.stdout)
        self.assertEqual(board.status()["packets"], 0)  # the chip was not touched
        done = self.run_on(board, "--release", "three")
        self.assertEqual(done.returncode, 2)
        self.assertIn("two", done.stderr)

    def test_refused_after_a_failure(self):
        """Units that failed after they were written: the refusal says which restriction it was, and what was counted."""
        board = self.board()
        for release, code, says in (("writes", "E5001 count-used-up", "0 of 1 passed, 0 in work, 1 failed when written or unknown\n"),
                                    ("failures", "E5007 failures-used-up", "0 of 9 passed, 0 in work, 1 failed when written or unknown\n")):
            board.control(f"fault stuck-bit {0x40} 0")  # of `b .`, where the firmware has a 0
            self.assertEqual(self.run_on(board, "--release", release).returncode, 1)
            board.control("fault none")
            board.control("next")
            done = self.run_on(board, "--release", release)
            self.assertEqual(done.returncode, 3)
            for text in (code, says):
                self.assertIn(text, done.stdout)

    def test_failures_are_read_aloud(self):
        rows = [  # board's options, control line, status, code, says, never
            (["--empty"], None, 2, "E2010 no-target", "check the board's seat", "spent"),
            (["--fault", "wrong-chip"], None, 1, "E2101 wrong-chip", "nothing was erased", "spent"),
            (["--fault", "wrong-variant"], None, 1, "E2101 wrong-chip", "CODESIZE", "spent"),
        ]
        for options, line, status, code, says, never in rows:
            board = self.board(*options)
            if line:
                board.control(line)
            done = self.run_on(board)
            self.assertEqual(done.returncode, status, options)
            for text in ("FAILED in attach", code, "likely", "do  ", says):
                self.assertIn(text, done.stdout, options)
            self.assertNotIn(never, done.stdout, options)
            self.assertNotIn("PASSED", done.stdout, options)
            after = board.status()
            self.assertEqual((after["pages_erased"], after["mass_erases"], after["words_programmed"]), (0, 0, 0), options)
            board.stop()

    def test_stuck_bit_is_found(self):
        board = self.board()
        address = self.random.randrange(0, len(self.app))
        bit = self.random.randrange(8)
        while self.app[address] >> bit & 1:  # a bit that should become 0 stays 1
            address, bit = self.random.randrange(0, len(self.app)), self.random.randrange(8)
        board.control(f"fault stuck-bit {address} {bit}")
        status, result = self.run_json(board)
        self.assertEqual((status, result["ok"], result["state"], result["result"]), (1, False, "failed", "spent"))
        error = result["error"]
        self.assertEqual((error["code"], error["name"], error["disposition"], error["step"]),
                         (2107, "flash-mismatch", "reject-unit", "verify"))
        at = int(error["address"], 16)
        self.assertTrue(at <= address < at + len(error["expected"]) // 2, error)
        offset = address - at
        expected, found = bytes.fromhex(error["expected"]), bytes.fromhex(error["found"])
        self.assertEqual(expected[offset], self.app[address])
        self.assertEqual(found[offset], self.app[address] | 1 << bit)
        # the number was written into a unit: it is never given again
        board.control("fault none")
        board.control("next")
        status, result = self.run_json(board)
        self.assertEqual((status, result["numbers"][0]["text"]), (0, "W-00002"))

    def stm32_recipe(self, device="STM32F103CB"):
        return self.write("stm32.yaml", RECIPE.replace("nRF51822", device).replace("app.hex", "stm32.hex")
                          .replace("0x00008000", "0x08008000"))

    def test_stm32(self):
        for device, serial in (("STM32F103CB", "W-00001"), ("STM32G071RB", "W-00002")):
            self.program_stm32(device, serial)

    def program_stm32(self, device, serial):
        app = struct.pack("<II", 0x20002000, 0x08000041).ljust(0x40, b"\0") + b"\xfe\xe7" + self.random.randbytes(6001)
        self.write("stm32.hex", intel_hex(app, 0x08000000))
        recipe = self.stm32_recipe(device)
        board = self.board("--fill", "random", "--seed", "7", chip=device.lower())
        uid = bytes.fromhex(board.control("uid"))[::-1].hex()
        done = self.run_on(board, recipe=recipe)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        memory = bytearray(b"\xff" * (128 * 1024))
        memory[:len(app)] = app
        memory[SERIAL_AT:SERIAL_AT + 12] = serial.encode().ljust(12, b"\0")
        self.assertEqual(board.dump(), bytes(memory))
        for text in (device[:9] + "xB", "PASSED in ", serial, uid):
            self.assertIn(text, done.stdout)
        status = board.status()
        self.assertEqual((status["mass_erases"], status["pages_erased"], status["running"]), (1, 0, 1))

    def test_stm32f103_failures(self):
        """Never a pass: another chip, half the flash, read protection (option bytes other than the factory's)."""
        self.write("stm32.hex", intel_hex(self.app, 0x08000000))
        recipe = self.stm32_recipe()
        locked = os.path.join(self.dir, "locked.bin")
        with open(locked, "wb") as f:
            f.write(b"\x00\xff")
        rows = [(["--fault", "wrong-chip"], "E2101 wrong-chip", 1), (["--fault", "wrong-variant"], "F_SIZE", 1),
                (["--load", locked + "@0x1FFFF800"], "E2115 locked", 2)]
        for options, says, status in rows:
            board = self.board(*options, "--fill", "random", chip="stm32f103cb")
            done = self.run_on(board, recipe=recipe)
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            self.assertIn("FAILED in attach", done.stdout, options)
            self.assertIn(says, done.stdout, options)
            self.assertNotIn("PASSED", done.stdout, options)
            self.assertEqual(board.status()["words_programmed"], 0, options)
            board.stop()

    def test_no_probe(self):
        board = self.board()
        board.stop()
        done = self.run_on(board)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn(board.dap, done.stdout)
        self.assertIn("E2001 probe-not-found", done.stdout)
        done = self.imprint("run", self.recipe, "--probe", "carrier-pigeon")
        self.assertEqual(done.returncode, 2)
        self.assertIn("carrier-pigeon", done.stdout + done.stderr)

    def test_several(self):
        """Two good boards, one without chip, one whose process stands still, one address without a board: each ends by itself."""
        boards = [self.board("--fill", "random") for _ in range(4)]
        boards[2].control("remove")
        gone = self.board()
        specs = [f"tcp:{b.dap}" for b in [*boards, gone]]
        gone.stop()
        os.kill(boards[3].child.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, boards[3].child.pid, signal.SIGCONT)
        result_file = os.path.join(self.dir, "result.json")
        args = [a for spec in specs for a in ("--probe", spec)]
        child = subprocess.Popen([imptest.program("imprint"), "run", self.recipe, "--result", result_file, *args],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env)
        self.addCleanup(child.kill)
        out, err = child.communicate(timeout=120)
        self.assertEqual(child.returncode, 2, out + err)  # operator (no chip, no probe) is worse than retry (stuck)
        ends = [line.split()[1:3] for line in out.splitlines() if re.match(r"port \S+ +(PASSED|FAILED)", line)]
        self.assertEqual(ends[-1], [boards[3].dap, "FAILED"], out)  # the stuck one ended last: nobody waited for it
        self.assertEqual(sorted(ends[:-1]), sorted([[boards[0].dap, "PASSED"], [boards[1].dap, "PASSED"],
                                                    [boards[2].dap, "FAILED"], [gone.dap, "FAILED"]]), out)
        summary = out.split("\nsummary\n")[1].splitlines()
        self.assertEqual(len(summary), 6, out)
        says = ["W-00001", "W-00002", "E2010 no-target in attach", "E2005 probe-timeout in attach",
                "E2001 probe-not-found in attach"]
        for line, spec, words in zip(summary, specs, says):
            self.assertIn(spec[4:] + " ", line)
            self.assertIn(words, line)
        self.assertEqual(summary[5], "2 of 5 passed")
        for board, serial in zip(boards, ("W-00001", "W-00002")):
            self.assertEqual(board.dump(), self.expected(serial))
        with open(result_file, encoding="utf-8") as f:
            result = json.load(f)
        self.assertEqual([(one["state"], one["port"]) for one in result["launches"]],
                         list(zip(["passed", "passed", "failed", "failed", "failed"], [s[4:] for s in specs])))
        self.assertFalse(result["ok"])

    def test_several_pass(self):
        boards = [self.board() for _ in range(3)]
        args = [a for board in boards for a in ("--probe", f"tcp:{board.dap}")]
        done = self.imprint("run", self.recipe, "--json", *args)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        serials = [one["numbers"][0]["text"] for one in json.loads(done.stdout)["launches"]]
        self.assertEqual(serials, ["W-00001", "W-00002", "W-00003"])
        for board, serial in zip(boards, serials):
            self.assertEqual(board.dump(), self.expected(serial))
        for board in boards:
            board.control("next")
        done = self.imprint("run", self.recipe, "--release", "two", *args)  # two units for three boards
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        self.assertIn("2 of 3 passed", done.stdout)
        self.assertIn("REFUSED  E5002 count-in-work", done.stdout)

    def test_several_wrong(self):
        board = self.board()
        spec = f"tcp:{board.dap}"
        for args, status, says in [((spec, spec), 2, "two probes are called"), (("all", spec), 2, "no other --probe"),
                                   (("all",), 2, "E2001")]:
            done = self.imprint("run", self.recipe, *[a for s in args for a in ("--probe", s)])
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            self.assertIn(says, done.stderr)
        self.assertEqual(board.status()["packets"], 0)

    def test_bad_recipes(self):
        rows = [
            (RECIPE.replace("verify: checksum", "verfy: checksum"), ["recipe.yaml:14", "verfy", "verify"]),
            (RECIPE.replace("nRF51822", "nRF51823"), ["recipe.yaml:3", "nRF51822"]),
            (RECIPE.replace("app.hex", "none.hex"), ["none.hex"]),
            (RECIPE.replace("  - verify: checksum\n", ""), ["verif"]),
            (RECIPE.replace("at: 0x00008000", "at: 0x00001000"), ["0x00001000"]),
            ("- a list\n", ["recipe.yaml:1"]),
        ]
        board = self.board()
        for text, says in rows:
            self.write("recipe.yaml", text)
            done = self.run_on(board)
            self.assertEqual(done.returncode, 2, text)
            self.assertEqual(done.stdout, "", text)
            for words in says + ["likely", "do  "]:
                self.assertIn(words, done.stderr, text)
        self.assertEqual(board.status()["packets"], 0)

    def test_interrupted(self):
        """Ctrl-C while it programs: a failed unit, a spent number, and the next run goes on."""
        self.app = self.random.randbytes(200 * 1024)
        self.write("app.hex", intel_hex(self.app))
        self.write("recipe.yaml", RECIPE.replace("0x00008000", "0x0003F000"))
        board = self.board()
        child = subprocess.Popen([imptest.program("imprint"), "run", self.recipe, "--probe", f"tcp:{board.dap}"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env)
        self.addCleanup(child.kill)
        seen = ""
        while "program\n" not in seen:
            line = child.stdout.readline()
            self.assertNotEqual(line, "", seen)
            seen += line
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 2, seen + out + err)
        self.assertIn("E1010 cancelled", out)
        self.assertIn("spent", out)
        board.control("next")
        status, result = self.run_json(board)
        self.assertEqual((status, result["numbers"][0]["text"]), (0, "W-00002"))

    def test_killed(self):
        """kill -9 while it programs: the next run records the first as unknown and does not give its number again."""
        self.app = self.random.randbytes(200 * 1024)
        self.write("app.hex", intel_hex(self.app))
        self.write("recipe.yaml", RECIPE.replace("0x00008000", "0x0003F000"))
        board = self.board()
        child = subprocess.Popen([imptest.program("imprint"), "run", self.recipe, "--probe", f"tcp:{board.dap}"],
                                 stdout=subprocess.PIPE, text=True, env=self.env)
        seen = ""
        while "program\n" not in seen:
            line = child.stdout.readline()
            self.assertNotEqual(line, "", seen)
            seen += line
        child.kill()
        child.wait()
        child.stdout.close()
        board.control("next")
        done = self.run_on(board)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("unknown", done.stderr)
        self.assertIn("W-00002", done.stdout)


if __name__ == "__main__":
    imptest.main()
