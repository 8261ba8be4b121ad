#!/usr/bin/env python3
"""CMSIS-Packs for tests, made of flash algorithms of our own; good ones and hostile ones.

    import packs
    packs.write(path, packs.pdsc(...), {"Flash/a.FLM": b"..."})

    packs.py FLM_FOLDER CORPUS_FOLDER     writes the inputs of the fuzz targets pack and pdsc
"""
import io
import os
import re
import stat
import struct
import sys
import warnings
import zipfile

DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes each time


def algorithm(file, start, size, more=""):
    return f'<algorithm name="{file}" start="{start:#x}" size="{size:#x}" {more}/>'


def pdsc(devices, vendor="Acme", name="Test_DFP", version="1.2.3", dvendor="STMicroelectronics:13", family="Test Series", inherited=""):
    """A description with one family; devices is XML for inside of it."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<package schemaVersion="1.7.2" xmlns:xs="http://www.w3.org/2001/XMLSchema-instance" xs:noNamespaceSchemaLocation="PACK.xsd">
  <vendor>{vendor}</vendor>
  <name>{name}</name>
  <description>made for a test</description>
  <url>https://example.invalid/</url>
  <releases>
    <release version="{version}" date="2026-11-22">newest</release>
    <release version="0.9.0">older</release>
  </releases>
  <devices>
    <family Dfamily="{family}" Dvendor="{dvendor}">
      {inherited}
      {devices}
    </family>
  </devices>
</package>
""".encode()


STM32F103 = """
      <processor Dcore="Cortex-M3" DcoreVersion="r1p1" Dfpu="0" Dmpu="0" Dendian="Little-endian"/>
      <algorithm name="Flash\\STM32F1.FLM" start="0x08000000" size="0x20000" RAMstart="0x20000000" RAMsize="0x1000" default="1"/>
      <algorithm name="Flash/STM32F1.mac" start="0x08000000" size="0x20000" style="IAR"/>
      <subFamily DsubFamily="STM32F103">
        <processor Dclock="72000000"/>
        <memory id="IRAM1" start="0x20000000" size="0x5000" init="0" default="1"/>
        <debug svd="SVD/STM32F103xx.svd" __dp="0" __ap="0"/>
        <device Dname="STM32F103C8">
          <memory id="IROM1" start="0x08000000" size="0x10000" startup="1" default="1"/>
        </device>
        <device Dname="STM32F103CB">
          <memory id="IROM1" start="0x08000000" size="0x20000" startup="1" default="1"/>
          <variant Dvariant="STM32F103CBT6"><feature type="QFP" n="48"/></variant>
        </device>
      </subFamily>
"""

NRF51 = """
      <processor Dcore="Cortex-M0" Dclock="16000000"/>
      <memory name="RAM" access="rwx" start="0x20000000" size="0x4000" default="1"/>
      <memory name="FLASH" access="rx" start="0" size="0x40000" startup="1" default="1"/>
      <algorithm name="Flash/nrf51xxx.flm" start="0x00000000" size="0x200000" RAMstart="0x20000000" RAMsize="0x4000" default="1"/>
      <algorithm name="Flash/nrf51xxx_uicr.flm" start="0x10001000" size="0x100" RAMstart="0x20000000" RAMsize="0x4000"/>
      <device Dname="nRF51822_QFAA"/>
"""


def flm(folder, name):
    with open(os.path.join(folder, name + ".flm"), "rb") as f:
        return f.read()


class Elf:
    """An FLM that can be changed: sections and symbols by name (ELF32, little-endian)."""

    def __init__(self, data):
        self.data = bytearray(data)
        shoff, = struct.unpack_from("<I", self.data, 32)
        shnum, shstrndx = struct.unpack_from("<HH", self.data, 48)
        self.sections = [shoff + 40 * i for i in range(shnum)]
        names = self.field(self.sections[shstrndx], 16)
        self.by_name = {self.text(names + self.field(s, 0)): s for s in self.sections}

    def field(self, at, offset):
        return struct.unpack_from("<I", self.data, at + offset)[0]

    def put(self, at, value):
        struct.pack_into("<I", self.data, at, value)

    def text(self, at):
        return self.data[at:self.data.index(0, at)].decode()

    def symbol(self, name):
        table, names = self.by_name[".symtab"], self.field(self.by_name[".strtab"], 16)
        for at in range(self.field(table, 16), self.field(table, 16) + self.field(table, 20), 16):
            if self.text(names + self.field(at, 0)) == name:
                return at
        raise KeyError(name)

    def drop(self, name):
        """The function is not there."""
        struct.pack_into("<H", self.data, self.symbol(name) + 14, 0)

    def device(self, offset):
        """Where a field of FlashDevice is."""
        return self.field(self.by_name["DevDscr"], 16) + offset

    def move(self, distance):
        """Linked to another address."""
        for name in ("PrgCode", "PrgData"):
            if name in self.by_name:
                self.put(self.by_name[name] + 12, self.field(self.by_name[name], 12) + distance)
        for name in ("Init", "UnInit", "EraseSector", "ProgramPage", "EraseChip"):
            at = self.symbol(name)
            self.put(at + 4, self.field(at, 4) + distance)


