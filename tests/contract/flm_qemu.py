#!/usr/bin/env python3
"""Our flash algorithms on a chip that somebody else modelled: QEMU's micro:bit, driven over its GDB port.

  flm_qemu.py qemu-system-arm readelf objcopy nrf51-code.flm nrf51-uicr.flm

QEMU's flash is all zeroes at start, erases to ones, and takes stores as program operations only while the NVMC allows
them. Each algorithm runs at two load addresses, with rubbish in R9: it must not need it.
"""
import os
import random
import re
import socket
import subprocess
import sys
import tempfile

RETURN = 0x20003F00  # breakpoint
STACK = 0x20003F00
BUFFER = 0x20002000
LOADS = (0x20000010, 0x20001230)
ERASE, PROGRAM = 1, 2


class Gdb:
    """The few packets of the GDB remote protocol that this needs."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.buffer = b""

    def _take(self, n):
        while len(self.buffer) < n:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("QEMU closed the connection")
            self.buffer += more
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def ask(self, text):
        data = text.encode()
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))
        while self._take(1) != b"$":
            pass
        reply = b""
        while (byte := self._take(1)) != b"#":
            reply += byte
        self._take(2)
        self.socket.sendall(b"+")
        return reply.decode()

    def want(self, text, reply="OK"):
        got = self.ask(text)
        if got != reply:
            raise AssertionError(f"{text[:40]}: {got}, wanted {reply}")

    def read(self, address, n):
        out = b""
        while n:
            step = min(n, 1024)
            out += bytes.fromhex(self.ask(f"m{address:x},{step:x}"))
            address, n = address + step, n - step
        return out

    def write(self, address, data):
        for i in range(0, len(data), 1024):
            part = data[i:i + 1024]
            self.want(f"M{address + i:x},{len(part):x}:{part.hex()}")

    def set(self, register, value):
        self.want(f"P{register:x}={value.to_bytes(4, 'little').hex()}")

    def get(self, register):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{register:x}")), "little")


class Algorithm:
    def __init__(self, readelf, objcopy, path, folder):
        table = subprocess.run([readelf, "-sW", path], check=True, capture_output=True, text=True).stdout
        self.symbols = {m[1]: int(m[0], 16) for m in
                        re.findall(r"^\s*\d+: ([0-9a-f]+)\s+\d+ FUNC\s+GLOBAL\s+\S+\s+\d+ (\w+)", table, re.M)}
        blob = os.path.join(folder, "blob")
        subprocess.run([objcopy, "-O", "binary", "-j", "PrgCode", "-j", "PrgData", path, blob], check=True)
        with open(blob, "rb") as file:
            self.blob = file.read()

    def call(self, gdb, load, name, *arguments):
        gdb.write(load, self.blob)
        for register, value in enumerate(arguments):
            gdb.set(register, value)
        gdb.set(9, 0xDEADBEEF)
        gdb.set(13, STACK)
        gdb.set(14, RETURN | 1)
        gdb.set(25, 0x01000000)  # xPSR: Thumb
        gdb.set(15, load + (self.symbols[name] & ~1))
        gdb.want(f"Z0,{RETURN:x},2")
        stopped = gdb.ask("c")
        if not stopped.startswith("T05") or gdb.get(15) != RETURN:
            raise AssertionError(f"{name} did not return: {stopped}, PC 0x{gdb.get(15):08x}")
        return gdb.get(0)


def check(what, ok):
    if not ok:
        raise AssertionError(what)


def test_code(gdb, algorithm, load):
    rand = random.Random(load)
    page = b"".join(rand.choice((b"\xff" * 4, rand.randbytes(4))) for _ in range(256))
    check("Init for erasing", algorithm.call(gdb, load, "Init", 0, 16000000, ERASE) == 0)
    check("EraseSector", algorithm.call(gdb, load, "EraseSector", 0x400) == 0)
    check("UnInit", algorithm.call(gdb, load, "UnInit", ERASE) == 0)
    check("the page is blank", gdb.read(0x400, 1024) == b"\xff" * 1024)
    check("its neighbours are untouched", gdb.read(0x3FC, 4) == gdb.read(0x800, 4) == bytes(4))
    gdb.write(BUFFER, page)
    check("Init for programming", algorithm.call(gdb, load, "Init", 0, 16000000, PROGRAM) == 0)
    check("ProgramPage", algorithm.call(gdb, load, "ProgramPage", 0x400, 1024, BUFFER) == 0)
    check("the page is programmed", gdb.read(0x400, 1024) == page)
    check("its neighbours are untouched", gdb.read(0x3FC, 4) == gdb.read(0x800, 4) == bytes(4))
    check("an odd address is refused", algorithm.call(gdb, load, "ProgramPage", 0x402, 4, BUFFER) == 1)
    check("an odd length is refused", algorithm.call(gdb, load, "ProgramPage", 0x400, 3, BUFFER) == 1)
    check("UnInit", algorithm.call(gdb, load, "UnInit", PROGRAM) == 0)
    check("Init for erasing", algorithm.call(gdb, load, "Init", 0, 16000000, ERASE) == 0)
    check("EraseChip", algorithm.call(gdb, load, "EraseChip") == 0)
    check("the chip is blank", gdb.read(0, 0x40000) == b"\xff" * 0x40000)


def test_uicr(gdb, algorithm, load):
    words = bytes(range(1, 29))
    check("Init", algorithm.call(gdb, load, "Init", 0x10001000, 16000000, ERASE) == 0)
    check("EraseSector", algorithm.call(gdb, load, "EraseSector", 0x10001000) == 0)
    check("UICR is blank", gdb.read(0x10001000, 0x100) == b"\xff" * 0x100)
    check("code flash is untouched", gdb.read(0, 1024) == bytes(1024))
    gdb.write(BUFFER, words)
    check("Init", algorithm.call(gdb, load, "Init", 0x10001000, 16000000, PROGRAM) == 0)
    check("ProgramPage", algorithm.call(gdb, load, "ProgramPage", 0x10001080, len(words), BUFFER) == 0)
    check("UICR is programmed", gdb.read(0x10001080, len(words)) == words)


def run(qemu, folder, test, algorithm, load):
    path = os.path.join(folder, "gdb")
    if os.path.exists(path):
        os.unlink(path)
    process = subprocess.Popen(
        [qemu, "-M", "microbit", "-S", "-display", "none", "-serial", "none", "-monitor", "none", "-chardev",
         f"socket,id=gdb,path={path},server=on,wait=on", "-gdb", "chardev:gdb"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        # With wait=on QEMU says where it listens, and goes on when we are there.
        line = process.stdout.readline()
        check(f"QEMU listens: {line!r}", b"waiting for connection" in line)
        gdb = Gdb(path)
        gdb.ask("qXfer:features:read:target.xml:0,ffb")  # before it QEMU has no single registers
        gdb.ask("?")
        test(gdb, algorithm, load)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main(qemu, readelf, objcopy, code, uicr):
    failed, number = 0, 0
    print(f"1..{2 * len(LOADS)}")
    with tempfile.TemporaryDirectory(prefix="imprint-flm-") as folder:
        for path, test in ((code, test_code), (uicr, test_uicr)):
            for load in LOADS:
                number += 1
                try:
                    run(qemu, folder, test, Algorithm(readelf, objcopy, path, folder), load)
                    print(f"ok {number} - {os.path.basename(path)} at 0x{load:08x}")
                except (AssertionError, OSError, EOFError) as fault:
                    failed += 1
                    print(f"not ok {number} - {os.path.basename(path)} at 0x{load:08x}\n# {fault}")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
