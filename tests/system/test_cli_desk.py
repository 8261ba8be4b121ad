#!/usr/bin/env python3
"""imprint's commands for the desk (probe list, target identify, device, doctor) against real boards."""
import json
import os
import subprocess

import imptest


def sanitizer_of(path):
    """The sanitizer library that a program is linked with: it must come first in LD_PRELOAD."""
    for line in subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        if "libasan" in line or "libtsan" in line:
            return line.split()[2]
    return None


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
        library = sanitizer_of(imptest.program("imprint"))
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


if __name__ == "__main__":
    imptest.main()
