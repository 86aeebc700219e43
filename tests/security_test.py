#!/usr/bin/env python3
"""SECURITY.md names tests for what it says: each of them must exist, and each statement name one.

usage: security_test.py [FILE]      another file in place of SECURITY.md
"""

import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).resolve().parent
PAGE = TESTS.parent / "SECURITY.md"

STATEMENT = re.compile(r"^- \*\*S(\d+)\*\* (.*?)(?=^- \*\*S\d+\*\*|^#|^\S|\Z)", re.MULTILINE | re.DOTALL)
# `unit/x_test.cc`: "a name", "another name"; or the file alone, for a fuzz target
REFERENCE = re.compile(r'`([\w./-]+\.(?:cc|py))`(?::((?:\s*"[^"]+",?)+))?')
CASE = re.compile(r'TEST_CASE(?:_METHOD)?\(\s*(?:\w+,\s*)?((?:"(?:[^"\\]|\\.)*"\s*)+)')


def names_in(path):
    text = path.read_text()
    if path.suffix == ".py":
        return set(re.findall(r"^ +def (test_\w+)\(", text, re.MULTILINE))
    return {"".join(re.findall(r'"((?:[^"\\]|\\.)*)"', each)) for each in CASE.findall(text)}


def is_built(path):
    name = path.name.removesuffix("_fuzz.cc") if path.parent.name == "fuzz" else path.name
    folder = next(f for f in path.parents if (f / "meson.build").exists())
    return f"'{path.relative_to(folder).with_name(name)}'" in (folder / "meson.build").read_text()


def faults_of(number, text):
    references = REFERENCE.findall(text)
    if not references:
        yield f"S{number} names no test"
    for file, quoted in references:
        path = TESTS / file
        if not path.is_file():
            yield f"S{number}: tests/{file} does not exist"
            continue
        if path.suffix == ".cc" and not is_built(path):
            yield f"S{number}: tests/{file} is not built"
        names = re.findall(r'"([^"]+)"', quoted)
        if not names and path.parent.name != "fuzz":
            yield f"S{number}: no test of tests/{file} is named"
        known = names_in(path)
        for name in names:
            if " ".join(name.split()) not in known:
                yield f"S{number}: tests/{file} has no test \"{' '.join(name.split())}\""


def main():
    page = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    text = page.read_text()
    statements = [(int(number), body) for number, body in STATEMENT.findall(text)]
    faults = [fault for number, body in statements for fault in faults_of(number, body)]
    if [number for number, _ in statements] != list(range(1, len(re.findall(r"\*\*S\d", text)) + 1)):
        faults.append("the statements are not numbered S1, S2, ...")
    count = sum(len(re.findall('"[^"]+"', quoted)) or 1
                for _, body in statements for _, quoted in REFERENCE.findall(body))
    for fault in faults:
        print(f"{page.name}: {fault}")
    print(f"{len(statements)} statements, {count} tests, {len(faults)} faults")
    sys.exit(1 if faults or not statements else 0)


if __name__ == "__main__":
    main()
