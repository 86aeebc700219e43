#!/usr/bin/env python3
"""Runs a Catch2 program once for each of its source files, several at once.

usage: files_side_by_side.py PROGRAM
"""

import concurrent.futures
import re
import subprocess
import sys

AT_ONCE = 4


def main(program):
    listed = subprocess.run([program, "-#", "--list-tags"], stdout=subprocess.PIPE, text=True)
    files = re.findall(r"\[#\w+\]", listed.stdout)

    def run(file):
        # Without the hidden tests, as in a run of all tests.
        done = subprocess.run([program, "-#", file + "~[.]"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
        print(f"{file}\n{done.stdout}", flush=True)
        return done.returncode

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        failed = [file for file, code in zip(files, pool.map(run, files)) if code != 0]
    if failed or not files:
        print("failed:", *failed)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
