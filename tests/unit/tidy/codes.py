#!/usr/bin/env python3
"""Holds api/errors.csv against the source: every code can be raised, is expected by a test, and has a page worth reading. Prints TAP.

    codes.py SOURCE_ROOT

Raised: IMP_E_NAME stands in a .c file of src/, outside of comments and strings, neither compared nor mapped to something else (a
switch's label, a table of statuses).

Expected by a test: only what asks for the code counts, never a number or a name that happens to be there:
- C: IMP_E_NAME outside of comments, of strings, of calls that make an error (a fake may raise a code, but that judges nothing), and
  not as the end of a span of codes;
- C: a text such as "code":7106 in a string;
- recipes that must not build (tests/unit/build/bad-recipes.txt): a line "--- NAME";
- Python: the number, or a text with E and the number, or the name (if it has a hyphen), where a test compares: in the arguments of an
  assertion or of a helper of that kind, in a comparison, in a row of a table, in a constant's definition; not as one of several
  that would do.
"""
import ast
import csv
import pathlib
import re
import sys

# Codes that no test can provoke, each with what was tried. Keep it empty if you can.
NOT_PROVOKED = {}

PLACEHOLDERS = re.compile(r"\b(todo|tbd|fixme|xxx|unknown error|lorem|placeholder)\b|\?\?|^[-.\s]*$", re.I)
TEXT_MIN = 10  # characters of a text that says something
MAKERS = re.compile(r"\b(imp_error_set\w*|imp_openssl_error_set|g_error_new\w*|g_set_error\w*)\s*\(")
ASSERTIONS = re.compile(r"^(assert\w*|refused|fails|expect\w*|code)$")
C_TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
TESTS_OF_TABLES = {"tests/unit/cli/test_table.c", "tests/unit/cli/test_print.c"}  # codes are what they work on
SRC_NOT_RAISING = {"src/http/problem.c"}  # its table says which HTTP status a code has


