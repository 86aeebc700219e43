#!/usr/bin/env python3
"""What is installed has what makes a fault in memory harder to use: asked of readelf.

usage: hardening_test.py BUILD-DIRECTORY [TestClass[.test]]…

What a build has not is not asked for: the buffer checks of libc without an optimizer or with a
sanitizer. Of the marks for the processor's checks of jumps and returns (CET, BTI) each object of ours
must have them. The linker drops them for good where one object of others has none, as Debian 12's
crti.o and libsodium.a: so the whole file must have them where a file of one line would.
"""

import functools
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

FOLDERS = ("lib", "pam_module", "tools")
# The ELF machine, what the compiler is asked for, and what readelf says then.
MARKS = {"X86-64": ("-fcf-protection=full", "IBT, SHSTK"),
         "AArch64": ("-mbranch-protection=standard", "BTI, PAC")}
# sub $4096,%rsp: no stack pointer moves past a page that was not touched.
PAGEWISE = {"X86-64": bytes.fromhex("4881ec00100000")}
CHECKED = """#include <stdio.h>
int checked(char* text, int value) { char to[9]; snprintf(to, sizeof to, text, value); return to[value]; }
"""
ONE_LINE = 'extern "C" int sodium_init(void); int main() { return sodium_init(); }\n'


@functools.lru_cache(maxsize=None)
def readelf(option, path):
    # Absent notes are no error of readelf's, but of some of its versions a warning.
    return subprocess.run(["readelf", "--wide", option, str(path)], check=True, capture_output=True,
                          text=True, errors="replace").stdout


def machine_of(path):
    name = re.search(r"Machine: +(.*)", readelf("--file-header", path)).group(1)
    return next((known for known in MARKS if known in name), name)


def undefined(path):
    """What libc or another library has to bring."""
    return {match.split("@")[0] for match in re.findall(r" UND +(\S+)", readelf("--symbols", path))}


def checked_calls(names):
    return {name for name in names if re.fullmatch(r"__\w+_chk", name)}


def faults_of_file(path, is_program):
    """What is wrong with a program or library, whoever built it."""
    segments = readelf("--program-headers", path)
    dynamic = readelf("--dynamic", path)
    if "GNU_RELRO" not in segments:
        yield "no RELRO"
    if not re.search(r"BIND_NOW|Flags:.*\bNOW\b", dynamic):
        yield "symbols are bound lazily"
    if "TEXTREL" in dynamic:
        yield "code is written to when it is loaded"
    flags = re.findall(r"^ +(\w+) +(?:0x\w+ +){5}([RWE ]{3}) ", segments, re.MULTILINE)
    if "GNU_STACK" not in dict(flags):
        yield "nothing is said of the stack, so it is executable"
    yield from (f"{name} can be written and executed" for name, flag in flags if "W" in flag and "E" in flag)
    if not re.search(r"Type: +DYN", readelf("--file-header", path)):
        yield "not position-independent"
    if is_program and not re.search(r"Flags:.*\bPIE\b", dynamic):
        yield "not a position-independent program"


def introspect(build, what):
    return json.loads(subprocess.check_output(["meson", "introspect", f"--{what}", build]))


