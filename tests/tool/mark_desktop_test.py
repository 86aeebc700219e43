#!/usr/bin/env python3
"""mark-desktop on real X servers: it marks the session while keyboard or mouse are used.

usage: SESSREG_BUILD=… mark_desktop_test.py
Exits with 77 where it cannot run.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BUILT = pathlib.Path(os.environ["SESSREG_BUILD"], "tools/desktop/mark-desktop")
SESSION_OVER = 3


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


class MarkDesktop(unittest.TestCase):

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.programs = self.directory / "programs"
        self.programs.mkdir()
        self.marks = self.directory / "marks"
        self.marks.touch()
        self.write("tool", f'echo "$* $SESSREG_TOKEN" >>{self.marks}')
        self.write("busctl", "exit 1")
        text, replaced = re.subn(r"(?m)^tool=.*$", f"tool={self.programs}/tool", BUILT.read_text())
        self.assertEqual(replaced, 1, text)
        text, replaced = re.subn("(?m)^tries=10$", "tries=2", text)
        self.assertEqual(replaced, 1, text)
        self.script = self.directory / "mark-desktop"
        self.script.write_text(text)

    def write(self, program, text):
        path = self.programs / program
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def start_x(self):
        reader, writer = os.pipe()
        self.x = subprocess.Popen(["Xvfb", "-displayfd", str(writer), "-nolisten", "tcp",
                                   "-noreset"],  # or it would be reset after each xprintidle
                                  pass_fds=[writer], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.x.wait)
        self.addCleanup(self.x.kill)
        os.close(writer)
        with open(reader) as pipe:
            return f":{int(pipe.readline())}"

    def start(self, path="", seconds="1", **variables):
        environment = {"PATH": path or f"{self.programs}:{os.environ['PATH']}",
                       "SESSREG_TOKEN": "v4.public.x", **variables}
        process = subprocess.Popen(["/bin/sh", str(self.script), seconds], env=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def made(self):
        return self.marks.read_text().splitlines()

    def assert_rests(self):
        """What is seen of use is up to a second old, and each look is a second after the last."""
        time.sleep(2.5)
        before = self.made()
        time.sleep(2.5)
        self.assertEqual(self.made(), before)

    def test_marks_while_something_is_typed_and_not_when_it_is_not(self):
        display = self.start_x()
        process = self.start(DISPLAY=display)
        self.assert_rests()
        before = len(self.made())

        def is_marked_when_typed():
            subprocess.run(["xdotool", "key", "a"], env=os.environ | {"DISPLAY": display},
                           check=True)
            return len(self.made()) > before
        self.assertTrue(wait_until(is_marked_when_typed))
        self.assertEqual(set(self.made()), {"touch --quiet v4.public.x"})
        self.assert_rests()
        self.x.kill()
        self.assertEqual(process.wait(20), 0)

    def test_goes_by_what_gnome_says(self):
        said = self.directory / "said"

        def says(text):  # in one step, as it may be read at any time
            (self.directory / "new").write_text(text)
            (self.directory / "new").rename(said)
        says("t 100")
        self.write("busctl", f"exec cat {said}")
        process = self.start(WAYLAND_DISPLAY="wayland-0")
        self.assertTrue(wait_until(lambda: len(self.made()) > 1))
        says("t 60000")
        self.assert_rests()
        before = len(self.made())
        said.unlink()
        self.assertEqual(process.wait(20), 0)
        self.assertGreater(len(self.made()), before, "in doubt it is used")

    def test_ends_with_the_session(self):
        self.write("busctl", "echo t 100")
        self.write("tool", f"exit {SESSION_OVER}")
        self.assertEqual(self.start().wait(20), 0)

    def test_goes_on_when_a_mark_is_refused(self):
        self.write("busctl", "echo t 100")
        self.write("tool", f'echo "$*" >>{self.marks}; exit 6')
        self.start()
        self.assertTrue(wait_until(lambda: len(self.made()) > 1))

    def test_says_why_it_cannot_tell(self):
        for variables, why in (({"SESSREG_TOKEN": ""}, "no SESSREG_TOKEN"),
                               ({"seconds": "soon"}, "'soon'"), ({"seconds": "0"}, "'0'"),
                               ({"seconds": "-1"}, "'-1'"),
                               ({"DISPLAY": ":0", "path": str(self.programs)}, "xprintidle"),
                               ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}, "xprintidle"),
                               ({}, "xprintidle")):
            with self.subTest(why):
                process = self.start(**variables)
                self.assertEqual(process.wait(20), 1)
                said = process.stdout.read()
                self.assertIn(why, said)
                self.assertEqual(said.count("\n"), 1, said)


if __name__ == "__main__":
    for name in ("Xvfb", "xprintidle", "xdotool"):
        if not shutil.which(name):
            print(f"SKIP: no {name} here: tools/install-deps test installs it")
            sys.exit(77)
    unittest.main(verbosity=2)
