#!/usr/bin/env python3
"""What CI runs after which change: .ci/run in a repository made for it, whose tests/run and tests/tidy
only note how they were called."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

CI = pathlib.Path(__file__).resolve().parents[1] / ".ci" / "run"
# What is called in any case; tidy if it is known since when.
DEVELOPER = ["", "--sanitizers", "trixie ./tools/quickstart", "tidy"]
NOTES = """#!/bin/sh
case "$*" in *--build*) echo "$@" >>ahead; exit 1 ;; esac
case $0 in */tidy) echo tidy ;; *) echo "$@" ;; esac >>calls
case "$*" in *"$BROKEN"*) exit 1 ;; esac
echo "2 passed, 0 failed, 1 skipped"
"""


class AfterAChange(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.tree = pathlib.Path(scratch.name)
        for name in ("lib/registry/gate.h", "lib/token/token.h", "lib/token/meson.build", "debian/rules",
                     "tests/model/run", "tests/crash/main.cc", "tests/schedule/world.h",
                     "tests/tool/list_test.cc", "tests/unit/registry/gate_test.cc"):
            self.write(name)
        self.write("tests/run", NOTES)
        self.write(".ci/run")
        shutil.copy(CI, self.tree / ".ci" / "run")
        self.write("tests/tidy", NOTES)
        self.write("tests/distributions/run", NOTES)
        self.write("tools/install-deps", "#!/bin/sh\n")
        for name in "tests/run", "tests/tidy", "tests/distributions/run", "tools/install-deps":
            (self.tree / name).chmod(0o755)
        self.git("init", "--quiet")
        self.commit()

    def write(self, name, text="before\n"):
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def git(self, *arguments):
        command = ["git", "-c", "user.name=test", "-c", "user.email=test@example", *arguments]
        return subprocess.run(command, cwd=self.tree, check=True, capture_output=True, text=True).stdout

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a change")

    def record(self):
        self.write(".ci/thorough-since", self.git("rev-parse", "HEAD").strip() + "  2026-01-01\n")

    def change(self, *names):
        for name in names:
            self.write(name, "after\n")
        self.commit()

    def run_ci(self, minutes="45", broken="nothing"):
        """How tests/run was called, what was printed, and the exit status."""
        for name in "calls", "ahead":
            (self.tree / name).unlink(missing_ok=True)
        ci = subprocess.run([".ci/run"], cwd=self.tree, stdout=subprocess.PIPE, text=True, timeout=60,
                            env={**os.environ, "SESSREG_CI_MINUTES": minutes, "BROKEN": broken})
        return (self.tree / "calls").read_text().splitlines(), ci.stdout, ci.returncode

    def test_nothing_changed(self):
        self.record()
        calls, output, status = self.run_ci()
        self.assertEqual(calls, DEVELOPER)
        self.assertIn("model: no full run, as nothing has changed since", output)
        self.assertEqual(output.splitlines()[-1], "7 passed, 0 failed, 3 skipped")
        self.assertEqual(status, 0)

    def test_what_comes_later_is_built_ahead_and_its_failure_is_not_counted(self):
        self.record()
        self.assertEqual(self.run_ci()[2], 0)
        self.assertEqual((self.tree / "ahead").read_text().splitlines(),
                         ["--build --sanitizers", "trixie ./tools/quickstart --build"])

    def test_what_is_no_concern_of_the_long_tests(self):
        self.record()
        self.change("lib/token/token.h", "tests/tool/list_test.cc")
        self.assertEqual(self.run_ci()[0], DEVELOPER)

    def test_the_registry(self):
        self.record()
        self.change("lib/registry/gate.h")
        calls, output, _ = self.run_ci()
        self.assertEqual(calls, [*DEVELOPER, "--thorough schedule crash model", "--coverage"])
        self.assertIn("packages: no full run", output)

    def test_one_suite(self):
        for name, suite in {"tests/model/run": "model", "tests/crash/main.cc": "crash",
                            "tests/schedule/world.h": "schedule", "debian/rules": "packages",
                            "lib/token/meson.build": "packages"}.items():
            with self.subTest(name):
                self.record()
                self.change(name)
                self.assertEqual(self.run_ci()[0], [*DEVELOPER, f"--thorough {suite}"])
                self.git("reset", "--hard", "--quiet", "HEAD~1")

    def test_a_release_counts_rather_than_the_record(self):
        self.record()
        self.change("tests/model/run")
        self.git("tag", "v0.1.0")
        self.assertEqual(self.run_ci()[0], DEVELOPER)

    def test_an_unknown_commit_or_none(self):
        for record in ("0123456789" * 4 + "\n", "", None):
            with self.subTest(record):
                if record is not None:
                    self.write(".ci/thorough-since", record)
                calls, output, _ = self.run_ci()
                self.assertEqual(calls[3:], ["--thorough schedule crash packages model", "--coverage"])
                self.assertIn("all counts as changed", output)
                self.assertIn("clang-tidy: not run", output)

    def test_tidy_has_a_record_of_its_own(self):
        self.record()
        self.change("tests/tool/list_test.cc")
        later = self.git("rev-parse", "HEAD").strip()
        self.write(".ci/tidy-since", later + "  2026-01-02\n")
        _, output, _ = self.run_ci()
        self.assertIn(f"##### tests/tidy --since {later}\n", output)

    def test_no_time_left(self):
        calls, output, status = self.run_ci(minutes="0")
        self.assertEqual(calls, DEVELOPER[:3])
        self.assertIn("packages: no full run, as there is no time left", output)
        self.assertEqual(status, 0)
        self.assertEqual(self.run_ci(minutes="12")[0][3:], ["--thorough schedule crash"])

    def test_a_run_that_comes_to_no_result_fails(self):
        self.record()
        _, output, status = self.run_ci(broken="--sanitizers")
        self.assertEqual(output.splitlines()[-2:], ["FAILED tests/run --sanitizers came to no result",
                                                    "5 passed, 1 failed, 2 skipped"])

    def test_a_quick_start_that_fails_is_a_failure(self):
        self.record()
        _, output, status = self.run_ci(broken="quickstart")
        self.assertEqual(output.splitlines()[-2:], ["FAILED the quick start on trixie: exit status 1",
                                                    "6 passed, 1 failed, 3 skipped"])
        self.assertEqual(status, 1)

    def test_the_names_of_what_failed_are_said_at_the_end(self):
        self.record()
        self.write("tests/tidy", "#!/bin/sh\necho FAILED one\necho FAILED two\necho 1 passed, 2 failed, 0 skipped\nexit 1\n")
        _, output, status = self.run_ci()
        self.assertEqual(output.splitlines()[-3:], ["FAILED one", "FAILED two", "6 passed, 2 failed, 2 skipped"])
        self.assertEqual(status, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
