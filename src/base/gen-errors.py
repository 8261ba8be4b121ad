#!/usr/bin/env python3
"""Makes error-codes.h and error-table.c from api/errors.csv (number,name,disposition,meaning,likely,do).

Refuses a registry whose numbers do not rise, or that repeats a name, so that a code can never change its meaning.
"""
import csv
import re
import sys

DISPOSITIONS = {"retry", "operator", "reject-unit", "station-down", "refuse", "bug"}


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main(source, header, table):
    with open(source, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    last, names = 0, set()
    for row in rows:
        number = int(row["number"])
        if number <= last:
            sys.exit(f"{source}: {number} does not come after {last}")
        if row["name"] in names or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row["name"]):
            sys.exit(f"{source}: {number}: the name '{row['name']}' is repeated or malformed")
        if row["disposition"] not in DISPOSITIONS:
            sys.exit(f"{source}: {number}: no disposition '{row['disposition']}'")
        if None in row.values() or None in row or not all(row.values()):
            sys.exit(f"{source}: {number}: six columns, none empty")
        last = number
        names.add(row["name"])
    with open(header, "w", encoding="utf-8") as out:
        out.write("/* Made from api/errors.csv by gen-errors.py: change that file. */\n#pragma once\n\ntypedef enum {\n")
        for row in rows:
            name = row["name"].upper().replace("-", "_")
            out.write(f"    IMP_E_{name} = {row['number']}, /* {row['meaning']} */\n")
        out.write("} ImpErrorCode;\n")
    with open(table, "w", encoding="utf-8") as out:
        out.write('/* Made from api/errors.csv by gen-errors.py: change that file. */\n#include "base/error.h"\n\n')
        out.write("const ImpErrorEntry imp_error_entries[] = {\n")
        for row in rows:
            disposition = "IMP_DISPOSITION_" + row["disposition"].upper().replace("-", "_")
            out.write(f"    {{{row['number']}, {c_string(row['name'])}, {disposition}, {c_string(row['meaning'])},\n"
                      f"     {c_string(row['likely'])}, {c_string(row['do'])}}},\n")
        out.write("};\nconst gsize imp_error_entry_count = G_N_ELEMENTS(imp_error_entries);\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
