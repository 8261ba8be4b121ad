#!/usr/bin/env python3
"""Holds the rules of the source tree that no compiler holds. Prints TAP.

    tidy.py SOURCE_ROOT [clang-format]
"""
import pathlib
import re
import subprocess
import sys

# Who may include whom (ARCHITECTURE.md, "Arrows"). A folder may always include itself.
ARROWS = {
    "base": set(),
    "wire": {"base"},
    "device": {"base"},
    "image": {"base", "device"},
    "build": {"base", "device", "image", "ledger"},
    "target": {"base", "device"},
    "ledger": {"base", "wire"},
    "launch": {"base", "wire", "device", "image", "target"},
    "http": {"base"},
    "station": {"base", "wire", "device", "image", "launch", "ledger", "http"},
    "cloud": {"base", "wire", "image", "ledger", "http"},
    "cli": {"base", "wire", "device", "image", "build", "launch", "ledger", "http", "target"},
    "board": set(),
}
# Of image, the cloud sees what is in clear and signed, never the payload.
CLOUD_IMAGE = {"image/clear.h", "image/statement.h", "image/trust.h", "image/keys.h", "image/key_id.h", "image/content.h"}
# Of the ledger, the builder sees how numbers are written, never SQL.
BUILD_LEDGER = {"ledger/pool.h"}
# The station reads hostile files: none of these parsers is in it. The board is linked with a GPL library.
FORBIDDEN_SYSTEM = {
    "station": {"yaml.h", "libelf.h", "gelf.h", "zip.h", "libxml/xmlreader.h"},
    "image": {"yaml.h", "libelf.h", "gelf.h", "zip.h", "libxml/xmlreader.h"},
    "launch": {"yaml.h", "libelf.h", "sqlite3.h", "zip.h", "libxml/xmlreader.h"},
    "board": {"glib.h", "openssl/evp.h"},
}
BANNED = {
    r"\bstrcpy\s*\(": "g_strlcpy or g_strdup",
    r"\bstrcat\s*\(": "GString",
    r"\bsprintf\s*\(": "g_snprintf",
    r"\bgets\s*\(": "fgets",
    r"\bsystem\s*\(": "GSubprocess without a shell",
    r"\bpopen\s*\(": "GSubprocess without a shell",
    r"\batoi\s*\(": "g_ascii_string_to_unsigned",
    r"\brand\s*\(": "ImpRandom",
    r"\bGMutex\b": "pthread_mutex_t",
    r"\bGAsyncQueue\b": "base/queue.h",
    r"\bG_DISABLE_ASSERT\b": "asserts that stay on",
    r"\bFIXME\b|\bXXX\b": "an issue, or the work itself",
}
CLOCKS = {r"\bg_get_real_time\s*\(", r"\bg_get_monotonic_time\s*\(", r"\bclock_gettime\s*\(", r"[^_]\btime\s*\(NULL\)"}
CLOCK_HOLDERS = ("src/base/env.c", "src/board/", "/main.c")


def code_of(path):
    """The file's text with comments and strings blanked, so that words in them do not count."""
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)

    def blank(match):
        token = match.group(0)
        if token.startswith('"'):
            return '""'
        return re.sub(r"[^\n]", " ", token)

    return text, pattern.sub(blank, text)


def check_arrows(root):
    bad = []
    for path in sorted((root / "src").rglob("*.[ch]")):
        folder = path.relative_to(root / "src").parts[0]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            where = f"{path.relative_to(root)}:{number}"
            if match.group(1) == '"':
                target = match.group(2).split("/")[0]
                if target not in ARROWS:
                    if not (path.parent / match.group(2)).exists():
                        continue  # generated
                    bad.append(f'{where}: name the folder: #include "{folder}/{match.group(2)}"')
                elif target != folder and target not in ARROWS.get(folder, set()):
                    bad.append(f"{where}: {folder} may not use {target}")
                if folder == "build" and target == "ledger" and match.group(2) not in BUILD_LEDGER:
                    bad.append(f"{where}: the builder sees only {', '.join(sorted(BUILD_LEDGER))}")
                if folder == "cloud" and target == "image" and match.group(2) not in CLOUD_IMAGE:
                    bad.append(f"{where}: the cloud sees only {', '.join(sorted(CLOUD_IMAGE))}")
            elif match.group(2) in FORBIDDEN_SYSTEM.get(folder, set()):
                bad.append(f"{where}: {folder} may not use <{match.group(2)}>")
    return bad


def check_banned(root):
    bad = []
    for path in sorted((root / "src").rglob("*.[ch]")):
        name = str(path.relative_to(root))
        _, code = code_of(path)
        for number, line in enumerate(code.splitlines(), 1):
            for pattern, instead in BANNED.items():
                if re.search(pattern, line):
                    bad.append(f"{name}:{number}: {re.search(pattern, line).group(0)}: use {instead}")
            if not any(holder in "/" + name or name.startswith(holder) for holder in CLOCK_HOLDERS):
                for pattern in CLOCKS:
                    if re.search(pattern, line):
                        bad.append(f"{name}:{number}: clocks come in as parameters (base/env.h)")
            if re.search(r"\bexit\s*\(", line) and not name.endswith("main.c"):
                bad.append(f"{name}:{number}: exit() only in main.c")
    return bad


def check_readmes(root):
    folders = [path for path in (root / "src").iterdir() if path.is_dir()] + [root / "algorithms", root / "benchmarks"]
    return [f"{path.relative_to(root)}: no README.md" for path in sorted(folders) if any(path.rglob("*.c")) and not (path / "README.md").exists()]


def check_format(root, clang_format):
    files = [str(p) for folder in ("src", "tests", "algorithms", "benchmarks", "include")
             for p in sorted((root / folder).rglob("*.[ch]"))]
    result = subprocess.run([clang_format, "--dry-run", "--Werror", *files], cwd=root, capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    return lines[:20] if result.returncode else []


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    checks = [("arrows", check_arrows), ("banned", check_banned), ("readmes", check_readmes)]
    if len(sys.argv) > 2:
        checks.append(("clang-format", lambda r: check_format(r, sys.argv[2])))
    print(f"1..{len(checks)}")
    failed = False
    for number, (name, check) in enumerate(checks, 1):
        bad = check(root)
        for line in bad:
            print(f"# {line}")
        print(f"{'not ok' if bad else 'ok'} {number} tidy-{name}")
        failed |= bool(bad)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
