#!/usr/bin/env python3
"""Getting in, locking the door, power: `imprint run` and a station with a supply of their own, firmware that switches SWD off, read
protection that is proved; Debian's OpenOCD judges whether a chip is locked or open."""
import json
import os
import random
import re
import shutil
import struct
import subprocess

import imptest

SEED = int(os.environ.get("IMPRINT_SEED", random.randrange(1 << 32)))
BASE = 0x08000000
AT = BASE + 0x100
EXAMPLE = os.path.join(os.environ["IMPRINT_SOURCE"], "examples", "run-test")
LIBRARY = os.path.join(os.environ["IMPRINT_SOURCE"], "algorithms", "runtest")
OPENOCD_S = 240

RECIPE = """\
imprint: 1
name: Door
device: {device}
connection: {{swd: 4 MHz, attach: {attach}, unlock: {unlock}}}
{power}data: {{app: {{file: app.bin, at: 0x{base:08X}}}}}
steps:
  - erase: all
  - program
  - verify: checksum
{steps}"""
POWER = "power: {volts: 3.3 V, limits: 3.2 V to 3.4 V, on-delay: 5 ms, off-delay: 5 ms, off-at-end: true}\n"
PROTECT = "  - protect: {level: 1, prove: true}\n"


def shut_firmware(loops):
    """Waits loops * 3 cycles, then takes the debug pins away (AFIO_MAPR.SWJ_CFG, RM0008 9.4.2)."""
    code = struct.pack("<8H", 0x4803, 0x3801, 0xD1FD, 0x4903, 0x4A03, 0x600A, 0xE7FE, 0xBF00)
    return struct.pack("<4I", 0x20001000, BASE + 0x11, BASE + 0x11, BASE + 0x11) + code + struct.pack("<3I", loops, 0x40010004, 4 << 24)


