#!/usr/bin/env python3
"""The Debian packages installed, enabled, upgraded, removed and purged, with logins in between.

usage: packages_test.py DIRECTORY     (what tools/build-packages wrote there)
Needs root; exits with 77 where it cannot run. The host's files stay as they are: dpkg writes to
overlays of /usr and /var in memory, and to a copy of /etc.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "system"), str(HERE.parent / "systemd")]

import private_host
from su_login import Login, wait_until

PAM = pathlib.Path("/etc/pam.d")
CONF = pathlib.Path("/etc/security/sessreg.conf")
WORK = pathlib.Path("/run/packages")
OURS = ("libpam-sessreg", "sessreg", "libsessreg0", "libsessreg-dev", "python3-sessreg")
PROFILES = ("sessreg", "sessreg-preauth", "sessreg-authfail")
COMMON = ("common-auth", "common-account", "common-session", "common-session-noninteractive",
          "common-password")
STRANGER = "192.0.2.9"


def run(*command, stdin=""):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          input=stdin, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def must(*command):
    done = run(*command)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def furnish():
    for directory in ("usr", "var"):
        layers = WORK / directory
        for name in ("upper", "work"):
            (layers / name).mkdir(parents=True)
        mounted = run("mount", "-t", "overlay", "overlay", "-o",
                      f"lowerdir=/{directory},upperdir={layers}/upper,workdir={layers}/work",
                      f"/{directory}")
        if mounted.returncode != 0:
            private_host.skip("no overlay can be mounted here: " + mounted.stderr.strip())
    # No service is started, and no index of manual pages made.
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    pathlib.Path("/var/lib/man-db/auto-update").unlink(missing_ok=True)
    # What the host has of its own in its stacks, and which services, is not what is tested here.
    must("pam-auth-update", "--force", "--package")
    for stack in PAM.iterdir():
        if stack.name not in (*COMMON, "other"):
            stack.unlink()
    for service, stack in {"sessreg-test": "@include common-auth\n@include common-account\n"
                                           "@include common-session\n",
                           "su": "auth sufficient pam_rootok.so\n@include common-auth\n"
                                 "@include common-account\n@include common-session\n"}.items():
        (PAM / service).write_text(stack)


def stacks():
    return {name: (PAM / name).read_text() for name in COMMON}


def modules(name):
    """Lines of a stack, their blanks made one."""
    return [" ".join(line.split()) for line in (PAM / name).read_text().splitlines()
            if line.strip() and not line.startswith("#")]


def ours(name):
    return [line for line in modules(name) if "pam_sessreg" in line]


def packages(directory):
    """Those in the directory, by name."""
    found = {}
    for package in OURS:
        files = list(pathlib.Path(directory).glob(f"{package}_*.deb"))
        if len(files) != 1:
            raise SystemExit(f"{directory} holds {len(files)} packages {package}: want one "
                             "(tools/build-packages makes them)")
        found[package] = files[0]
    return found


def next_version(package):
    """The same package with a higher version."""
    tree = WORK / "next" / package.name
    shutil.rmtree(tree, ignore_errors=True)
    tree.parent.mkdir(exist_ok=True)
    must("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN" / "control"
    old = must("dpkg-deb", "--field", package, "Version").strip()
    text = control.read_text()
    assert f"Version: {old}\n" in text, text
    text = text.replace(f"Version: {old}\n", f"Version: {old}+next\n")
    control.write_text(text.replace(f"(= {old})", f"(= {old}+next)"))  # libsessreg-dev's
    built = WORK / f"next-{package.name}"
    must("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, built)
    return built


def xorg_package():
    """As x11-xserver-utils is, as far as it matters here."""
    tree = WORK / "xorg"
    for name in ("usr/bin/sessreg", "usr/share/man/man1/sessreg.1.gz"):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("X.Org's\n")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(
        "Package: sessreg-test-xorg\nVersion: 1\nArchitecture: all\nMaintainer: nobody\n"
        "Description: files of x11-xserver-utils\n")
    must("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, WORK / "xorg.deb")
    return WORK / "xorg.deb"


def authenticate(user, password, host=STRANGER):
    """Whether the stack lets them in: what it says, and pamtester's status."""
    return run("pamtester", "-I", f"rhost={host}", "sessreg-test", user, "authenticate",
               "acct_mgmt", stdin=password + "\n")


def sessions():
    return json.loads(must("sessreg", "list", "--json"))["sessions"]


