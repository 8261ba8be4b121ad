#!/usr/bin/env python3
"""What is programmed equals what programs that we did not write say of the same data: srec_cat and objcopy turn random maps and
a linked program into every format that they know; each is programmed, and the chip's memory is compared from inside the board."""
import json
import os
import random
import re
import shutil
import subprocess

import imptest

SEED = int(os.environ.get("IMPRINT_SEED", random.randrange(1 << 32)))
FLASH = 128 * 1024
BASE = 0x08000000
EXAMPLE = os.path.join(os.environ["IMPRINT_SOURCE"], "examples", "run-test")
LIBRARY = os.path.join(os.environ["IMPRINT_SOURCE"], "algorithms", "runtest")

RECIPE = """\
imprint: 1
name: Map
device: STM32F103xB
data: {data: {file: %s}}
steps:
  - erase: all
  - program: all
  - verify: checksum
"""


def tool(name):
    return imptest.program(name)


class Formats(imptest.TestCase):
    def setUp(self):
        print(f"# seed {SEED}", flush=True)
        self.random = random.Random(SEED)
        self.dir = self.folder()
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.dir, "data"))
        self.chip = self.board("--fill", "random", chip="stm32f103cb")

    def do(self, *args):
        done = subprocess.run(args, capture_output=True, text=True, cwd=self.dir, env=self.env, timeout=120)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout

    def program(self, name, source):
        """Programs the chip; the content digest."""
        with open(os.path.join(self.dir, f"{name}.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE % source)
        self.do(tool("imprint"), "run", f"{name}.yaml", "--probe", f"tcp:{self.chip.dap}")
        built = json.loads(self.do(tool("imprint"), "build", f"{name}.yaml", "-o", f"{name}.impo", "--json"))
        return built["content_sha256"]

    def random_map(self):
        """Pieces of bytes that do not touch, as the whole flash holds them afterwards."""
        memory, at, pieces = bytearray(b"\xff" * FLASH), 0, []
        for _ in range(self.random.randrange(1, 8)):
            at += self.random.randrange(1, 12000)
            piece = self.random.randbytes(self.random.randrange(1, 3000))
            if at + len(piece) >= FLASH:
                break
            memory[at:at + len(piece)] = piece
            pieces.append((at, piece))
            at += len(piece)
        if not pieces:
            pieces = [(0, b"\x12\x34\x56\x78")]
            memory[:4] = pieces[0][1]
        return bytes(memory), pieces

    def test_random_maps(self):
        for n in range(3):
            memory, pieces = self.random_map()
            args = []
            for i, (at, piece) in enumerate(pieces):
                with open(os.path.join(self.dir, f"piece{i}.bin"), "wb") as f:
                    f.write(piece)
                args += [f"piece{i}.bin", "-binary", "-offset", hex(BASE + at)]
            digests = set()
            for suffix, how in (("hex", ["-intel", "-address-length=4"]), ("s37", ["-motorola", "-address-length=4"]),
                                ("s19", ["-motorola", f"-line-length={self.random.randrange(40, 78)}"])):
                self.do(tool("srec_cat"), *args, "-o", f"map{n}.{suffix}", *how)
                digests.add(self.program(f"map{n}-{suffix}", f"map{n}.{suffix}"))
                self.assertEqual(self.chip.dump(BASE, FLASH), memory, f"{suffix} of map {n}")
            self.assertEqual(len(digests), 1)

    def test_a_linked_program(self):
        for name in os.listdir(EXAMPLE):
            if name != "build":
                shutil.copy(os.path.join(EXAMPLE, name), self.dir)
        self.do("make", f"LIB={LIBRARY}")
        elf = "build/firmware.elf"
        digests = set()
        for suffix, target in (("hex", "ihex"), ("s37", "srec"), ("bin", "binary")):
            self.do(tool("arm-none-eabi-objcopy"), "-O", target, elf, f"firmware.{suffix}")
        with open(os.path.join(self.dir, "firmware.bin"), "rb") as f:
            memory = f.read().ljust(FLASH, b"\xff")
        for source in (elf, "firmware.hex", "firmware.s37", f"firmware.bin, at: {BASE:#x}"):
            digests.add(self.program(re.sub(r"[^a-z0-9]+", "-", source.split(",")[0]), source))
            self.assertEqual(self.chip.dump(BASE, FLASH), memory, source)
        self.assertEqual(len(digests), 1)


if __name__ == "__main__":
    imptest.main()
