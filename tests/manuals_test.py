#!/usr/bin/env python3
"""mandoc finds nothing to mend in the manual pages."""

import pathlib
import re
import shutil
import subprocess
import sys
import unittest

TREE = pathlib.Path(__file__).resolve().parents[1]
# What depends on the machine's own pages, and the footer, in which each page has our version.
NO_FAULT = re.compile(r"referenced manual not found|outdated mandoc\.db|operating system explicitly specified")


class Manuals(unittest.TestCase):
    def test_mandoc_has_nothing_to_say(self):
        if not shutil.which("mandoc"):
            self.skipTest("there is no mandoc")
        pages = [page for folder in ("lib", "pam_module", "tools") for page in (TREE / folder).rglob("*.[1358]")]
        self.assertGreaterEqual(len(pages), 5)
        for page in pages:
            lint = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True)
            faults = [line for line in (lint.stdout + lint.stderr).splitlines() if not NO_FAULT.search(line)]
            self.assertEqual(faults, [])


if __name__ == "__main__":
    sys.exit(unittest.main())