class Hardening(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.build = pathlib.Path(BUILD).resolve()
        cls.options = {option["name"]: option["value"] for option in introspect(cls.build, "buildoptions")}
        targets = introspect(cls.build, "targets")
        cls.installed = {pathlib.Path(target["filename"][0]): target for target in targets
                         if target["installed"] and target["type"] in ("executable", "shared library",
                                                                       "shared module")}
        cls.compiler = next(iter(cls.installed.values()))["target_sources"][0]["compiler"]
        cls.machine = machine_of(next(iter(cls.installed)))
        # Of what is installed, and of the static libraries in it.
        files = list(cls.installed) + [pathlib.Path(target["filename"][0]) for target in targets
                                       if target["type"] == "static library"]
        cls.objects = [path for file in files if file.relative_to(cls.build).parts[0] in FOLDERS
                       for path in sorted(pathlib.Path(f"{file}.p").glob("*.o"))]

    def optimized(self):
        flags = [flag for flag in self.options["cpp_args"] if flag.startswith("-O")]
        if flags or self.options["optimization"] == "plain":
            return bool(flags) and flags[-1] != "-O0"
        return self.options["optimization"] != "0"

    def sanitized(self):
        return self.options["b_sanitize"] != "none"

    def test_there_is_something_to_look_at(self):
        names = {path.name.split(".so")[0] for path in self.installed}
        self.assertEqual(names, {"pam_sessreg", "libsessreg", self.options["tool_name"], "sessregd"})
        self.assertTrue(any(path.parent.name == "libsessreg.a.p" for path in self.objects))

    def test_what_is_loaded_is_read_only_or_not_executable(self):
        for path, target in self.installed.items():
            with self.subTest(path.name):
                self.assertEqual(list(faults_of_file(path, target["type"] == "executable")), [])

    def test_the_stack_is_protected(self):
        protected = {path.parent for path in self.objects if "__stack_chk_fail" in undefined(path)}
        # A static library of a few lines has no buffer; what is installed has.
        for path in self.installed:
            with self.subTest(path.name):
                self.assertIn(pathlib.Path(f"{path}.p"), protected)
                self.assertIn("__stack_chk_fail", undefined(path))

    def test_the_stack_grows_by_pages_that_are_touched(self):
        if self.sanitized():
            self.skipTest("a sanitizer lays out the stack")
        pattern = PAGEWISE.get(self.machine)
        if pattern is None:
            self.skipTest("how the code of this machine shows it is not known here")
        for path in self.installed:
            with self.subTest(path.name):
                self.assertIn(pattern, path.read_bytes())

    def test_libc_checks_buffers(self):
        if not self.optimized() or self.sanitized():
            self.skipTest("libc checks none without an optimizer, and sanitizers check them themselves")
        with tempfile.TemporaryDirectory() as directory:
            one = pathlib.Path(directory) / "one.o"
            subprocess.run([*self.compiler, "-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-x", "c++", "-c",
                            "-o", one, "-"], input=CHECKED, text=True, check=True)
            expected = checked_calls(undefined(one))
        found = {path.name: checked_calls(undefined(path)) for path in self.installed}
        # libsodium brings some calls of its own, but not this one, which all of ours have.
        for name, calls in found.items():
            with self.subTest(name):
                self.assertGreaterEqual(calls, expected)
        # clang leaves out most calls.
        ours = set().union(*(checked_calls(undefined(path)) for path in self.objects))
        self.assertTrue(any(calls & ours for calls in found.values()), found)

    def test_each_object_is_marked_for_checks_of_jumps_and_returns(self):
        if self.machine not in MARKS:
            self.skipTest("this machine has no such checks")
        for path in self.objects:
            with self.subTest(f"{path.parent.name}/{path.name}"):
                self.assertIn(MARKS[self.machine][1], readelf("--notes", path))

    def test_each_file_is_marked_where_a_file_of_one_line_would_be(self):
        if self.machine not in MARKS:
            self.skipTest("this machine has no such checks")
        option, words = MARKS[self.machine]
        with tempfile.TemporaryDirectory() as directory:
            one = pathlib.Path(directory) / "one"
            subprocess.run([*self.compiler, option, "-static-libstdc++", "-static-libgcc", "-o", one, "-x", "c++",
                            "-", "-Wl,-Bstatic", "-lsodium", "-Wl,-Bdynamic"],
                           input=ONE_LINE, text=True, check=True)
            if words not in readelf("--notes", one):
                self.skipTest("an object of libc, the compiler or libsodium is not marked")
        for path in self.installed:
            with self.subTest(path.name):
                self.assertIn(words, readelf("--notes", path))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    BUILD = sys.argv.pop(1)
    if not shutil.which("readelf"):
        print("SKIP: there is no readelf")
        sys.exit(77)
    unittest.main(verbosity=2)
