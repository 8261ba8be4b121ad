#!/usr/bin/env python3
"""imprint's commands for the desk (probe list, target identify, device, doctor) against real boards."""
import json
import os
import struct
import subprocess

import imptest


class Desk(imptest.TestCase):
    def setUp(self):
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"),
                        XDG_CONFIG_HOME=os.path.join(self.dir, "config"))

    def imprint(self, *args, before=(), env=None):
        return subprocess.run([*before, imptest.program("imprint"), *args], capture_output=True, text=True, timeout=120,
                              env=env or self.env)

    def imprint_json(self, *args, **more):
        done = self.imprint(*args, "--json", **more)
        self.assertEqual(done.stderr, "")
        return done.returncode, json.loads(done.stdout)

    def on_usb(self, board, *args):
        """The same with a probe on USB: a mocked one before the board."""
        library = imptest.sanitizer_of(imptest.program("imprint"))
        env = dict(self.env, LD_PRELOAD=library) if library else self.env
        return self.imprint(*args, before=[imptest.program("usb-proxy"), "--board", board.dap, "--serial", "DESK7", "--"],
                            env=env)

    def test_probe_on_the_network(self):
        board = self.board("--serial", "0815")
        status, result = self.imprint_json("probe", "list", "--probe", f"tcp:{board.dap}")
        self.assertEqual((status, result["ok"], len(result["probes"])), (0, True, 1))
        info = result["probes"][0]["info"]
        self.assertEqual(info["serial"], "0815")
        self.assertTrue(info["swd"] and info["vendor"] and info["product"] and info["firmware"], info)
        self.assertGreaterEqual(info["packet_bytes"], 64)
        self.assertGreaterEqual(info["packets"], 1)
        done = self.imprint("probe", "list", "--probe", f"tcp:{board.dap}")
        self.assertEqual(done.returncode, 0, done.stderr)
        for text in (info["product"], "0815", f"{info['packet_bytes']} x {info['packets']}", "SWD"):
            self.assertIn(text, done.stdout)
        self.assertEqual(board.status()["transfers"], 0)  # the chip was not touched
        board.stop()
        status, result = self.imprint_json("probe", "list", "--probe", f"tcp:{board.dap}")
        self.assertEqual((status, result["error"]["code"]), (2, 2001))

    def test_probe_on_usb(self):
        board = self.board()
        done = self.on_usb(board, "probe", "list", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        probes = json.loads(done.stdout)["probes"]
        self.assertEqual(len(probes), 1, probes)
        self.assertEqual((probes[0]["probe"], probes[0]["serial"], probes[0]["access"], probes[0]["kind"]),
                         ("usb:DESK7", "DESK7", "good", "CMSIS-DAP v2"))
        self.assertIn("CMSIS-DAP", probes[0]["product"])
        self.assertGreaterEqual(probes[0]["info"]["packets"], 1)
        done = self.on_usb(board, "probe", "list")
        self.assertRegex(done.stdout, r"usb:DESK7 .*CMSIS-DAP v2 .* ready")
        self.assertEqual(board.status()["transfers"], 0)

    def untouched(self, board):
        """What only reads leaves the firmware running, and resets, halts and writes nothing."""
        after = board.status()
        self.assertEqual((after["running"], after["pages_erased"], after["mass_erases"], after["words_programmed"]),
                         (1, 0, 0, 0))

    def identify(self, board):
        return self.imprint_json("target", "identify", "--probe", f"tcp:{board.dap}")

    def load(self, board, data, address):
        path = os.path.join(self.dir, "load.bin")
        with open(path, "wb") as f:
            f.write(data)
        board.control(f'load "{path}" {address:#x}')

    def counting(self, board, flash, ram):
        """Firmware that counts in RAM, so that a reset or a halt shows."""
        self.load(board, struct.pack("<II", ram + 0x1000, flash + 0x41).ljust(0x40, b"\0") + bytes.fromhex(
            "0248016801310160fbe70000") + struct.pack("<I", ram), flash)  # ldr r0,=ram; l: ldr r1,[r0]; adds; str; b l
        board.control("power off")
        board.control("power on")

    def test_identify(self):
        rows = [("nrf51822", "nRF51822_xxAA", "0x0BB11477", "Cortex-M0 r0p0", 0),
                ("nrf52832", "nRF52832_xxAA", "0x2BA01477", "Cortex-M4 r0p1", 0),
                ("stm32f103cb", "STM32F103xB", "0x1BA01477", "Cortex-M3 r1p1", 0x08000000)]
        for chip, device, dpidr, core, flash in rows:
            board = self.board("--wire-time", chip=chip)  # the core runs only with the wire: little to emulate
            self.counting(board, flash, 0x20000000)
            uid = bytes.fromhex(board.control("uid"))[::-1].hex()
            before = board.dump(0x20000000, 4)
            status, result = self.identify(board)
            self.assertEqual((status, result["ok"]), (0, True), result)
            self.assertEqual((result["dpidr"], result["core"]), (dpidr, core))
            self.assertEqual(result["devices"], [{"device": device, "uid": uid, "locked": False}])
            self.untouched(board)
            self.assertGreater(struct.unpack("<I", board.dump(0x20000000, 4)), struct.unpack("<I", before))
            done = self.imprint("target", "identify", "--probe", f"tcp:{board.dap}")
            self.assertEqual(done.returncode, 0, done.stderr)
            for text in (device, uid, core, dpidr, "locked   no"):
                self.assertIn(text, done.stdout)
            board.stop()

    def test_identify_locked(self):
        board = self.board()
        self.load(board, b"\xff\x00\xff\xff", 0x10001004)  # UICR RBPCONF: PALL
        status, result = self.identify(board)
        self.assertEqual((status, result["devices"][0]["device"], result["devices"][0]["locked"]),
                         (0, "nRF51822_xxAA", True))
        board.stop()
        locked = os.path.join(self.dir, "locked.bin")
        with open(locked, "wb") as f:
            f.write(b"\x00\xff")  # RDP of the option bytes
        board = self.board("--load", locked + "@0x1FFFF800", chip="stm32f103cb")
        status, result = self.identify(board)
        self.assertEqual((status, result["devices"][0]["device"], result["devices"][0]["locked"]), (0, "STM32F103xB", True))
        done = self.imprint("target", "identify", "--probe", f"tcp:{board.dap}")
        self.assertIn("locked   yes", done.stdout)

    def test_identify_locked_out(self):
        board = self.board(chip="nrf52832")
        self.load(board, b"\x00\xff\xff\xff", 0x10001208)  # UICR APPROTECT
        board.control("power off")
        board.control("power on")
        status, result = self.identify(board)
        self.assertEqual((status, result["ok"], result["locked"], result["devices"]), (0, True, True, []), result)
        self.assertEqual(result["likely"], ["nRF52832_xxAA"])
        done = self.imprint("target", "identify", "--probe", f"tcp:{board.dap}")
        self.assertIn("locked   yes: ", done.stdout)
        self.assertIn("unlock: erase", done.stdout)
        self.assertEqual(board.status()["mass_erases"], 0)

    def test_identify_tells_the_maker(self):
        for chip, maker, part in (("stm32f103cb", "STMicroelectronics", "0x00000410"),
                                  ("stm32g071rb", "STMicroelectronics", "0x00000460")):
            board = self.board("--fault", "wrong-variant", chip=chip)
            status, result = self.identify(board)
            self.assertEqual((status, result.get("maker"), result.get("maker_part")), (0, maker, part))
            done = self.imprint("target", "identify", "--probe", f"tcp:{board.dap}")
            self.assertIn("maker    " + maker, done.stdout)
            self.assertIn("imprint device add", done.stdout)
            board.stop()

    def test_identify_others(self):
        for chip in ("nrf51822", "stm32f103cb"):
            board = self.board("--fault", "wrong-chip", chip=chip)
            status, result = self.identify(board)
            self.assertEqual((status, result["dpidr"], result["devices"], [d["device"] for d in result["ruled_out"]]),
                             (0, "0x2BA01477", [], ["nRF52832_xxAA"]))
            self.assertIn("Cortex-M4", result["core"])
            board.stop()
        board = self.board("--fault", "wrong-variant")
        status, result = self.identify(board)
        self.assertEqual((status, result["devices"], len(result["ruled_out"])), (0, [], 1))
        self.assertIn("CODESIZE", result["ruled_out"][0]["why"])
        done = self.imprint("target", "identify", "--probe", f"tcp:{board.dap}")
        self.assertIn("none that this version knows", done.stdout)
        self.assertIn("CODESIZE", done.stdout)
        board.stop()
        board = self.board("--empty")
        status, result = self.identify(board)
        self.assertEqual((status, result["error"]["code"], result["error"]["step"]), (2, 2010, "attach"))
        self.assertEqual(self.imprint("target", "identify").returncode, 2)  # no probe on USB

    def test_devices(self):
        status, result = self.imprint_json("device", "list")
        self.assertEqual(status, 0)
        self.assertIn("nRF51822_xxAA", [d["device"] for d in result["devices"]])
        names = [name for d in result["devices"] for name in d["names"]]
        self.assertEqual(len(names), len(set(names)), names)
        done = self.imprint("device", "list")
        for device in result["devices"]:
            self.assertIn(device["device"], done.stdout)
            for name in device["names"]:
                status, shown = self.imprint_json("device", "show", name.upper())
                self.assertEqual((status, shown["device"], shown["names"]), (0, device["device"], device["names"]))
                self.assertTrue(shown["memories"] and shown["checks"], name)
                for memory in shown["memories"]:
                    self.assertEqual(sum(s["count"] * s["size_bytes"] for s in memory["sectors"]), memory["size_bytes"])
        status, shown = self.imprint_json("device", "show", "stm32f103cb")
        self.assertEqual((shown["core"], shown["ram_bytes"], shown["uid_address"], shown["uid_bytes"]),
                         ("cortex-m3", 20480, "0x1FFFF7E8", 12))
        main = shown["memories"][0]
        self.assertEqual((main["start"], main["size_bytes"], main["erases_all"]), ("0x08000000", 131072, True))
        self.assertEqual(main["sectors"], [{"count": 128, "size_bytes": 1024, "start": "0x08000000"}])
        done = self.imprint("device", "show", "STM32F103CB")
        for text in ("cortex-m3, 8 MHz", "128 x 1 KiB", "F_SIZE is 128 KiB", "0x1FFFF7E8  12 bytes", "RDPRT"):
            self.assertIn(text, done.stdout)
        done = self.imprint("device", "show", "STM32F103CC")
        self.assertEqual(done.returncode, 2)
        self.assertIn("STM32F103CB", done.stderr)

    def doctor(self, *args, env=None):
        status, result = self.imprint_json("doctor", *args, env=env)
        checks = {check["check"]: check for check in result["checks"]}
        bad = [check for check in result["checks"] if not check["ok"]]
        self.assertEqual(result["ok"], not bad)
        self.assertEqual(status == 0, not bad)
        for check in bad:
            self.assertTrue(check["do"] and check["text"], check)
        return checks

    def test_doctor(self):
        board = self.board()
        probe = ["--probe", f"tcp:{board.dap}"]
        checks = self.doctor(*probe)  # the clock is the machine's own
        self.assertEqual([checks[name]["ok"] for name in ("version", "folder", "ledger", "probe")], [True] * 4, checks)
        self.assertIn("firmware", checks["probe"]["text"])
        self.assertEqual(board.status()["transfers"], 0)
        self.assertEqual(os.listdir(os.path.join(self.dir, "data", "imprint")), [])  # nothing is left behind
        done = self.imprint("doctor", *probe)
        self.assertRegex(done.stdout, r"(?m)^ok +probe +tcp:")
        board.stop()
        self.assertEqual(self.doctor(*probe)["probe"]["code"], 2001)
        self.assertEqual(self.doctor()["probe"]["code"], 2001)  # none on USB
        done = self.imprint("doctor")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stdout, r"(?m)^not ok +probe .*\n +do +plug one in")
        with open(os.path.join(self.dir, "data", "imprint", "ledger.db"), "wb") as f:
            f.write(b"no database " * 1000)
        self.assertFalse(self.doctor()["ledger"]["ok"])
        blocked = os.path.join(self.dir, "blocked")  # a file where the folder should be
        with open(blocked, "w", encoding="utf-8"):
            pass
        checks = self.doctor(env=dict(self.env, XDG_DATA_HOME=blocked))
        self.assertEqual((checks["folder"]["ok"], checks["folder"]["code"]), (False, 1002))
        self.assertIn(blocked, checks["folder"]["text"])

    def test_doctor_on_packs_and_login(self):
        packs = os.path.join(self.dir, "data/imprint/packs")
        os.makedirs(packs)
        self.assertTrue(self.doctor()["packs"]["ok"])
        with open(os.path.join(packs, "Bad.Pack.1.0.0.pack"), "wb") as f:
            f.write(b"PK")
        check = self.doctor()["packs"]
        self.assertEqual((check["ok"], check["code"]), (False, 4030))
        self.assertIn("Bad.Pack.1.0.0.pack", check["text"])
        self.assertTrue(self.doctor()["login"]["ok"])
        token = os.path.join(self.dir, "config/imprint/cloud.token")
        os.makedirs(os.path.dirname(token))
        with open(token, "w", encoding="utf-8") as f:
            f.write("secret")
        os.chmod(token, 0o644)
        check = self.doctor()["login"]
        self.assertEqual((check["ok"], check["code"]), (False, 1013))
        self.assertIn("chmod 600", check["do"])
        os.chmod(token, 0o600)
        self.assertTrue(self.doctor()["login"]["ok"])

    def test_probe_by_place(self):
        board = self.board()
        place = json.loads(self.on_usb(board, "probe", "list", "--json").stdout)["probes"][0]["usb"]
        done = self.on_usb(board, "probe", "list", "--probe", f"usb:{place}")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.on_usb(board, "probe", "list", "--probe", "usb:9-9")
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"DESK7 at {place}", done.stderr)

    def test_doctor_on_usb(self):
        board = self.board()
        done = self.on_usb(board, "doctor")
        self.assertRegex(done.stdout, r"(?m)^ok +probe +usb:DESK7: ")


if __name__ == "__main__":
    imptest.main()