class Door(imptest.TestCase):
    def setUp(self):
        print(f"# seed {SEED}", flush=True)
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"), XDG_CONFIG_HOME=os.path.join(self.dir, "config"))
        app = struct.pack("<II", 0x20000800, BASE + 0x41).ljust(0x40, b"\0") + b"\xfe\xe7"
        self.app = app + random.Random(SEED).randbytes(3001)
        self.write("app.bin", self.app)

    def write(self, name, content):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def recipe(self, device="STM32F103CB", attach="normal", unlock="never", power="", steps="  - reset\n", base=BASE):
        return self.write("recipe.yaml", RECIPE.format(device=device, attach=attach, unlock=unlock, power=power, steps=steps, base=base))

    def run_it(self, board, *more, recipe=None):
        done = subprocess.run([imptest.program("imprint"), "run", recipe or os.path.join(self.dir, "recipe.yaml"), "--probe",
                               f"tcp:{board.dap}", *more], capture_output=True, text=True, timeout=120, env=self.env)
        return done.returncode, done.stdout + done.stderr

    def openocd_reads(self, board):
        """What OpenOCD reads at AT, or None: refused. The board's word at AT is known from outside."""
        if "USB_PROXY" not in os.environ:
            self.skipTest("no umockdev: OpenOCD finds no probe")
        done = subprocess.run([imptest.program("usb-proxy"), "--board", board.dap, "--", imptest.program("openocd"),
                               "-c", "adapter driver cmsis-dap", "-c", "cmsis_dap_backend usb_bulk", "-c", "transport select swd",
                               "-f", "target/stm32f1x.cfg", "-c", "gdb_port disabled; tcl_port disabled; telnet_port disabled",
                               "-c", "adapter speed 1000", "-c", "init", "-c", "halt",
                               "-c", f"if {{[catch {{echo WORD[mdw {AT}]}} why]}} {{echo REFUSED}}", "-c", "shutdown"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=OPENOCD_S)
        self.assertEqual(done.returncode, 0, done.stdout)
        word = re.search(r"WORD0x[0-9a-f]+: ([0-9a-f]{8})", done.stdout)
        self.assertNotEqual(word is None, "REFUSED" not in done.stdout, done.stdout)
        return int(word.group(1), 16) if word else None

    def test_openocd_judges_the_lock(self):
        board = self.board("--fill", "random", chip="stm32f103cb")
        want = struct.unpack("<I", self.app[AT - BASE:AT - BASE + 4])[0]
        self.recipe()
        status, out = self.run_it(board)
        self.assertEqual(status, 0, out)
        self.assertEqual(self.openocd_reads(board), want)
        self.recipe(steps=PROTECT)
        status, out = self.run_it(board)
        self.assertEqual(status, 0, out)
        self.assertIn("protect", out)
        self.assertIsNone(self.openocd_reads(board))
        self.assertEqual(board.dump()[:len(self.app)], self.app, "from outside: the firmware is there")
        self.recipe()
        status, out = self.run_it(board)
        self.assertEqual(status, 2, out)
        for text in ("FAILED in attach", "E2115 locked", "unlock: erase", "FLASH_OBR.RDPRT"):
            self.assertIn(text, out)
        self.assertEqual(board.dump()[:len(self.app)], self.app, "and stays there")
        self.recipe(unlock="erase")
        status, out = self.run_it(board)
        self.assertEqual(status, 0, out)
        self.assertEqual(self.openocd_reads(board), want)
        board.stop()

    def test_supply_is_judged_and_switched(self):
        board = self.board("--power-port", "127.0.0.1:0", chip="stm32f103cb")
        spec = ("--power", f"scpi:{board.ports['power']}")
        self.recipe(power=POWER)
        status, out = self.run_it(board, *spec)
        self.assertEqual(status, 0, out)
        self.assertEqual(board.status()["powered"], 0, "off at the end")
        board.control("supply load 120")
        board.control("reset-counters")
        status, out = self.run_it(board, *spec)
        self.assertEqual(status, 2, out)
        for text in ("E2307 power-voltage", "2.750 V", "3.200 V to 3.400 V", "nothing was written"):
            self.assertIn(text, out)
        self.assertEqual((board.status()["swclk"], board.status()["powered"]), (0, 0))
        status, out = self.run_it(board)
        self.assertEqual(status, 2, out)
        self.assertIn("E2306 power-unsupported", out)
        status, out = self.run_it(board, "--power", "scpi:127.0.0.1:1")
        self.assertEqual(status, 2, out)
        self.assertIn("E2301 power-not-found", out)
        status, out = self.run_it(board, "--power", "battery")
        self.assertEqual(status, 2, out)
        self.assertIn('"battery" names no supply', out)
        board.stop()

    def test_failed_unit_is_switched_off_too(self):
        board = self.board("--power-port", "127.0.0.1:0", "--fault", f"stuck-bit {AT} 0", chip="stm32f103cb")
        self.app = self.app[:0x100] + b"\0" * 4 + self.app[0x104:]
        self.write("app.bin", self.app)
        self.recipe(power=POWER)
        status, out = self.run_it(board, "--power", f"scpi:{board.ports['power']}")
        self.assertEqual(status, 1, out)
        self.assertIn("FAILED in ", out)
        self.assertEqual(board.status()["powered"], 0)
        board.stop()

    def test_command_as_supply(self):
        """A program switches the board by its control port."""
        board = self.board(chip="stm32f103cb")
        board.control("power off")
        host, port = board.control_addr.rsplit(":", 1)
        program = self.write("supply", f"""#!{shutil.which('python3')}
import socket, sys
if sys.argv[1] == "measure":
    print("3.3")
else:
    with socket.create_connection(("{host}", {port})) as s, s.makefile("rw") as f:
        f.write("power " + sys.argv[1] + "\\n"); f.flush(); assert f.readline() == "ok\\n"
""")
        os.chmod(program, 0o755)
        self.recipe(power=POWER)
        status, out = self.run_it(board, "--power", f"command:{program}")
        self.assertEqual(status, 0, out)
        self.assertEqual(board.status()["powered"], 0)
        self.assertEqual(board.dump()[:len(self.app)], self.app)
        board.stop()

    def shut(self, board, spec):
        """Puts firmware into the board that switches SWD off after 0.3 s, and waits until it has."""
        self.write("app.bin", shut_firmware(8000000 * 3 // 10 // 3))
        status, out = self.run_it(board, *spec)
        self.assertEqual(status, 0, out)
        for _ in range(1000):
            done = subprocess.run([imptest.program("imprint"), "target", "identify", "--probe", f"tcp:{board.dap}"],
                                  capture_output=True, text=True, timeout=120, env=self.env)
            if "E2010 no-target" in done.stdout + done.stderr:  # not one that was cut off in the middle
                break
        self.write("app.bin", self.app)

    def test_shut_firmware_is_caught(self):
        """Firmware that switches SWD off: in through nRESET, or by a power cycle."""
        board = self.board("--power-port", "127.0.0.1:0", chip="stm32f103cb")
        spec = ("--power", f"scpi:{board.ports['power']}")
        self.recipe()
        self.shut(board, spec)
        status, out = self.run_it(board, *spec)
        self.assertEqual(status, 2, out)
        self.assertIn("E2010 no-target", out)
        for attach in ("under-reset", "power-cycle"):
            self.recipe(attach=attach)
            status, out = self.run_it(board, *spec)
            self.assertEqual(status, 0, out)
            self.assertEqual(board.dump()[:len(self.app)], self.app)
            self.shut(board, spec)
        board.stop()

    def test_locked_firmware_still_speaks(self):
        """protect, then run: the text comes over the serial line of a chip that lets nobody in, restarted by nRESET or by its supply."""
        for name in os.listdir(EXAMPLE):
            if name != "build":
                shutil.copy(os.path.join(EXAMPLE, name), self.dir)
        with open(os.path.join(self.dir, "firmware.c"), encoding="utf-8") as f:
            firmware = f.read()
        self.assertIn("imprint_mailbox_open();", firmware)
        self.write("firmware.c", firmware.replace("imprint_mailbox_open();", """
            volatile uint32_t *usart = (volatile uint32_t *)0x40013800u;
            usart[2] = 69; /* BRR: 115200 at 8 MHz */
            usart[3] = 0x2008; /* CR1: UE, TE */
            for (const char *c = "door shut\\n";; c = *c ? c + 1 : "door shut\\n")
                if (*c) {
                    while (!(usart[0] & 0x80)) /* SR: TXE */
                        ;
                    usart[1] = (uint8_t)*c;
                }"""))
        done = subprocess.run(["make", "-C", self.dir, f"LIB={LIBRARY}"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.write("recipe.yaml", "imprint: 1\nname: Door\ndevice: STM32F103CB\nconnection: {unlock: erase}\n"
                   "data: {app: {file: build/firmware.elf}}\nsteps:\n  - erase: all\n  - program\n  - verify: checksum\n" + PROTECT +
                   "  - run: {expect-text: door shut, within: 20 s}\n")
        for power in (False, True):
            board = self.board("--uart-port", "127.0.0.1:0", *(("--power-port", "127.0.0.1:0") if power else ()), chip="stm32f103cb")
            more = ("--power", f"scpi:{board.ports['power']}") if power else ()
            status, out = self.run_it(board, "--serial", f"tcp:{board.ports['uart']}", *more)
            self.assertEqual(status, 0, out)
            self.assertIn("run", out)
            board.stop()

    def test_records_tell_the_clock(self):
        board = self.board(chip="stm32f103cb")
        self.recipe()
        status, out = self.run_it(board, "--json")
        self.assertEqual(status, 0, out)
        link = json.loads(out)["link"]
        self.assertEqual((link["hz"], link["slowed_by"]), (4000000, 0))
        board.stop()


if __name__ == "__main__":
    imptest.main()