class Packages(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.debs = packages(sys.argv[1])
        cls.before = stacks()

    def setUp(self):
        must("dpkg", "--install", *self.debs.values())
        self.addCleanup(self.purge_all)
        self.configure()

    def configure(self, sessions_limit=-1):
        CONF.write_text(f"ignore_services =\nsessions_limit = {sessions_limit}\n"
                        "max_failed_auth_per_host = 2\nblacklist_time = 1h\n")

    def purge_all(self):
        CONF.unlink(missing_ok=True)
        must("dpkg", "--purge", *OURS)
        self.assertEqual(stacks(), self.before)

    def enable(self, *profiles):
        must("pam-auth-update", "--enable", *profiles)

    def assert_lets_in(self, user="alice"):
        tried = authenticate(user, private_host.PASSWORD, host="192.0.2.1")
        self.assertEqual(tried.returncode, 0, tried.stdout + tried.stderr)

    def log_in(self):
        login = Login()
        self.addCleanup(login.clean_up)
        return login

    # --- Installed ---

    def test_an_installation_changes_no_stack(self):
        self.assertEqual(stacks(), self.before)
        self.assert_lets_in()

    def test_everything_is_where_it_is_looked_for(self):
        self.assertIn("sessreg", must("sessreg", "--version"))
        self.assertIn("sessregd", must("sessregd", "--version"))
        self.assertIn("sessregctl", must("/usr/bin/sessregctl", "--version"))
        for path in ("/lib/systemd/system/sessregd.service", "/lib/systemd/system/sessregd.socket",
                     "/usr/lib/tmpfiles.d/sessreg.conf", "/usr/share/man/man8/sessregd.8.gz",
                     "/usr/share/man/man8/sessregctl.8.gz",
                     "/usr/share/bash-completion/completions/sessregctl.bash",
                     "/usr/share/man/man8/pam_sessreg.8.gz",
                     "/usr/share/man/man5/sessreg.conf.5.gz",
                     "/usr/include/sessreg.h", "/usr/share/man/man3/sessreg.3.gz"):
            self.assertTrue(os.path.exists(path), path)
        for path in ("/run/sessreg", "/var/lib/sessreg"):
            self.assertEqual(os.stat(path).st_mode & 0o7777, 0o755, path)

    def test_the_program_of_xorg_can_be_installed_beside(self):
        must("dpkg", "--install", xorg_package())
        self.addCleanup(must, "dpkg", "--purge", "sessreg-test-xorg")
        self.assertEqual(pathlib.Path("/usr/bin/sessreg").read_text(), "X.Org's\n")
        self.assertEqual(run("/usr/sbin/sessreg", "--version").returncode, 0)

    @unittest.skipUnless(shutil.which("cc") and shutil.which("pkg-config"), "no C compiler here")
    def test_a_program_that_is_built_with_the_library_counts_its_sessions(self):
        example = pathlib.Path("/usr/share/doc/libsessreg-dev/examples/gateway.c")
        flags = must("pkg-config", "--cflags", "--libs", "libsessreg").split()
        must("cc", example, *flags, "-o", WORK / "gateway")
        self.configure(sessions_limit=0)
        refused = run(WORK / "gateway", "alice")
        self.assertEqual(refused.returncode, 1, refused.stdout + refused.stderr)
        self.configure()
        done = run(WORK / "gateway", "alice")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 seats taken", done.stdout)

    def test_an_application_in_python_has_seats_of_its_own(self):
        must("/usr/bin/python3", "-c", "import sessreg.aio, sessreg.wsgi\n"
             "from sessreg.embedded import Site\n"
             f"with Site('{WORK}/seats', sessions_limit=1) as site:\n"
             "    seats = site.client('web', timeout=30)\n"
             "    seats.admit('anna')\n"
             "    try: seats.admit('otto')\n"
             "    except sessreg.Refused: pass\n"
             "    else: raise SystemExit('otto has got a seat')\n")

    # --- Enabled ---

    def test_the_profiles_make_the_stack_of_the_manual_page(self):
        self.enable(*PROFILES)
        auth = modules("common-auth")
        unix = next(i for i, line in enumerate(auth) if "pam_unix.so" in line)
        self.assertEqual(auth[unix - 1], "auth requisite pam_sessreg.so preauth")
        self.assertTrue(auth[unix].startswith("auth [success=2 default=ignore] pam_unix.so nullok"),
                        auth[unix])
        self.assertEqual(auth[unix + 1:unix + 4], ["auth [default=die] pam_sessreg.so authfail",
                                                   "auth requisite pam_deny.so",
                                                   "auth required pam_permit.so"])
        self.assertEqual(modules("common-account")[-1], "account required pam_sessreg.so")
        for name in ("common-session", "common-session-noninteractive"):
            session = modules(name)
            ours_at = session.index("session required pam_sessreg.so")
            systemd = [i for i, line in enumerate(session) if "pam_systemd.so" in line]
            self.assertTrue(all(ours_at < at for at in systemd), session)
        self.assertEqual(ours("common-password"), [])
        must("sessreg", "check")

    def test_a_login_through_the_stack_is_counted_and_limited(self):
        self.enable("sessreg")
        self.configure(sessions_limit=1)
        login = self.log_in()
        self.assertEqual([session["id"] for session in sessions()], [login.id])
        refused = authenticate("bob", private_host.PASSWORD)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("There are more than 1 active user sessions.",
                      refused.stdout + refused.stderr)

    def test_a_host_that_fails_too_often_is_refused(self):
        self.enable(*PROFILES)
        for _ in range(2):
            self.assertNotEqual(authenticate("alice", "wrong").returncode, 0)
        self.assertNotEqual(authenticate("alice", private_host.PASSWORD).returncode, 0)
        self.assert_lets_in()  # from another host
        self.assertIn(STRANGER, must("sessreg", "failures"))

    def test_each_profile_alone_leaves_a_stack_that_works(self):
        for profile in PROFILES:
            with self.subTest(profile):
                self.enable(profile)
                self.assert_lets_in()
                self.assertNotEqual(authenticate("alice", "wrong").returncode, 0)
                must("sessreg", "failures", "--reset-all")
                must("pam-auth-update", "--disable", profile)
                self.assertEqual(stacks(), self.before)

    # --- Upgraded ---

    def test_a_session_outlives_an_upgrade_of_the_module(self):
        self.enable(*PROFILES)
        self.configure(sessions_limit=1)
        login = self.log_in()
        enabled = stacks()
        must("dpkg", "--install", *map(next_version, self.debs.values()))
        self.assertEqual(stacks(), enabled)
        self.assertIn("+next", must("dpkg-query", "-W", "libpam-sessreg"))
        self.assertEqual([session["id"] for session in sessions()], [login.id])
        # The new module counts what the old one let in ...
        self.assertNotEqual(authenticate("bob", private_host.PASSWORD).returncode, 0)
        # ... which ends as always.
        os.kill(login.pid, 15)
        self.assertTrue(wait_until(login.is_over))
        self.assertEqual(sessions(), [])
        self.assert_lets_in("bob")

    # --- Removed ---

    def test_a_removal_takes_the_module_out_of_the_stacks_first(self):
        self.enable(*PROFILES)
        must("dpkg", "--remove", *OURS)
        self.assertEqual(stacks(), self.before)
        self.assert_lets_in()

    def test_a_removal_that_would_lock_everybody_out_is_refused(self):
        by_hand = PAM / "sessreg-test-by-hand"
        by_hand.write_text("# once: pam_sessreg.so\naccount required pam_sessreg.so\n")
        self.addCleanup(by_hand.unlink, missing_ok=True)
        self.enable("sessreg")
        enabled = stacks()
        refused = run("dpkg", "--remove", "libpam-sessreg")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"remove the lines with pam_sessreg.so first, from {by_hand}", refused.stderr)
        self.assertIn("install ok installed",
                      must("dpkg-query", "-W", "-f", "${Status}", "libpam-sessreg"))
        self.assertEqual(stacks(), enabled)
        by_hand.write_text("# once: pam_sessreg.so\n")
        old = PAM / "common-account.pam-old"  # a copy that pam-auth-update leaves
        old.write_text("account required pam_sessreg.so\n")
        self.addCleanup(old.unlink)
        must("dpkg", "--remove", "libpam-sessreg")

    def test_a_purge_leaves_nothing_behind_but_the_administrators_files(self):
        self.enable(*PROFILES)
        self.assert_lets_in()
        self.assertTrue(os.path.exists("/run/sessreg/default.reg"))
        of_a_site = pathlib.Path("/etc/security/sessreg.d/lab.conf")
        of_a_site.parent.mkdir(exist_ok=True)
        of_a_site.write_text("sessions_limit = 3\n")
        self.addCleanup(shutil.rmtree, of_a_site.parent)
        must("dpkg", "--purge", "sessreg")
        self.assertTrue(os.path.exists("/run/sessreg/default.reg"), "the module still counts")
        must("dpkg", "--purge", "libpam-sessreg")
        self.assertTrue(os.path.exists("/run/sessreg/default.reg"), "programs still count")
        must("dpkg", "--purge", "libsessreg-dev", "libsessreg0")
        for path in ("/run/sessreg", "/var/lib/sessreg", "/usr/share/pam-configs/sessreg", CONF):
            self.assertFalse(os.path.exists(path), path)
        self.assertTrue(of_a_site.exists())

    def test_the_configuration_that_comes_along_is_the_defaults_and_stays_as_it_was_edited(self):
        self.assertIn("sessreg.conf", must("dpkg-query", "-W", "-f", "${Conffiles}", "sessreg"))
        edited = CONF.read_text()
        must("dpkg", "--install", next_version(self.debs["sessreg"]))
        self.assertEqual(CONF.read_text(), edited)
        must("dpkg", "--purge", "sessreg")
        must("dpkg", "--install", self.debs["sessreg"])
        self.assertIn("sessions_limit", CONF.read_text())
        for line in CONF.read_text().splitlines():
            self.assertTrue(not line or line.startswith("#"), line)

    def test_the_daemon_is_the_administrators_to_turn_on(self):
        for unit in ("sessregd.service", "sessregd.socket"):
            self.assertEqual(run("systemctl", "--root=/", "is-enabled", unit).stdout.strip(),
                             "disabled")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    packages(sys.argv[1])
    for program in ("dpkg", "pam-auth-update", "pamtester"):
        if not shutil.which(program):
            private_host.skip(f"there is no {program}")
    private_host.enter()
    furnish()
    unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()
