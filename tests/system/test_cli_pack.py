#!/usr/bin/env python3
"""Chips of vendors' packs: added, listed, shown, programmed; hostile packs refused in bounded memory and time."""
import json
import os
import re
import resource
import stat
import subprocess
import sys
import time

import imptest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import packs  # noqa: E402

FLMS = os.environ.get("FLM_FOLDER", "")
MEMORY_MAX = 256 << 20  # bytes of address space for the refusal of a hostile pack; libraries alone map 100 MB
REFUSE_MAX_S = 10  # on a busy machine


class Packs(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_DATA_HOME=self.path("data"), XDG_CONFIG_HOME=self.path("config"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def imprint(self, *args, status=0, **more):
        done = subprocess.run([imptest.program("imprint"), *args], capture_output=True, text=True, timeout=120, env=self.env,
                              cwd=self.dir, **more)
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def imprint_json(self, *args, status=0):
        return json.loads(self.imprint(*args, "--json", status=status))

    def add(self, description, files, name="test.pack", **more):
        packs.write(self.path(name), description, files, **more)
        return self.imprint("device", "add", name)

    def stored(self):
        folder = self.path("data/imprint/packs")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def test_add_list_show_remove(self):
        said = self.add(*packs.stm32f103(FLMS))
        self.assertIn("added Acme.Test_DFP.1.2.3: 3 devices, 1 flash algorithms", said)
        self.assertEqual(self.stored(), ["Acme.Test_DFP.1.2.3.pack"])
        said = self.imprint("device", "list")
        self.assertRegex(said, r"STM32F103C8 +cortex-m3 +64 KiB +20 KiB +Acme.Test_DFP.1.2.3")
        self.assertRegex(said, r"nRF51822_xxAA +cortex-m0 .* imprint")
        said = self.imprint("device", "list", "cbt6")
        self.assertEqual((said.count("STM32"), said.count("nRF")), (1, 0), said)
        shown = self.imprint_json("device", "show", "STM32F103C8")
        self.assertEqual((shown["pack"], shown["vendor"], shown["core"], shown["ram_bytes"]),
                         ("Acme.Test_DFP.1.2.3", "STMicroelectronics", "cortex-m3", 0x1000))
        self.assertEqual([(m["start"], m["size_bytes"], m["sectors"][0]["count"]) for m in shown["memories"]],
                         [("0x08000000", 0x10000, 64)])  # the family's file is for 128 KiB
        self.assertEqual(shown["checks"][0]["value"], "0x4100C230")
        # our own chip keeps its name; the pack's is reached by its vendor
        self.assertNotIn("pack", self.imprint_json("device", "show", "STM32F103CB"))
        self.assertIn("pack      Acme.Test_DFP", self.imprint("device", "show", "stmicroelectronics::STM32F103CB"))
        self.assertIn("replaced", self.imprint("device", "add", "test.pack"))
        self.assertIn("did you mean 'STM32F103CBT6'", self.imprint("device", "show", "STM32F103CBT7", status=2))
        self.assertIn("E1009", self.imprint("device", "remove", "Acme.Other", status=2))
        self.assertIn("removed 1 pack", self.imprint("device", "remove", "Acme.Test_DFP"))
        self.assertEqual(self.stored(), [])
        self.assertIn("E4010", self.imprint("device", "show", "STM32F103C8", status=2))

    def test_two_packs(self):
        self.add(*packs.stm32f103(FLMS))
        self.add(*packs.stm32f103(FLMS, vendor="Other"))
        said = self.imprint("device", "show", "STM32F103C8", status=2)
        for text in ("E4031", "Acme.Test_DFP::STM32F103C8", "Other.Test_DFP::STM32F103C8"):
            self.assertIn(text, said)
        self.assertEqual(self.imprint_json("device", "show", "Other::STM32F103C8")["pack"], "Other.Test_DFP.1.2.3")
        # a newer version takes the place of the older, which can still be named
        self.add(*packs.stm32f103(FLMS, version="1.10.0"))
        self.assertEqual(self.imprint_json("device", "show", "Acme::STM32F103C8")["pack"], "Acme.Test_DFP.1.10.0")
        self.assertEqual(self.imprint_json("device", "show", "Acme.Test_DFP.1.2.3::STM32F103C8")["pack"],
                         "Acme.Test_DFP.1.2.3")
        self.write("r.yaml", b"imprint: 1\nname: X\ndevice: STM32F103C8\ndata: {a: {file: a.bin, at: 0x08000000}}\n")
        self.write("a.bin", b"abcd")
        said = self.imprint("check", "r.yaml", status=2)
        self.assertIn("r.yaml:3:9: 'STM32F103C8' is in 2 packs", said)
        self.write("r.yaml", b"imprint: 1\nname: X\ndevice: Other::STM32F103C8\ndata: {a: {file: a.bin, at: 0x08000000}}\n")
        self.assertIn("no faults", self.imprint("check", "r.yaml"))
        self.assertIn("removed 2 packs", self.imprint("device", "remove", "Acme.Test_DFP"))

    def test_cores(self):
        algorithm = packs.algorithm("a.flm", 0x08000000, 0x20000, 'default="1"')
        cores = packs.CORES.replace('<algorithm name="a.flm" Pname="M4" start="0" size="4"/>', algorithm)
        self.add(packs.pdsc(cores), {"a.flm": packs.flm(FLMS, "stm32f1-flash")})
        said = self.imprint("device", "show", "TWO", status=2)
        self.assertIn("TWO has the cores M4 and M0: write TWO:", said)
        shown = self.imprint_json("device", "show", "TWO:M4")
        self.assertEqual((shown["core"], shown["ram_start"], shown["access_port"]), ("cortex-m4", "0x10000000", 1))
        shown = self.imprint_json("device", "show", "Acme::TWO:m0")
        self.assertEqual((shown["core"], shown["ram_start"], shown["access_port"]), ("cortex-m0", "0x10080000", 3))
        self.assertIn("no core 'M7'", self.imprint("device", "show", "TWO:M7", status=2))
        # the engine goes to that access port, and says so where nothing is
        self.write("r.yaml", b"imprint: 1\nname: X\ndevice: TWO:M4\ndata: {a: {file: a.bin, at: 0x08000000}}\n")
        self.write("a.bin", b"abcd")
        board = self.board(chip="stm32f103cb")
        said = self.imprint("run", "r.yaml", "--probe", f"tcp:{board.dap}", status=2)
        self.assertIn("access port 1 of the chip", said)
        self.assertEqual(board.status()["words_programmed"], 0)

    def test_programs_a_board(self):
        self.add(*packs.stm32f103(FLMS))
        app = bytes((i * 7 + i // 256) & 255 for i in range(20001))
        self.write("app.bin", app)
        board = self.board(chip="stm32f103cb")
        for number, erase in enumerate(("used", "all")):
            self.write("r.yaml", f"imprint: 1\nname: Pack {number}\ndevice: STM32F103CBT6\ndata: {{app: {{file: app.bin, "
                       f"at: 0x08001000}}}}\nsteps: [erase: {erase}, program: all, verify: checksum]\n".encode())
            board.control("next")
            said = self.imprint("run", "r.yaml", "--probe", f"tcp:{board.dap}")
            self.assertIn("PASSED", said)
            self.assertEqual(board.dump(0x08001000, len(app)), app)
        self.assertEqual(board.status()["mass_erases"], 1)
        # what was built holds the chip: the pack is needed no more
        self.imprint("build", "r.yaml", "-o", "x.impo")
        self.imprint("device", "remove", "Acme.Test_DFP")
        self.assertIn("STM32F103CBT6", self.imprint("inspect", "x.impo"))
        self.assertIn("E4010", self.imprint("check", "r.yaml", status=2))
        # another chip is refused before anything is written
        wrong = self.board(chip="nrf51822")
        self.add(*packs.stm32f103(FLMS))
        self.assertIn("E2101", self.imprint("run", "r.yaml", "--probe", f"tcp:{wrong.dap}", status=1))
        self.assertEqual((wrong.status()["mass_erases"], wrong.status()["pages_erased"]), (0, 0))

    def test_habits_of_files_in_the_field(self):
        app = os.urandom(5000)
        self.write("app.bin", app)
        self.write("r.yaml", b"imprint: 1\nname: X\ndevice: Acme::STM32F103CB\ndata: {app: {file: app.bin, at: 0x08000400}}\n"
                   b"steps: [erase: all, program: all, verify: read-back]\n")
        board = self.board("--fill", "random", chip="stm32f103cb")
        for name, data in packs.quirks(FLMS).items():
            with self.subTest(name):
                board.control("next random")
                self.add(packs.pdsc(packs.STM32F103), {"Flash/STM32F1.FLM": data})
                said = self.imprint("run", "r.yaml", "--probe", f"tcp:{board.dap}")
                self.assertIn("PASSED", said)
                self.assertEqual(board.dump(0x08000400, len(app)), app)
                self.assertEqual(board.dump(0x0801F000, 0x1000), b"\xff" * 0x1000)  # `all` is all, with EraseChip or without
        shown = self.imprint_json("device", "show", "Acme::STM32F103CB")
        self.assertEqual(shown["memories"][0]["size_bytes"], 0x20000)  # of a file for a larger chip

    def test_several_algorithms_in_one_launch(self):
        self.add(*packs.nrf51(FLMS))
        shown = self.imprint_json("device", "show", "nRF51822_QFAA")
        self.assertEqual([(m["start"], m["size_bytes"], m["spared"]) for m in shown["memories"]],
                         [("0x00000000", 0x40000, False), ("0x10001000", 0x100, True)])
        app, customer = os.urandom(5000), b"unit of a pack".ljust(16, b"\0")
        self.write("app.bin", app)
        self.write("customer.bin", customer)
        self.write("r.yaml", b"imprint: 1\nname: Two\ndevice: nRF51822_QFAA\ndata: {app: {file: app.bin, at: 0x0}, "
                   b"customer: {file: customer.bin, at: 0x10001080}}\n"
                   b"steps: [erase: all, program: all, verify: read-back]\n")
        board = self.board()
        said = self.imprint("run", "r.yaml", "--probe", f"tcp:{board.dap}")
        self.assertIn("PASSED", said)
        self.assertEqual((board.dump(0, len(app)), board.dump(0x10001080, 16)), (app, customer))
        self.imprint("build", "r.yaml", "-o", "two.impo")
        self.imprint("key", "new", "author", "acme")
        self.imprint("seal", "two.impo", "--kind", "sap", "--units", "3", "--author-key", "acme.key", "-o", "two.imp")
        self.assertIn("nRF51822_QFAA", self.imprint("inspect", "two.imp"))

    def test_loaders_of_one_memory(self):
        """Of several that are not the default none is used, unless the recipe names it."""
        loaders = "".join(packs.algorithm(f"Flash/{name}.FLM", 0x10001000, 0x100, 'RAMstart="0x20000000" RAMsize="0x3000"')
                          for name in ("Board_A", "Board_B", "Board_C"))
        description, files = packs.nrf51(FLMS)
        uicr = files.pop("Flash/nrf51xxx_uicr.flm")
        description = packs.pdsc(re.sub(r"<algorithm [^>]*_uicr.flm[^>]*>", loaders, packs.NRF51))
        self.add(description, dict(files, **{f"Flash/Board_{c}.FLM": uicr for c in "ABC"}))
        shown = self.imprint_json("device", "show", "nRF51822_QFAA")
        self.assertEqual([m["start"] for m in shown["memories"]], ["0x00000000"])
        self.assertEqual(len(shown["not_used"]), 2)
        self.write("customer.bin", b"0123456789abcdef")
        recipe = "imprint: 1\nname: X\ndevice: %s\ndata: {customer: {file: customer.bin, at: 0x10001080}}\n"
        self.write("r.yaml", (recipe % "nRF51822_QFAA").encode())
        self.assertIn("E4005", self.imprint("check", "r.yaml", status=2))
        self.write("r.yaml", (recipe % "nRF51822_QFAA with board_b").encode())
        board = self.board()
        self.assertIn("PASSED", self.imprint("run", "r.yaml", "--probe", f"tcp:{board.dap}"))
        self.assertEqual(board.dump(0x10001080, 16), b"0123456789abcdef")
        self.write("r.yaml", (recipe % "nRF51822_QFAA with Board_D").encode())
        self.assertIn("has no flash algorithm 'Board_D'", self.imprint("check", "r.yaml", status=2))

    def test_erase_all_means_one_view_of_the_flash(self):
        """Two default algorithms, of which one is for a memory that is not the default: another view of the same flash."""
        both = packs.STM32F103.replace("<subFamily", '<algorithm name="Flash/Alias.FLM" start="0x00000000" size="0x20000" default="1"/>'
                                       '<memory name="ALIAS" access="rx" start="0" size="0x20000" default="0"/><subFamily', 1)
        alias = packs.Elf(packs.flm(FLMS, "stm32f1-flash"))
        alias.put(alias.device(132), 0)
        self.add(packs.pdsc(both), {"Flash/STM32F1.FLM": packs.flm(FLMS, "stm32f1-flash"), "Flash/Alias.FLM": bytes(alias.data)})
        shown = self.imprint_json("device", "show", "STM32F103CBT6")
        self.assertEqual([(m["start"], m["spared"]) for m in shown["memories"]], [("0x00000000", True), ("0x08000000", False)])
        self.write("a.bin", b"abcd")
        self.write("r.yaml", b"imprint: 1\nname: X\ndevice: STM32F103CBT6\ndata: {a: {file: a.bin, at: 0x08000000}}\n"
                   b"steps: [erase: all, program: all, verify: checksum]\n")
        board = self.board("--fill", "random", chip="stm32f103cb")
        self.assertIn("PASSED", self.imprint("run", "r.yaml", "--probe", f"tcp:{board.dap}"))
        self.assertEqual(board.status()["mass_erases"], 1)
        self.assertEqual(board.dump(0x08010000, 0x1000), b"\xff" * 0x1000)

    def test_unpacked(self):
        description, files = packs.stm32f103(FLMS)
        os.makedirs(self.path("unpacked/Flash"))
        self.write("unpacked/Acme.Test_DFP.pdsc", description)
        self.write("unpacked/Flash/STM32F1.FLM", files["Flash/STM32F1.FLM"])
        self.assertIn("added", self.imprint("device", "add", "unpacked/Acme.Test_DFP.pdsc"))
        self.assertEqual(self.imprint_json("device", "show", "STM32F103C8")["memories"][0]["size_bytes"], 0x10000)
        # nothing is followed out of the folder
        os.rename(self.path("unpacked/Flash"), self.path("Flash"))
        os.symlink(self.path("Flash"), self.path("unpacked/Flash"))
        self.assertIn("cannot be read beside it", self.imprint("device", "add", "unpacked/Acme.Test_DFP.pdsc", status=2))
        self.imprint("device", "add", "nothing.pack", status=2)

    def test_new(self):
        self.add(*packs.stm32f103(FLMS))
        self.imprint("new", "--device", "STM32F103C8", "made.yaml")
        with open(self.path("made.yaml"), encoding="utf-8") as f:
            text = f.read()
        self.assertIn("device: STM32F103C8\n", text)
        self.assertIn("0x08000000 to 0x0800FFFF in sectors of 1024 bytes", text)

    def test_hostile(self):
        def bounded():
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
        sanitized = "libasan" in subprocess.run(["ldd", imptest.program("imprint")], capture_output=True, text=True,
                                                check=True).stdout
        for name, (data, why) in packs.hostile(FLMS).items():
            with self.subTest(name):
                self.write(name + ".pack", data)
                begin = time.monotonic()
                done = subprocess.run([imptest.program("imprint"), "device", "add", name + ".pack", "--json"],
                                      capture_output=True, text=True, timeout=60, env=self.env, cwd=self.dir,
                                      preexec_fn=None if sanitized else bounded)
                self.assertLess(time.monotonic() - begin, REFUSE_MAX_S)
                error = json.loads(done.stdout)["error"]
                self.assertIn(error["code"], (4030, 4011, 1009), error)
                self.assertIn(done.returncode, (2, 3))
                self.assertIn(why, error["message"])
        self.assertEqual(self.stored(), [])
        self.assertFalse(os.path.exists(self.path("../escape.txt")))

    def test_damaged_folder(self):
        """A file of the folder that cannot be read does not take the others with it."""
        self.add(*packs.stm32f103(FLMS))
        folder = self.path("data/imprint/packs")
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        with open(os.path.join(folder, "Bad.Pack.1.0.0.pack"), "wb") as f:
            f.write(b"PK")
        said = self.imprint("device", "list")
        self.assertIn("not usable: ", said)
        self.assertIn("STM32F103C8", said)
        self.imprint("device", "show", "STM32F103C8")


if __name__ == "__main__":
    imptest.main()