def quirks(folder):
    """Name → an FLM for the STM32F103 with a habit of files in the field."""
    def changed(change):
        elf = Elf(flm(folder, "stm32f1-flash"))
        change(elf)
        return bytes(elf.data)
    return {
        "no-uninit": changed(lambda e: e.drop("UnInit")),
        "no-erase-chip": changed(lambda e: e.drop("EraseChip")),
        "linked-elsewhere": changed(lambda e: e.move(0x20000104)),
        "no-times": changed(lambda e: (e.put(e.device(152), 0), e.put(e.device(156), 0))),
        "endless-times": changed(lambda e: (e.put(e.device(152), 0xFFFFFFFF), e.put(e.device(156), 0xFFFFFFFF))),
        "page-larger-than-ram": changed(lambda e: e.put(e.device(140), 0x8000)),
        "larger-chip": changed(lambda e: (e.put(e.device(136), 0x80000))),
    }


def stm32f103(folder, **more):
    """Description and files of a pack for STM32F103."""
    return pdsc(STM32F103, **more), {"Flash/STM32F1.FLM": flm(folder, "stm32f1-flash")}


def nrf51(folder, **more):
    more = dict({"name": "nRF_DFP", "dvendor": "Nordic Semiconductor:54"}, **more)
    return pdsc(NRF51, **more), {"Flash/nrf51xxx.flm": flm(folder, "nrf51-code"),
                                 "Flash/nrf51xxx_uicr.flm": flm(folder, "nrf51-uicr")}


