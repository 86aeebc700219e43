#!/usr/bin/env python3
"""Says how long each test took, the slowest first, then which failed and how their output ended, and
counts the results on the last line. The exit status is 1 if any failed, or if there was none.

usage: report.py LOG...     each named after its build: what meson logs of tests, a JSON object a line
"""

import collections
import json
import pathlib
import sys

LINES_SHOWN = 40  # of what a test printed that failed
COUNTED_AS = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped", "BUILT": None}


def report(path):
    """Prints one build's times, and returns its counts, and lines that tell what failed."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    entries.sort(key=lambda entry: -entry["duration"])
    total = sum(entry["duration"] for entry in entries)
    print(f"{path.name}: {total:.0f} s")
    counts, failed = collections.Counter(), []
    for entry in entries:
        counted_as = COUNTED_AS.get(entry["result"], "failed")
        counts[counted_as] += 1
        # "sessreg:pam / pam, as root": the project's name says nothing here
        name = entry["name"].removeprefix("sessreg:")
        if counted_as == "failed":
            failed.append(f"FAILED {path.name}: {name}")
            printed = entry.get("stdout", "") + entry.get("stderr", "")
            failed += [f"  | {line}" for line in printed.splitlines()[-LINES_SHOWN:]]
        note = "" if counted_as in (None, "passed") else f"  {counted_as}"
        print(f"{entry['duration']:8.1f}  {name}{note}")
    print()
    return counts, failed


def main(paths):
    counts = collections.Counter()
    failed = []
    for path in paths:
        of_build, failed_of_build = report(pathlib.Path(path))
        counts += of_build
        failed += failed_of_build
    for line in failed:
        print(line)
    print(", ".join(f"{counts[what]} {what}" for what in ("passed", "failed", "skipped")))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
