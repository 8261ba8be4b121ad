#!/usr/bin/env python3
"""Debian's OpenOCD, which knows nothing of us, takes the virtual board for a real one: through a mocked USB probe it attaches,
reads the chip's description, erases, writes, verifies and dumps, locks and unlocks; what it dumped is what it wrote, and what the board holds.
What imprint programmed, over the same mocked device by bulk and by HID, it verifies, and the other way round."""
import json
import os
import random
import subprocess

import imptest

IMAGE_BYTES = 65536
SEED = 20261122
TIMEOUT_S = 240


class OpenOcd(imptest.TestCase):
    def run_openocd(self, board, *commands, khz=1000, target="nrf51"):
        args = [imptest.program("usb-proxy"), "--board", board.dap, "--", imptest.program("openocd"),
                "-c", "adapter driver cmsis-dap", "-c", "cmsis_dap_backend usb_bulk", "-c", "transport select swd",
                "-f", f"target/{target}.cfg", "-c", "gdb_port disabled; tcl_port disabled; telnet_port disabled",
                "-c", f"adapter speed {khz}"]
        for command in (*commands, "shutdown"):
            args += ["-c", command]
        done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("Error: 1", done.stdout)
        return done.stdout

    def test_identifies_the_chip(self):
        board = self.board("--seed", "51")
        out = self.run_openocd(board, "init", "reset halt", "echo [mdw 0x10000010 2]", "echo [mdw 0x10000060 2]",
                               "echo [flash info 0]", "echo [dap info]")
        self.assertIn("SWD DPIDR 0x0bb11477", out)
        self.assertIn("Cortex-M0 r0p0 processor detected", out)
        self.assertIn("0x10000010: 00000400 00000100", out)
        uid = board.control("uid")
        self.assertIn(f"0x10000060: {uid[8:].lower()} {uid[:8].lower()}", out)
        self.assertIn("nRF51822-QFAA(build code: H0) 256kB Flash, 16kB RAM", out)
        self.assertIn("MEM-AP BASE 0xf0000003", out)
        for part in ("Cortex-M0 ROM", "Cortex-M0 SCS", "Cortex-M0 BPU", "Cortex-M0 DWT"):
            self.assertIn(part, out)
        board.stop()

    def test_programs_verifies_and_dumps(self):
        board = self.board("--seed", "52", "--fill", "random")
        before = board.dump()
        folder = self.folder()
        image, dump = os.path.join(folder, "image.bin"), os.path.join(folder, "dump.bin")
        data = random.Random(SEED).randbytes(IMAGE_BYTES)
        print(f"# seed {SEED}")
        with open(image, "wb") as f:
            f.write(data)
        out = self.run_openocd(board, "init", "reset halt", f"flash write_image erase {image} 0", f"verify_image {image} 0",
                               f"dump_image {dump} 0 {IMAGE_BYTES}", khz=4000)
        self.assertIn(f"wrote {IMAGE_BYTES} bytes from file", out)
        self.assertIn(f"verified {IMAGE_BYTES} bytes", out)
        with open(dump, "rb") as f:
            self.assertEqual(f.read(), data)
        after = board.dump()
        self.assertEqual(after[:IMAGE_BYTES], data)
        self.assertEqual(after[IMAGE_BYTES:], before[IMAGE_BYTES:], "what was not in the image is untouched")
        status = board.status()
        self.assertEqual(status["pages_erased"], IMAGE_BYTES // 1024)
        self.assertEqual(status["words_programmed"], IMAGE_BYTES // 4)
        board.stop()

    def test_runs_steps_and_breaks(self):
        """A loop in flash: r0 counts up. Reset, steps, a breakpoint that is hit twice (once a round)."""
        board = self.board("--seed", "53")
        folder = self.folder()
        image = os.path.join(folder, "loop.bin")
        # vectors: stack 0x20002000, reset 0x41; 0x40: movs r0,#0; 0x42: adds r0,#1; 0x44: nop; 0x46: b 0x42
        code = (0x20002000).to_bytes(4, "little") + (0x41).to_bytes(4, "little") + b"\xff" * 56
        for word in (0x2000, 0x3001, 0xBF00, 0xE7FC):
            code += word.to_bytes(2, "little")
        with open(image, "wb") as f:
            f.write(code)
        out = self.run_openocd(board, "init", "reset halt", f"flash write_image erase {image} 0", "reset halt",
                               "echo [reg pc]", "step", "echo [reg pc]", "step", "echo [reg r0]",
                               "bp 0x44 2 hw", "resume", "wait_halt 1000", "resume", "wait_halt 1000", "echo [reg r0]",
                               "echo [reg pc]", "rbp 0x44", "resume", "halt", "echo [reg r0]")
        lines = [line for line in out.splitlines() if line.startswith(("pc ", "r0 "))]
        self.assertEqual(lines[:5], ["pc (/32): 0x00000040", "pc (/32): 0x00000042", "r0 (/32): 0x00000001",
                                     "r0 (/32): 0x00000003", "pc (/32): 0x00000044"], out)
        self.assertGreater(int(lines[5].split()[-1], 16), 2)
        board.stop()

    def program(self, chip, target, base, units, pages, says):
        """Identified, erased, written, verified and dumped by OpenOCD's own driver for the chip."""
        board = self.board("--seed", "54", "--fill", "random", chip=chip)
        before = board.dump()
        folder = self.folder()
        image, dump = os.path.join(folder, "image.bin"), os.path.join(folder, "dump.bin")
        data = random.Random(SEED).randbytes(IMAGE_BYTES)
        print(f"# seed {SEED}")
        with open(image, "wb") as f:
            f.write(data)
        out = self.run_openocd(board, "init", "reset halt", "flash probe 0", "flash info 0", "dap info",
                               f"flash write_image erase {image} {base}", f"verify_image {image} {base}",
                               f"dump_image {dump} {base} {IMAGE_BYTES}", khz=4000, target=target)
        for text in (*says, f"wrote {IMAGE_BYTES} bytes from file", f"verified {IMAGE_BYTES} bytes"):
            self.assertIn(text, out)
        with open(dump, "rb") as f:
            self.assertEqual(f.read(), data)
        after = board.dump()
        self.assertEqual(after[:IMAGE_BYTES], data)
        self.assertEqual(after[IMAGE_BYTES:], before[IMAGE_BYTES:], "what was not in the image is untouched")
        status = board.status()
        self.assertEqual((status["pages_erased"], status["words_programmed"]), (pages, units))
        board.stop()

    def each_verifies_the_others(self, chip, target, device, base):
        """imprint programs and OpenOCD verifies; OpenOCD programs and imprint compares; a single bit is seen by both."""
        folder = self.folder()
        print(f"# seed {SEED}")
        env = dict(os.environ, XDG_DATA_HOME=os.path.join(folder, "data"), XDG_CONFIG_HOME=os.path.join(folder, "config"))
        library = imptest.sanitizer_of(imptest.program("imprint"))
        if library:
            env["LD_PRELOAD"] = library
        image, recipe = os.path.join(folder, "app.bin"), os.path.join(folder, "recipe.yaml")
        with open(recipe, "w", encoding="utf-8") as f:
            f.write(f"imprint: 1\nname: T\ndevice: {device}\nconnection: {{swd: 4 MHz}}\n"
                    f"data: {{app: {{file: app.bin, at: 0x{base:08X}}}}}\n")

        def imprint(path, *more):
            spec = "hid:" if path else "usb:"
            done = subprocess.run([imptest.program("usb-proxy"), "--board", board.dap, *path, "--", imptest.program("imprint"), "run",
                                   recipe, "--probe", spec, "--json", *more], capture_output=True, text=True, timeout=TIMEOUT_S, env=env)
            self.assertTrue(done.stdout, done.stderr)
            return json.loads(done.stdout)

        for path in ([], ["--v1"]):
            board = self.board("--seed", "60", "--fill", "random", chip=chip)
            numbers = random.Random(SEED + len(path))
            data = numbers.randbytes(IMAGE_BYTES)
            with open(image, "wb") as f:
                f.write(data)
            self.assertEqual(imprint(path)["result"], "passed")
            out = self.run_openocd(board, "init", "reset halt", f"verify_image {image} 0x{base:X}", khz=4000, target=target)
            self.assertIn(f"verified {IMAGE_BYTES} bytes", out)
            data = numbers.randbytes(IMAGE_BYTES)
            with open(image, "wb") as f:
                f.write(data)
            result = imprint(path, "--verify-only")
            self.assertEqual((result["result"], result["error"]["code"]), ("unverified", 2107))
            self.run_openocd(board, "init", "reset halt", f"flash write_image erase {image} 0x{base:X}", khz=4000, target=target)
            self.assertEqual(imprint(path, "--verify-only")["result"], "verified")
            at = numbers.randrange(IMAGE_BYTES)
            bad = os.path.join(folder, "bad.bin")
            with open(bad, "wb") as f:
                f.write(bytes([data[at] ^ 1 << numbers.randrange(8)]))
            board.control(f"load {bad} 0x{base + at:X}")
            result = imprint(path, "--verify-only")
            self.assertEqual((result["result"], int(result["error"]["address"], 16) & ~15), ("unverified", base + at & ~15))
            out = self.run_openocd(board, "init", "reset halt", f"if {{[catch {{verify_image {image} 0x{base:X}}}]}} {{echo differs}}",
                                   khz=4000, target=target)
            self.assertIn("differs", out)
            board.stop()

    def test_stm32f103_each_verifies_the_others(self):
        self.each_verifies_the_others("stm32f103cb", "stm32f1x", "STM32F103CB", 0x08000000)

    def test_nrf51_each_verifies_the_others(self):
        self.each_verifies_the_others("nrf51822", "nrf51", "nRF51822", 0)

    def test_stm32f103_programs_verifies_and_dumps(self):
        self.program("stm32f103cb", "stm32f1x", "0x08000000", IMAGE_BYTES // 2, IMAGE_BYTES // 1024,
                           ("SWD DPIDR 0x1ba01477", "Cortex-M3 r1p1 processor detected", "target has 6 breakpoints",
                            "device id = 0x20036410", "STM32F10x (Medium Density)", "Cortex-M3 FPB", "flash size = 128 KiB"))

    def test_stm32g071_programs_verifies_and_dumps(self):
        self.program("stm32g071rb", "stm32g0x", "0x08000000", IMAGE_BYTES // 8, IMAGE_BYTES // 2048,
                           ("SWD DPIDR 0x0bc11477", "Cortex-M0+ r0p1 processor detected", "target has 4 breakpoints",
                            "device idcode = 0x20006460", "RDP level 0", "Cortex-M0+ ROM", "flash size = 128 KiB"))

    def test_nrf52832_programs_verifies_and_dumps(self):
        self.program("nrf52832", "nrf52", "0", IMAGE_BYTES // 4, IMAGE_BYTES // 4096,
                     ("SWD DPIDR 0x2ba01477", "Cortex-M4 r0p1 processor detected", "target has 6 breakpoints",
                      "nRF52832-QFAA(build code: E0) 512kB Flash, 64kB RAM", "Nordic VLSI ASA", "Cortex-M4 SCS"))

    def test_nrf52832_locks_and_recovers(self):
        """Access port protection set by OpenOCD: nothing can be read; its nrf52_recover erases all and opens the chip."""
        board = self.board("--seed", "57", "--fill", "random", chip="nrf52832")
        word = int.from_bytes(board.dump(0x100, 4), "little")
        refused = "if {[catch {mdw 0x100} why]} {echo refused} else {echo readable}"
        out = self.run_openocd(board, "init", "reset halt", "echo A[mdw 0x100]", "mww 0x4001E504 1", "mww 0x10001208 0xFFFFFF00",
                               "mww 0x4001E504 0", refused, "catch {reset}", "catch {halt}", refused, target="nrf52")
        self.assertIn(f"A0x00000100: {word:08x}", out)
        self.assertLess(out.index("readable"), out.index("refused"), out)
        self.assertEqual(int.from_bytes(board.dump(0x100, 4), "little"), word, "from outside it can always be seen")
        out = self.run_openocd(board, "catch {init}", refused, "nrf52_recover", "halt", "echo B[mdw 0x100]", "echo C[mdw 0x10001208]",
                               target="nrf52")
        self.assertIn("nRF52 device has AP lock engaged", out)
        self.assertIn("refused", out)
        self.assertIn("has been successfully erased and unlocked", out)
        self.assertIn("B0x00000100: ffffffff", out)
        self.assertIn("C0x10001208: ffffffff", out)
        self.assertEqual(board.dump(), b"\xff" * (512 * 1024))
        self.assertEqual(board.status()["mass_erases"], 1)
        board.stop()

    def test_nrf51_locks_and_unlocks(self):
        """Read-back protection of all: memory shows nothing, the flash controller still answers; its mass erase opens the chip."""
        board = self.board("--seed", "58", "--fill", "random")
        word = int.from_bytes(board.dump(0x100, 4), "little")
        self.run_openocd(board, "init", "reset halt", "mww 0x4001E504 1", "mww 0x10001004 0xFFFF00FF", "mww 0x4001E504 0")
        board.control("power off")
        board.control("power on")
        out = self.run_openocd(board, "init", "halt", "echo A[mdw 0x100]", "nrf51 mass_erase", "reset halt", "echo B[mdw 0x100]")
        self.assertNotEqual(word, 0)
        self.assertIn("A0x00000100: 00000000", out)
        self.assertIn("B0x00000100: ffffffff", out)
        self.assertEqual(board.dump(), b"\xff" * (256 * 1024))
        board.stop()

    def test_stm32g071_locks_and_unlocks(self):
        """OpenOCD's own option byte code: at level 1 nothing can be read; back at level 0 nothing is left."""
        board = self.board("--seed", "59", "--fill", "random", chip="stm32g071rb")
        refused = "if {[catch {mdw 0x08000100} why]} {echo refused} else {echo readable}"
        word = board.dump(0x08000100, 4)
        out = self.run_openocd(board, "init", "reset halt", "stm32l4x lock 0", refused, "catch {stm32l4x option_load 0}",
                               target="stm32g0x")
        self.assertIn("readable", out)
        out = self.run_openocd(board, "init", "halt", refused, "flash probe 0", target="stm32g0x")
        self.assertIn("refused", out)
        self.assertIn("RDP level 1", out)
        self.assertEqual(board.dump(0x08000100, 4), word, "from outside it can always be seen")
        self.run_openocd(board, "init", "halt", "stm32l4x unlock 0", "catch {stm32l4x option_load 0}", target="stm32g0x")
        out = self.run_openocd(board, "init", "reset halt", "echo B[mdw 0x08000100]", "flash probe 0", target="stm32g0x")
        self.assertIn("RDP level 0", out)
        self.assertIn("B0x08000100: ffffffff", out)
        self.assertEqual(board.dump(), b"\xff" * (128 * 1024))
        board.stop()

    def test_stm32f103_locks_and_unlocks(self):
        """OpenOCD's own option byte code: locked, nothing can be read; unlocked, nothing is left."""
        board = self.board("--seed", "55", "--fill", "random", chip="stm32f103cb")
        out = self.run_openocd(board, "init", "reset halt", "echo A[mdw 0x08000100]", "stm32f1x lock 0", "reset halt",
                               "if {[catch {mdw 0x08000100} why]} {echo refused} else {echo readable}",
                               "stm32f1x options_read 0", target="stm32f1x")
        self.assertIn("stm32x locked", out)
        self.assertIn("read protection: on", out)
        self.assertIn("refused", out)
        self.assertNotEqual(board.dump(0x08000100, 4), b"\xff" * 4)
        out = self.run_openocd(board, "init", "reset halt", "stm32f1x unlock 0", "reset halt", "echo B[mdw 0x08000100]",
                               "stm32f1x options_read 0", target="stm32f1x")
        self.assertIn("stm32x unlocked", out)
        self.assertIn("read protection: off", out)
        self.assertIn("0x08000100: ffffffff", out)
        self.assertEqual(board.dump(), b"\xff" * (128 * 1024))
        board.stop()

    def test_stm32f103_runs_steps_and_breaks(self):
        """A loop of Thumb-2 code: movw r0,#0x1234; l: add.w r0,r0,#1; b l. Two steps, then a breakpoint that is hit twice."""
        board = self.board("--seed", "56", chip="stm32f103cb")
        folder = self.folder()
        image = os.path.join(folder, "loop.bin")
        code = (0x20002000).to_bytes(4, "little") + (0x08000041).to_bytes(4, "little") + b"\xff" * 56
        for half in (0xF241, 0x2034, 0xF100, 0x0001, 0xE7FC):
            code += half.to_bytes(2, "little")
        with open(image, "wb") as f:
            f.write(code)
        out = self.run_openocd(board, "init", "reset halt", f"flash write_image erase {image} 0x08000000", "reset halt",
                               "echo [reg pc]", "step", "step", "echo [reg r0]", "bp 0x08000048 2 hw", "resume", "wait_halt 1000",
                               "resume", "wait_halt 1000", "echo [reg r0]", "echo [reg pc]", target="stm32f1x")
        lines = [line for line in out.splitlines() if line.startswith(("pc ", "r0 "))]
        self.assertEqual(lines, ["pc (/32): 0x08000040", "r0 (/32): 0x00001235", "r0 (/32): 0x00001237",
                                 "pc (/32): 0x08000048"], out)
        board.stop()

    def test_says_when_nothing_is_there(self):
        board = self.board("--empty")
        args = [imptest.program("usb-proxy"), "--board", board.dap, "--", imptest.program("openocd"),
                "-c", "adapter driver cmsis-dap", "-c", "transport select swd", "-f", "target/nrf51.cfg", "-c", "init; shutdown"]
        done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Error connecting DP: cannot read IDR", done.stdout)
        self.assertGreater(board.status()["no_acks"], 0)
        board.stop()


if __name__ == "__main__":
    imptest.main()
