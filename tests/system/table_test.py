#!/usr/bin/env python3
"""README.md says which test shows what of each service: each that it names must exist, and each
class of tests that keeps to the LoginContract have a line. pam_module/services.md names them, too."""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main():
    page = (HERE / "README.md").read_text()
    code = {path.name: path.read_text() for path in sorted(HERE.glob("*.py"))}
    known = {name for text in code.values()
             for name in re.findall(r"^(?:class|    def) ([A-Z]\w+|test_\w+)[(:]", text, re.MULTILINE)}
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    faults = []
    for name in sorted(set(re.findall(r"`(test_\w+|[A-Z]\w*[a-z]\w*)`", page))):
        if name not in known:
            faults.append(f"README.md names {name}, which is not there")
    guide = (HERE.parents[1] / "pam_module/services.md").read_text()
    # Of tests elsewhere the guide says the file's name, or the test's.
    others = {path.name: path.read_text() for path in HERE.parent.glob("*/*.py") if path.parent != HERE}
    elsewhere = {name for text in others.values() for name in re.findall(r"def (test_\w+)\(", text)}
    for name in sorted(set(re.findall(r"`(test_\w+)`", guide)) - known - elsewhere):
        faults.append(f"services.md names {name}, which is not there")
    for file, name in re.findall(r"`(\w+_test\.py)`(?: `([A-Z]\w+)`)?", guide):
        if file in others and not name:
            continue
        if file not in code or (name and f"class {name}(" not in code[file]):
            faults.append(f"services.md names {name} of {file}, which is not there")
    # What `check` takes for a service without sessions.
    lint = (HERE.parents[1] / "tools/sessreg/lint/pam_findings.cc").read_text()
    opens_none = re.search(r'kOpensNone =\n((?: +".*"\n?)+)', lint)[1].replace('"', "").split()
    for name, phases in re.findall(r"^\| ([\w@*.+-]+) \| [^|]* \| ([^|]*) \|$", guide, re.MULTILINE):
        if "account" in phases and ("open" in phases) == (name in opens_none):
            faults.append(f"services.md and pam_findings.cc differ in whether {name} opens sessions")
    for file, text in code.items():
        for name in re.findall(r"^class (\w+)\((?:Login|Ssh)Contract, ", text, re.MULTILINE):
            if not any(f"`{file}` `{name}`" in line for line in lines):
                faults.append(f"README.md has no line for {name} of {file}")
    # A line whose cells do not fit the head is shown wrongly.
    for line in lines:
        if line.count("|") not in (3, 9):
            faults.append(f"README.md: a line of {line.count('|') - 1} cells: {line[:50]}")
    print("\n".join(faults) or f"{len(known)} names")
    sys.exit(1 if faults else 0)


main()
