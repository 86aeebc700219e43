#!/usr/bin/env python3
"""The commands of the README's "Turning it on", as they stand there, on Debian's own PAM stacks.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg turning_on_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import contextlib
import ftplib
import os
import pathlib
import re
import shutil
import subprocess

import cockpit_test
import service_scene
import ssh_scene
import vsftpd_test
from site_scene import SCENE, site_full, wait_until

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
PAM = pathlib.Path("/etc/pam.d")
BEFORE = SCENE / "pam.d.before"
PROGRAMS = SCENE / "programs"

ssh_scene.SERVICE = "sshd"  # what Debian's sshd is called


def commands_of(title):
    """The commands below that heading."""
    text = README.read_text()
    section = text[text.index("\n## Turning it on\n"):]
    section = section[:section.index("\n## ", 1)]
    part = section[section.index(f"\n### {title}\n") + 1:].split("\n### ")[0]
    lines = re.findall(r"^    (.*)$", part, re.MULTILINE)
    if not lines:
        raise AssertionError(f"no commands below '{title}' in {README}")
    return "\n".join(lines)


def furnish():
    """What an installation brings, and nothing that reaches out of here."""
    modules = next(iter(pathlib.Path("/usr/lib").glob("*/security/pam_unix.so"))).parent
    shutil.copytree(modules, SCENE / "modules")
    shutil.copy(os.environ["SESSREG_MODULE"], SCENE / "modules/pam_sessreg.so")
    subprocess.run(["mount", "--bind", SCENE / "modules", modules], check=True)
    PROGRAMS.mkdir()
    (PROGRAMS / "sessreg").symlink_to(os.path.realpath(os.environ["SESSREG_TOOL"]))
    (PROGRAMS / "systemctl").write_text("#!/bin/sh\n")
    (PROGRAMS / "systemctl").chmod(0o755)
    shutil.copytree(PAM, BEFORE)
    # Whose administrator has done what `check` says.
    proftpd = pathlib.Path("/etc/proftpd/proftpd.conf")
    if proftpd.exists():
        proftpd.write_text("AuthOrder mod_auth_pam.c* mod_auth_unix.c\n" + proftpd.read_text())


class TurningOn(ssh_scene.SceneTest):

    service = "sshd"

    def setUp(self):
        shutil.rmtree(PAM)
        shutil.copytree(BEFORE, PAM)
        shutil.rmtree("/etc/pam.d.before", ignore_errors=True)
        shutil.rmtree("/run/sessreg", ignore_errors=True)
        super().setUp()
        self.conf = pathlib.Path("/etc/security/sessreg.conf")
        self.conf.write_text(f"sessions_limit = 1\nkey_file = {self.directory}/site.key\n")
        self.conf.chmod(0o644)

    def write_stack(self, *_arguments, **_options):
        """Debian's are used."""

    def tool(self, *arguments, status=0):
        result = self.sh("sessreg " + " ".join(arguments))
        self.assertEqual(result.returncode, status, f"{arguments}: {result.stdout}")
        return result.stdout

    @staticmethod
    def sh(commands):
        return subprocess.run(["bash", "-ec", commands], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=os.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
                              timeout=60, cwd="/")

    def follow(self, title):
        result = self.sh(commands_of(title))
        self.assertEqual(result.returncode, 0, result.stdout)

    def get_out(self):
        result = self.sh(commands_of("Getting out again"))
        self.assertEqual((result.returncode, result.stdout), (1, ""), "grep still finds lines")

    @contextlib.contextmanager
    def without_module(self):
        module = next(iter(pathlib.Path("/usr/lib").glob("*/security/pam_sessreg.so")))
        kept = shutil.move(module, SCENE / "pam_sessreg.so")
        try:
            yield
        finally:
            shutil.move(kept, module)

    def users(self):
        return sorted((s["user"], s["service"]) for s in self.sessions() if s["state"] == "active")

    def assert_lines_are_in_place(self, service):
        lines = [line.split() for line in (PAM / service).read_text().splitlines()
                 if line.strip() and not line.startswith("#")]

        def place(*words):
            return next(i for i, line in enumerate(lines) if set(words) <= set(line))
        accounts, sessions = (next(i for i, line in enumerate(lines) if part in line)
                              for part in ("common-account", "common-session"))
        self.assertLess(place("account", "pam_sessreg.so"), accounts, lines)
        self.assertLess(place("session", "pam_sessreg.so"), sessions, lines)

    def test_sshd_alone(self):
        self.follow("sshd alone")
        self.assert_lines_are_in_place("sshd")
        alice = self.log_in("alice", "password")
        self.assertEqual(self.users(), [("alice", "sshd")])
        for method in ssh_scene.METHODS:
            self.assert_refused("bob", method, text=site_full(1))
        alice.log_out()
        self.assert_soon_active(0)

    def installed(self, name):
        found = shutil.which(name, path=service_scene.PATH)
        return found or self.skipTest(f"no {name} here: tools/install-deps test installs it")

    def test_vsftpd(self):
        program = self.installed("vsftpd")
        conf = pathlib.Path("/etc/vsftpd.conf")
        before = conf.read_text()
        self.addCleanup(conf.write_text, before)
        self.follow("vsftpd")
        self.assert_lines_are_in_place("vsftpd")
        (SCENE / "empty").mkdir(mode=0o755, exist_ok=True)
        server, port = service_scene.start_listener(
            lambda port: [program, conf, "-olisten=YES", "-olisten_ipv6=NO",
                          "-olisten_address=127.0.0.1", f"-olisten_port={port}", "-obackground=NO",
                          f"-osecure_chroot_dir={SCENE}/empty",
                          f"-oxferlog_file={SCENE}/vsftpd.log"], SCENE / "vsftpd.log")
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        alice = vsftpd_test.Login("alice", port)
        self.clients.append(alice)
        self.assertEqual(self.users(), [("alice", "vsftpd")])
        with self.assertRaises(ftplib.error_perm):
            vsftpd_test.Login("bob", port)
        alice.log_out()
        self.assert_soon_active(0)

    def test_cockpit(self):
        self.installed("cockpit-bridge")
        program = self.installed(cockpit_test.WS)
        self.follow("cockpit")
        self.assert_lines_are_in_place("cockpit")
        server, cockpit_test.Server.port = cockpit_test.Server.start(program)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        alice = cockpit_test.Browser("alice")
        self.clients.append(alice)
        self.assertEqual(self.users(), [("alice", "cockpit")])
        with self.assertRaisesRegex(cockpit_test.Refused, f"^403 {site_full(1)}$"):
            cockpit_test.Browser("bob")
        alice.log_out()
        self.assert_soon_active(0, 40)

    def test_the_whole_host(self):
        self.follow("The whole host")
        session = [line.split() for line in (PAM / "common-session").read_text().splitlines()
                   if line and not line.startswith("#")]
        ours = next(i for i, words in enumerate(session) if "pam_sessreg.so" in words)
        self.assertFalse(any("pam_systemd.so" in words for words in session[:ours]), session)
        self.log_in("alice")
        self.assert_refused("bob", text=site_full(1))
        # Opens no session of its own, though the stack has the lines now.
        self.assertEqual(self.sh("su bob -c 'echo as bob' </dev/null").stdout.strip(), "as bob")
        self.assertEqual(self.users(), [("alice", "sshd")])

    def test_the_whole_host_has_those_who_open_a_session_without_a_terminal(self):
        (PAM / "samba").write_text("@include common-auth\n@include common-account\n"
                                   "@include common-session-noninteractive\n")
        said = self.sh(commands_of("The whole host"))
        self.assertEqual(said.returncode, 0, said.stdout)
        self.assertIn("pam_sessreg.so", (PAM / "common-session-noninteractive").read_text())

    def test_getting_out_again_keeps_sessions_and_locks_nobody_out(self):
        for title in "sshd alone", "The whole host":
            with self.subTest(title):
                self.follow(title)
                alice = self.log_in("alice")
                self.assert_refused("bob", text=site_full(1))
                self.get_out()
                self.log_in("bob").log_out()
                # The module may go now, even from a session that it opened.
                with self.without_module():
                    self.log_in("bob", "password").log_out()
                    self.assertEqual(self.users(), [("alice", "sshd")])
                    alice.log_out()
                    self.assert_soon_active(0)

    def test_a_stack_that_names_a_module_that_is_gone_lets_not_even_root_in(self):
        self.follow("sshd alone")
        self.log_in("root").log_out()
        with self.without_module():
            self.assert_refused("root")

    def test_lines_for_failed_logins_are_not_taken_from_among_those_that_they_skip(self):
        self.follow("sshd alone")
        stack = PAM / "sshd"
        stack.write_text(stack.read_text().replace("@include common-auth\n", (
            "auth requisite pam_sessreg.so preauth\n"
            "auth [success=2 default=ignore] pam_unix.so nullok\n"
            "auth [default=die] pam_sessreg.so authfail\n"
            "auth requisite pam_deny.so\n"
            "auth required pam_permit.so\n")))
        result = self.sh(commands_of("Getting out again"))
        self.assertEqual(result.returncode, 0, "says nothing of the lines that are left")
        self.assertEqual(len(result.stdout.splitlines()), 2, result.stdout)
        self.log_in("alice", "password")
        self.log_in("bob", "password")

    def test_a_refusal_is_in_the_log_of_sshd_what_the_neighbours_take_it_for(self):
        self.follow("sshd alone")
        self.log_in("alice")
        said = {"password": "Failed password for bob from 127.0.0.1 ",
                "keyboard-interactive": "Failed keyboard-interactive/pam for bob from 127.0.0.1 ",
                "publickey": "Failed publickey for bob from 127.0.0.1 "}
        for method, text in said.items():
            before = len(self.sshd.log.read_text())
            self.assert_refused("bob", method, text=site_full(1))
            self.assertTrue(wait_until(lambda b=before, t=text: t in self.sshd.log.read_text()[b:]),
                            self.sshd.log.read_text()[before:])

    def test_people_are_let_in_at_once_by_another_limit(self):
        self.follow("sshd alone")
        self.log_in("alice")
        self.assert_refused("bob", text=site_full(1))
        self.assertIn("`sessreg limit -1`", README.read_text())
        self.tool("limit", "-1")
        self.log_in("bob")


if __name__ == "__main__":
    ssh_scene.main("__main__", furnish)