def macro_of(row):
    return "IMP_E_" + row["name"].upper().replace("-", "_")


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def blank(text, keep_strings=False):
    """C without comments, and without strings."""

    def instead(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token if keep_strings else '""'
        return re.sub(r"[^\n]", " ", token)

    return C_TOKENS.sub(instead, text)


def without_makers(code):
    """C without the arguments of the calls that make an error."""
    out, at = [], 0
    while match := MAKERS.search(code, at):
        out.append(code[at:match.end()])
        depth, at = 1, match.end()
        while at < len(code) and depth > 0:
            depth += {"(": 1, ")": -1}.get(code[at], 0)
            at += 1
    out.append(code[at:])
    return "".join(out)


def macros_of(code):
    """Each IMP_E_NAME that C has, with what stands before it."""
    for match in re.finditer(r"\b(IMP_E_[A-Z0-9_]+)\b(?!\s*[=!]=)", code):
        yield match.group(1), code[max(0, match.start() - 40):match.start()].rstrip()


def raised(root):
    found = set()
    for path in sorted((root / "src").rglob("*.c")):
        if str(path.relative_to(root)) not in SRC_NOT_RAISING:
            found |= {name for name, before in macros_of(blank(read(path)))
                      if not before.endswith(("==", "!=", "<", ">", "<=", ">=")) and not re.search(r"\bcase$", before)}
    return found


def expected_in_c(root):
    macros, numbers = set(), set()
    for path in sorted((root / "tests").rglob("*.[ch]")):
        if str(path.relative_to(root)) in TESTS_OF_TABLES:
            continue
        text = read(path)
        macros |= {name for name, before in macros_of(without_makers(blank(text))) if not before.endswith(("<", ">", "<=", ">=", "!="))}
        numbers |= set(re.findall(r'\\"code\\":(\d{4})\b', blank(text, keep_strings=True)))
    return macros, numbers


def expected_in_recipes(root):
    return {name for path in sorted((root / "tests/unit/build").glob("*recipes.txt"))
            for name in re.findall(r"^--- ([a-z0-9-]+)$", read(path), re.M)}


class Python(ast.NodeVisitor):
    """The integers and texts that are compared with something."""

    def __init__(self):
        self.numbers, self.texts = set(), set()
        self.counts = 0  # how many of the nodes around this one ask for what is in them

    def inside(self, node, asks):
        self.counts += asks
        self.generic_visit(node)
        self.counts -= asks

    def visit_Call(self, node):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "assertIn" and isinstance(node.args[1], (ast.Tuple, ast.Set, ast.List)) and len(node.args[1].elts) > 1:
            self.visit(node.args[0])  # one of several: nobody knows which one came
        elif ASSERTIONS.match(name):
            self.inside(node, 1)
        else:  # what is handed to anything else is data, also within an assertion
            kept, self.counts = self.counts, 0
            self.generic_visit(node)
            self.counts = kept

    def visit_Compare(self, node):
        self.inside(node, 1)

    def visit_For(self, node):  # for ..., code in ((..., 2004), ...)
        self.counts += 1
        self.visit(node.iter)
        self.counts -= 1
        for child in (node.target, *node.body, *node.orelse):
            self.visit(child)

    def visit_Assign(self, node):  # rows = [(..., 3001), ...], UNAUTHENTICATED, ... = 7103, ...
        self.inside(node, isinstance(node.value, (ast.List, ast.Tuple, ast.Dict, ast.Set)))

    def visit_Lambda(self, node):
        self.generic_visit(node)

    def visit_Constant(self, node):
        if self.counts == 0:
            return
        if isinstance(node.value, int):
            self.numbers.add(node.value)
        elif isinstance(node.value, str):
            self.texts.add(node.value)


def expected_in_python(root):
    python = Python()
    for path in sorted((root / "tests/system").glob("*.py")):
        python.visit(ast.parse(read(path)))
    numbers = {str(number) for number in python.numbers}
    numbers |= {number for text in python.texts for number in re.findall(r"\bE\??(\d{4})\b", text)}
    names = {name for text in python.texts for name in re.findall(r"(?<![\w./-])[a-z0-9]+(?:-[a-z0-9]+)+(?![\w./-])", text)}
    return numbers, names


def check_raised(root, rows):
    found = raised(root)
    return [f"E{row['number']} {row['name']}: nothing in src/ raises {macro_of(row)}: raise it, or take it out"
            for row in rows if macro_of(row) not in found]


def check_expected(root, rows):
    macros, c_numbers = expected_in_c(root)
    recipes = expected_in_recipes(root)
    numbers, names = expected_in_python(root)
    bad = []
    for row in rows:
        seen = (macro_of(row) in macros or row["number"] in c_numbers | numbers or row["name"] in recipes or row["name"] in names)
        if seen == (row["number"] in NOT_PROVOKED):
            bad.append(f"E{row['number']} {row['name']}: " + ("a test expects it: no exception is needed" if seen else
                       f"no test expects it ({macro_of(row)}, {row['number']}, \"E{row['number']}\")"))
    return bad


def check_pages(root, rows):
    bad = []
    for row in rows:
        for column in ("meaning", "likely", "do"):
            text = row[column]
            if len(text) < TEXT_MIN or PLACEHOLDERS.search(text) or text != text.strip():
                bad.append(f"E{row['number']} {row['name']}: {column}: '{text}' says nothing")
        if len({row["meaning"], row["likely"], row["do"]}) != 3:
            bad.append(f"E{row['number']} {row['name']}: two of its texts are the same")
    meanings = [row["meaning"] for row in rows]
    return bad + [f"two codes mean '{text}'" for text in sorted({m for m in meanings if meanings.count(m) > 1})]


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    with open(root / "api/errors.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    checks = [("raised", check_raised), ("expected-by-a-test", check_expected), ("pages", check_pages)]
    print(f"1..{len(checks)}")
    failed = False
    for number, (name, check) in enumerate(checks, 1):
        bad = check(root, rows)
        for line in bad:
            print(f"# {line}")
        print(f"{'not ok' if bad else 'ok'} {number} codes-{name}")
        failed |= bool(bad)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
