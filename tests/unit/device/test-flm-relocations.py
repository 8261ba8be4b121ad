#!/usr/bin/env python3
"""Proves that flash algorithms are position independent.

  test-flm-relocations.py readelf bad.flm good.flm...

No absolute address of PrgCode or PrgData may be stored anywhere (R_ARM_ABS32: the value would be the link-time address,
wrong wherever the algorithm is loaded), and .got must be empty. bad.flm breaks the rule and must be found out.
"""
import os
import re
import subprocess
import sys


def faults(readelf, path):
    def run(*args):
        return subprocess.run([readelf, "-W", *args, path], check=True, capture_output=True, text=True).stdout

    found = []
    sections = run("-S")
    if "PrgCode" not in sections or not re.search(r"\.rel", sections):
        found.append("no PrgCode, or linked without --emit-relocs: nothing could be proved")
    for name, size in re.findall(r"\]\s+(\S+)\s+\S+\s+[0-9a-f]{8} [0-9a-f]{6} ([0-9a-f]{6})", sections):
        if name.startswith(".got") and int(size, 16) != 0:
            found.append(f"{name} has {int(size, 16)} bytes")
    for line in run("-r").splitlines():
        kind = re.search(r"\bR_ARM_\w+", line)
        # Calls, branches and PC-relative addresses move with the code.
        if kind and kind.group() not in ("R_ARM_THM_CALL", "R_ARM_THM_JUMP24", "R_ARM_THM_JUMP11", "R_ARM_THM_JUMP8",
                                         "R_ARM_REL32", "R_ARM_PREL31", "R_ARM_THM_PC8", "R_ARM_NONE", "R_ARM_V4BX"):
            found.append(" ".join(line.split()))
    return found


def main(readelf, bad, *good):
    print(f"1..{len(good) + 1}")
    failed = 0
    found = faults(readelf, bad)
    ok = any("R_ARM_ABS32" in f for f in found)
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} 1 - the pointer table of {os.path.basename(bad)} is found out")
    for number, path in enumerate(good, 2):
        found = faults(readelf, path)
        failed += bool(found)
        print(f"{'not ok' if found else 'ok'} {number} - {os.path.basename(path)} is position independent")
        for fault in found:
            print(f"# {fault}")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