def pack(description, files, pdsc_name="Acme.Test_DFP.pdsc", links=()):
    """The bytes of a pack. files: path → bytes, or a list of pairs where a name comes twice; links: path → target."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        warnings.simplefilter("ignore")  # a name that comes twice is meant
        if description is not None:
            z.writestr(zipfile.ZipInfo(pdsc_name, DATE), description, zipfile.ZIP_DEFLATED)
        for path, data in files.items() if isinstance(files, dict) else files:
            z.writestr(zipfile.ZipInfo(path, DATE), data, zipfile.ZIP_DEFLATED)
        for path, target in dict(links).items():
            info = zipfile.ZipInfo(path, DATE)
            info.create_system = 3  # Unix
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            z.writestr(info, target)
    return out.getvalue()


def write(path, description, files, **more):
    with open(path, "wb") as f:
        f.write(pack(description, files, **more))
    return path


BILLION = b"""<?xml version="1.0"?>
<!DOCTYPE package [
<!ENTITY a0 "ha">
""" + b"".join(b'<!ENTITY a%d "%s">\n' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 10)) + b"""]>
<package><vendor>&a9;</vendor><name>x</name></package>
"""

FILE_ENTITY = b"""<?xml version="1.0"?>
<!DOCTYPE package [<!ENTITY e SYSTEM "file:///etc/passwd">]>
<package><vendor>&e;</vendor><name>x</name></package>
"""


def hostile(folder):
    """Name → (bytes of a pack, what the refusal says)."""
    good, files = stm32f103(folder)
    bomb = b"<!-- " + b" " * (40 << 20) + b" -->"
    broken = dict(files, **{"Flash/STM32F1.FLM": files["Flash/STM32F1.FLM"][:400]})
    many, line = good, re.search(rb"<algorithm name=.Flash.STM32F1.FLM.[^>]*>", good).group(0)
    padded = files["Flash/STM32F1.FLM"].ljust(4 << 20, b"\0")
    padded = padded[:1 << 20] + b"".join(bytes([i * 37 & 0xFF, i >> 8 & 0xFF]) * 64 for i in range(3 << 13))
    sum_files = {f"Flash/{i}.FLM": padded for i in range(40)}
    many = good.replace(line, b"".join(line.replace(b"STM32F1.FLM", b"%d.FLM" % i) for i in range(40)))
    huge = bytearray(pack(good, files))
    end = huge.rindex(b"PK\5\6")
    struct.pack_into("<HH", huge, end + 8, 0xFFFF, 0xFFFF)
    return {
        "empty": (b"", "not a ZIP file"),
        "text": (b"not a pack at all\n" * 20, "not a ZIP file"),
        "cut": (pack(good, files)[:-30], "not a ZIP file"),
        "zip-bomb-pdsc": (pack(good.replace(b"</package>", bomb + b"</package>"), files), "at most"),
        "zip-bomb-flm": (pack(good, dict(files, **{"Flash/STM32F1.FLM": b"\0" * (3 << 20)})), "packed more than"),
        "much-in-sum": (pack(many, sum_files), "bytes together"),
        "escape": (pack(good, dict(files, **{"../../escape.txt": b"x"})), "leads out of the pack"),
        "absolute": (pack(good, dict(files, **{"/etc/escape.txt": b"x"})), "leads out of the pack"),
        "drive": (pack(good, dict(files, **{"C:\\escape.txt": b"x"})), "leads out of the pack"),
        "escape-in-pdsc": (pack(good.replace(b"Flash\\STM32F1.FLM", b"..\\..\\STM32F1.FLM"), files), "outside the pack"),
        "link": (pack(good, {}, links={"Flash/STM32F1.FLM": "/etc/passwd"}), "symbolic link"),
        "link-folder": (pack(good, files, links={"Docs": "/etc"}), "symbolic link"),
        "twice": (pack(good, [*files.items(), *files.items()]), "twice"),
        "two-pdsc": (pack(good, dict(files, **{"Other.pdsc": good})), "two descriptions"),
        "no-pdsc": (pack(None, files), "no description"),
        "no-flm": (pack(good, {}), "no entry"),
        "broken-elf": (pack(good, broken), "not a usable flash algorithm"),
        "entities": (pack(BILLION, files), "document type"),
        "file-entity": (pack(FILE_ENTITY, files), "document type"),
        "utf-16": (pack(good.decode().replace("UTF-8", "UTF-16").encode("utf-16"), files), "byte 0"),
        "utf-7": (pack(good.replace(b"UTF-8", b"UTF-7"), files), "encoding"),
        "deep": (pack(good.replace(b"<url>", b"<x>" * 100 + b"</x>" * 100 + b"<url>"), files), "nested deeper"),
        "not-xml": (pack(good.replace(b"</devices>", b""), files), "not readable as XML"),
        "many-entries": (bytes(huge), "a list of 65535 entries"),
        "no-devices": (pack(pdsc(""), files), "no device"),
        "bad-name": (pack(good.replace(b"<name>Test_DFP", b"<name>../../x"), files), "not of letters"),
    }


def corpora(flms, corpus):
    """The inputs of the fuzz targets: small, and each a case of its own."""
    def put(target, name, data):
        os.makedirs(os.path.join(corpus, target), exist_ok=True)
        with open(os.path.join(corpus, target, name), "wb") as f:
            f.write(data)

    small = {"Flash/STM32F1.FLM": flm(flms, "stm32f1-flash")[:512]}
    put("pack", "stm32f103", pack(pdsc(STM32F103), small))
    put("pack", "folder", pack(pdsc(STM32F103), {}, pdsc_name="x/Acme.Test_DFP.pdsc"))
    put("pack", "link", pack(b"", {}, links={"a": "b"}))
    put("pack", "twice", pack(b"", [("a", b""), ("a", b"")]))
    put("pack", "escape", pack(b"", {"../a": b""}))
    put("pdsc", "stm32f103", pdsc(STM32F103))
    put("pdsc", "nrf51", pdsc(NRF51))
    put("pdsc", "entities", BILLION)
    put("pdsc", "cores", pdsc(CORES))


CORES = """
      <processor Dcore="Cortex-M4" Pname="M4"/>
      <processor Dcore="Cortex-M0" Pname="M0"/>
      <processor Dclock="204000000"/>
      <memory Pname="M4" name="RAM4" access="rwx" start="0x10000000" size="0x8000" default="1"/>
      <memory Pname="M0" name="RAM0" access="rwx" start="0x10080000" size="0x4000" default="1"/>
      <accessportV1 __apid="7" __dp="0" index="3"/>
      <debug Pname="M4" __ap="1"/>
      <debug Pname="M0" __apid="7"/>
      <device Dname="TWO"><algorithm name="a.flm" Pname="M4" start="0" size="4"/></device>
"""

if __name__ == "__main__":
    corpora(sys.argv[1], sys.argv[2])
