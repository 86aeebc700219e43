#!/usr/bin/env python3
"""sessregd under its units: how little they let it do, and that it is enough.

usage: SESSREG_MODULE=… SESSREG_TOOL=… SESSREG_DAEMON=… SESSREG_SERVICE=… systemd_test.py
The units are run by a systemd of the test's own; see own_systemd.py. Needs root; exits with 77
where it cannot run.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "system"))

import own_systemd
import private_host

INSIDE = "SESSREG_UNITS_TEST_INSIDE"
UNITS = HERE.parents[1] / "tools" / "units"
MOST_EXPOSURE = 20  # tenths, of ten


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def service_text(daemon):
    """The unit as it is installed, but for where the program is."""
    text = pathlib.Path(os.environ["SESSREG_SERVICE"]).read_text()
    text, replaced = re.subn(r"^(ExecStart=)\S+", rf"\g<1>{daemon}", text, flags=re.MULTILINE)
    assert replaced == 1, text
    return text


class TheUnits(unittest.TestCase):

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.service = pathlib.Path(directory.name, "sessregd.service")
        self.service.write_text(service_text(os.environ["SESSREG_DAEMON"]))
        self.socket = shutil.copy(UNITS / "sessregd.socket", directory.name)

    def test_systemd_finds_nothing_wrong_with_them(self):
        verified = run("systemd-analyze", "verify", "--man=no", self.service, self.socket)
        self.assertEqual((verified.returncode, verified.stdout + verified.stderr), (0, ""))

    def test_what_the_service_is_exposed_to_is_little(self):
        rated = run("systemd-analyze", "security", "--offline=yes",
                    f"--threshold={MOST_EXPOSURE}", self.service)
        self.assertEqual(rated.returncode, 0, rated.stdout + rated.stderr)
        self.assertIn("Overall exposure level", rated.stdout)

    def test_the_registry_is_not_removed_with_the_service(self):
        self.assertNotRegex(self.service.read_text(), r"(?m)^RuntimeDirectory=")


def main():
    for name in ("MODULE", "TOOL", "DAEMON", "SERVICE"):
        os.environ[f"SESSREG_{name}"]  # pylint: disable=pointless-statement
    if INSIDE in os.environ:
        import under_systemd
        sys.exit(under_systemd.main())
    if not shutil.which("systemd-analyze"):
        private_host.skip("there is no systemd-analyze (Debian's package systemd)")
    if private_host.OUTER not in os.environ:
        offline = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result
        if not offline.wasSuccessful():
            sys.exit(1)
    sys.stdout.flush()
    private_host.enter()

    built = own_systemd.BUILT
    built.mkdir()
    copies = {f"SESSREG_{name}": shutil.copy(os.environ[f"SESSREG_{name}"], built)
              for name in ("MODULE", "TOOL", "DAEMON", "SERVICE")}
    for script in (*HERE.glob("*.py"), *(HERE.parent / "system").glob("*.py")):
        shutil.copy(script, built)
    tmpfiles = pathlib.Path("/etc/tmpfiles.d/sessreg.conf")
    tmpfiles.parent.mkdir(exist_ok=True)
    shutil.copy(UNITS / "sessreg.tmpfiles", tmpfiles)
    units = {
        "sessregd.service": service_text(copies["SESSREG_DAEMON"]),
        # A system call that the filter does not let pass is not just refused here.
        "sessregd.service.d/test.conf": "[Service]\nSystemCallErrorNumber=kill\n" +
                                      own_systemd.KERNELS_BOOT_ID,
        "sessregd.socket": (UNITS / "sessregd.socket").read_text(),
    }
    environment = copies | {INSIDE: "1", "PYTHONDONTWRITEBYTECODE": "1"} | {
        name: value for name, value in os.environ.items()
        if name in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
    sys.exit(own_systemd.run_tests(built / "systemd_test.py", units, environment))


if __name__ == "__main__":
    main()
