#!/usr/bin/env python3
"""Counts the cases in the JUnit files that meson writes; prints the failed ones and 'N passed, N failed' as last line.

    count.py STATUS FILE...

STATUS is the exit status of 'meson test': a program may print nothing but good cases and still end badly (a leak, a
crash at the end), which no case shows. Fails too if there is no case at all: a run that tested nothing has not passed.
"""
import sys
import xml.etree.ElementTree as ET


def main(status, *paths):
    passed, failed, skipped = 0, [], 0
    for path in paths:
        try:
            root = ET.parse(path).getroot()
        except (OSError, ET.ParseError) as error:
            print(f"{path}: {error}")
            failed.append(path)
            continue
        for case in root.iter("testcase"):
            name = f"{case.get('classname', '')} {case.get('name', '')}"
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(name)
            elif case.find("skipped") is not None:
                skipped += 1
                print(f"skipped: {name}")
            else:
                passed += 1
    if status != "0" and not failed:
        failed.append(f"a test program ended badly (meson test: {status}), see the log above")
    for name in failed:
        print(f"failed: {name}")
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {len(failed)} failed{tail}")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
