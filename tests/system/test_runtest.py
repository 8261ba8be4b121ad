#!/usr/bin/env python3
"""Board tests in RAM, what they measured programmed, and firmware that says when it is up: examples/run-test as its reader builds it,
and what happens when it goes wrong. The firmware runs on the virtual board's core."""
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading

import imptest

EXAMPLE = os.path.join(os.environ["IMPRINT_SOURCE"], "examples", "run-test")
LIBRARY = os.path.join(os.environ["IMPRINT_SOURCE"], "algorithms", "runtest")
TRIM_AT = 0x3C00  # in flash
BASE = 0x08000000


def fnv(uid):
    value = 2166136261
    for byte in uid:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


class RunTest(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        for name in os.listdir(EXAMPLE):
            if name != "build":
                shutil.copy(os.path.join(EXAMPLE, name), self.dir)
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"))
        self.build()
        self.chip = self.board("--seed", "5", chip="stm32f103cb")

    def build(self):
        done = subprocess.run(["make", "-C", self.dir, f"LIB={LIBRARY}"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")

    def edit(self, name, old, new):
        path = os.path.join(self.dir, name)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.assertIn(old, text)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new))

    def run_it(self, *more):
        done = subprocess.run([imptest.program("imprint"), "run", os.path.join(self.dir, "recipe.yaml"), "--probe",
                               f"tcp:{self.chip.dap}", "--json", *more], capture_output=True, text=True, timeout=120, env=self.env)
        return done.returncode, json.loads(done.stdout)

    def code(self, *more):
        status, result = self.run_it(*more)
        return status, result["error"]["code"], result["error"]["message"]

    def test_what_was_measured_is_programmed_and_logged(self):
        status, result = self.run_it()
        self.assertEqual(status, 0, result)
        reads = {r["name"]: bytes.fromhex(r["bytes"]) for r in result["reads"]}
        trim = struct.pack("<I", fnv(reads["uid"]))
        self.assertEqual(reads["trim"], trim)
        flash = self.chip.dump(BASE + TRIM_AT, 16)
        self.assertEqual(flash[:4], trim)
        self.assertEqual(flash[8:], reads["tested"])
        self.assertIn("test", result["phase_ms"])
        self.assertIn("run", result["phase_ms"])

    def test_another_chip_gets_its_own(self):
        _, first = self.run_it()
        self.chip.control("next")
        _, second = self.run_it()
        self.assertNotEqual(first["reads"][1]["bytes"], second["reads"][1]["bytes"])

    def test_a_bad_board_is_not_written(self):
        self.edit("boardtest.c", "if (!ram_is_good())", "if (ram_is_good())")
        self.build()
        before = self.chip.dump(BASE, 1024)
        status, code, message = self.code()
        self.assertEqual((status, code), (1, 2120))
        self.assertIn("its code 1: RAM does not hold what is written to it", message)
        self.assertEqual(self.chip.dump(BASE, 1024), before)

    def test_a_hanging_test_is_ended(self):
        self.edit("boardtest.c", 'imprint_text("board test 1.0");', 'imprint_text("before it hangs"); for (;;);')
        self.edit("recipe.yaml", "timeout: 2 s", "timeout: 100 ms")
        self.build()
        status, code, message = self.code()
        self.assertEqual((status, code), (1, 2121))
        self.assertIn("before it hangs", message)

    def test_a_value_of_another_size_fails(self):
        self.edit("recipe.yaml", "from-test: trim, size: 4}", "from-test: trim, size: 2}")
        status, code, message = self.code()
        self.assertEqual((status, code), (1, 2123))
        self.assertIn("4 bytes for the value 'trim', which has 2", message)

    def test_a_value_that_no_test_delivers_fails_before_writing(self):
        self.edit("recipe.yaml", "from-test: trim,", "from-test: trimm,")
        before = self.chip.dump(BASE, 1024)
        status, code, message = self.code()
        self.assertEqual(code, 2202)
        self.assertIn("trim", message)
        self.assertEqual(self.chip.dump(BASE, 1024), before)

    def test_firmware_that_crashes_or_says_something_else(self):
        self.edit("firmware.c", '"sensor ready"', '"sensor tired"')
        self.build()
        status, code, message = self.code()
        self.assertEqual((status, code), (1, 2124))
        self.assertIn("what came: sensor tired", message)
        self.edit("firmware.c", "imprint_mailbox_open();", '__asm__ volatile("udf #0");')
        self.build()
        status, code, message = self.code()
        self.assertEqual((status, code), (1, 2122))

    def test_a_number_shown_to_a_test_is_spent_with_it(self):
        """Otherwise it is free again: nothing was written."""
        self.edit("recipe.yaml", "values:\n", "values:\n  serial: {pool: sensors, text: \"S{n:03}\"}\n")
        self.edit("recipe.yaml", "place:\n", "place:\n  - {value: serial, at: 0x08003D00, size: 8, pad: 0x00}\n")
        self.edit("boardtest.c", 'int n_uid = imprint',
                  'if (imprint_value("serial", uid, 8) == 4) imprint_verdict(33, "saw it");\n    int n_uid = imprint')
        self.build()
        status, result = self.run_it()
        self.assertEqual(status, 0, result)
        self.assertEqual(result["numbers"][0]["text"], "S001")
        self.edit("recipe.yaml", "timeout: 2 s", "timeout: 2 s, numbers: [serial]")
        for expected in ("S002", "S003"):
            status, result = self.run_it()
            self.assertEqual(result["error"]["code"], 2120)
            self.assertEqual((result["result"], result["numbers"][0]["text"]), ("spent", expected))

    def test_text_on_the_serial_line(self):
        """A line that is served by TCP, as terminal servers do it."""
        self.edit("recipe.yaml", "within: 1 s", "within: 5 s, on: serial")
        before = self.chip.dump(BASE, 1024)
        for more, code in (((), 1001), (("--serial", "bogus"), 1001), (("--serial", "serial:/dev/no-such-line"), 1009)):
            status, result = self.run_it(*more)  # before anything is written: no unit and no number is lost
            self.assertEqual((result["error"]["code"], result["error"]["step"], result["result"]), (code, "attach", "failed"))
        self.assertEqual(self.chip.dump(BASE, 1024), before)
        with socket.create_server(("127.0.0.1", 0)) as server:
            def speak():
                line, _ = server.accept()
                line.settimeout(0.02)
                with line:
                    for n in range(1000):  # firmware that says it again and again; what comes before the reset does not count
                        line.sendall(b"noise \xff\x00 sensor re" if n % 2 == 0 else b"ady\r\n")
                        try:
                            if not line.recv(1):
                                return
                        except TimeoutError:
                            continue
            speaker = threading.Thread(target=speak)
            speaker.start()
            status, result = self.run_it("--serial", f"tcp:127.0.0.1:{server.getsockname()[1]}")
            speaker.join()
        self.assertEqual(status, 0, result)


    def test_text_of_the_firmware_s_uart(self):
        """The firmware sends it out of USART1 (RM0008, section 27.6: SR, DR, BRR, CR1), the board brings it out."""
        self.edit("recipe.yaml", "within: 1 s", "within: 5 s, on: serial")
        self.edit("firmware.c", "imprint_mailbox_open();", """
            volatile uint32_t *usart = (volatile uint32_t *)0x40013800u;
            usart[2] = 69; /* BRR: 115200 at 8 MHz */
            usart[3] = 0x2008; /* CR1: UE, TE */
            for (const char *c = "sensor ready\\n";; c = *c ? c + 1 : "sensor ready\\n")
                if (*c) {
                    while (!(usart[0] & 0x80)) /* SR: TXE */
                        ;
                    usart[1] = (uint8_t)*c;
                }""")
        self.build()
        board = self.board("--uart-port", "127.0.0.1:0", chip="stm32f103cb")
        uart = re.search(r"uart=(\S+)", board.ready.group(0)).group(1)
        self.chip = board
        status, result = self.run_it("--serial", f"tcp:{uart}")
        self.assertEqual(status, 0, result)


if __name__ == "__main__":
    imptest.main()
