#!/usr/bin/env python3
"""Holds the routes of src/station/api.c against api/station.yaml, both ways; and the queries of each. Prints TAP."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])


def page():
    """{(method, path): set of query names} of the page, by its indentation."""
    found, path, method = {}, None, None
    for line in (root / "api/station.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("components:"):
            break
        if match := re.match(r"  (/\S+):$", line):
            path, method = match.group(1), None
        elif match := re.match(r"    (get|post|put|delete):$", line):
            method = match.group(1).upper()
            found[method, path] = set()
        elif match := re.match(r"\s+- \{name: (\w+), in: query", line):
            found[method, path].add(match.group(1))
    return found


def code():
    text = (root / "src/station/api.c").read_text(encoding="utf-8")
    handlers = {name: set(re.findall(r'"(\w+)"', queries)) for name, queries in
                re.findall(r"(h_\w+) = \{\w+, \{([^}]*)\}\}", text)}
    routes = re.findall(r'ROUTE\("(\w+)", "([^"]+)", \w+, \w+, (\w+)\)', text)
    return {(method, path): handlers[handler] for method, path, handler in routes}


wanted, there = page(), code()
print("1..2")
ok = bool(wanted) and set(wanted) == set(there)
print("ok 1 - routes" if ok else f"not ok 1 - routes: only one has {sorted(set(wanted) ^ set(there))}")
different = [key for key in wanted if key in there and wanted[key] != there[key]]
print("ok 2 - queries" if not different else f"not ok 2 - queries of {different}")
sys.exit(0 if ok and not different else 1)
