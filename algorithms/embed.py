#!/usr/bin/env python3
"""Makes a C file with one constant array for each file given: embed.py out.c name=file ..."""
import sys


def main(out, *items):
    with open(out, "w", encoding="ascii") as c:
        c.write("/* Made by algorithms/embed.py. */\n#include <stddef.h>\n#include <stdint.h>\n")
        for item in items:
            name, path = item.split("=", 1)
            with open(path, "rb") as file:
                data = file.read()
            c.write(f"\nextern const uint8_t {name}[];\nextern const size_t {name}_bytes;\n")
            c.write(f"const size_t {name}_bytes = {len(data)};\nconst uint8_t {name}[] = {{\n")
            for i in range(0, len(data), 16):
                c.write("    " + " ".join(f"0x{b:02X}," for b in data[i:i + 16]) + "\n")
            c.write("};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
