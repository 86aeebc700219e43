#!/usr/bin/env python3
"""Real logins on a terminal through a real login(1).

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg login_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import os
import pathlib
import shutil
import signal
import subprocess

import private_host
import service_scene
from service_scene import LoginContract, ServiceTest, ShellOnATerminal
from site_scene import site_full, wait_until
from terminal import Terminal


# Debian 13's; before, it is the one of shadow.
IS_OF_UTIL_LINUX = b"util-linux" in subprocess.run(
    [service_scene.find_program("login"), "-V"], capture_output=True).stdout


class Login(LoginContract, ShellOnATerminal, ServiceTest):

    service = "login"
    leader = "login"
    says_reason = True

    def listed(self, login):
        return {"host": None, "tty": login.tty}

    def knock(self, user, *options):
        """A user who has typed the password."""
        login = Terminal([service_scene.find_program("login"), *options, user])
        self.clients.append(login)
        self.assertTrue(login.expect("Password: "), login)
        login.type(private_host.PASSWORD)
        return login

    def assert_refused(self, user):
        login = self.knock(user)
        self.assertEqual(login.wait(), 1, login)
        lines = login.text.splitlines()
        self.assertIn(site_full(1), lines)
        self.assertEqual(lines[-1], "Permission denied")

    def test_the_shell_knows_its_session(self):
        login = self.log_in("alice")
        self.assertIn(f"IN:42:{login.session['id']}", login.text)

    def test_a_login_from_elsewhere_has_its_host(self):
        self.write_stack("remote")  # what util-linux's login(1) calls its service then
        login = self.enter_service("alice", "-h", "192.0.2.7")
        [session] = self.sessions()
        self.assertEqual((session["host"], session["tty"]), ("192.0.2.7", login.tty))

    def test_a_terminal_that_is_hung_up_gives_its_seat_back(self):
        login = self.log_in("alice")
        login.hang_up()
        self.assert_soon_active(0)

    def test_wrong_passwords_take_no_seat(self):
        login = Terminal([service_scene.find_program("login"), "alice"])
        self.clients.append(login)
        self.assertTrue(login.expect("Password: "), login)
        login.type("wrong")
        self.assertTrue(login.expect("Login incorrect"), login)
        self.assertEqual(self.sessions(), [])

    def test_a_login_without_a_password_counts_too(self):
        # -f: no auth phase.
        login = Terminal([service_scene.find_program("login"), "-f", "alice"])
        self.clients.append(login)
        self.assertTrue(login.expect("$ "), login)
        self.assertEqual([(s["user"], s["state"]) for s in self.sessions()], [("alice", "active")])
        self.assert_refused("bob")
        self.leave(login)
        self.assert_soon_active(0)
        self.assertEqual(self.status()["reaped"]["sessions"], 0)

    def test_a_shell_that_outlives_its_login_still_counts_until_it_is_revoked(self):
        login = self.log_in("alice")
        login.type("trap '' HUP; echo STUB''BORN; while :; do sleep 1; done")
        self.assertTrue(login.expect("STUBBORN"), login)
        members = service_scene.tree(login.session["pid"])
        os.kill(login.session["pid"], signal.SIGKILL)
        if IS_OF_UTIL_LINUX:  # its shell leads a session of its own, and is not seen
            self.assert_soon_active(0)
            return
        self.assert_orphaned(login)
        self.assert_refused("bob")
        self.assertEqual(self.active(), 1)
        self.assertRegex(self.tool("revoke", login.session["id"], "--grace", "1s"), r": ended\n$")
        self.assert_gone(members, login.session["pid"])
        self.log_in("bob")

    def test_what_its_user_does_as_others_needs_no_seat_and_ends_with_it(self):
        rules = pathlib.Path("/etc/sudoers.d/alice")
        rules.parent.mkdir(exist_ok=True)
        rules.write_text("alice ALL=(ALL) NOPASSWD: ALL\n")
        rules.chmod(0o440)
        self.addCleanup(rules.unlink)
        for service in ("sudo", "su"):
            self.write_stack(service)
        for program, dialogue in {"su": [("su bob", "Password: "), (private_host.PASSWORD, "$ ")],
                                  "sudo": [("sudo -n -u bob sh", "$ ")]}.items():
            with self.case(program):
                if shutil.which(program, path=service_scene.PATH) is None:
                    self.skipTest(f"no {program} here: tools/install-deps test installs it")
                login = self.log_in("alice")
                for line, answer in dialogue:
                    shown = len(login.text)
                    login.type(line)
                    self.assertTrue(wait_until(lambda s=shown, a=answer: a in login.text[s:]), login)
                login.type("echo IN:$(id -un):$SESSREG_ID")
                self.assertTrue(login.expect("IN:bob:"), login)
                self.assertEqual([s["id"] for s in self.sessions()], [login.session["id"]])
                members = service_scene.tree(login.session["pid"])
                self.assertGreaterEqual(len(members), len(login.members) + 2)
                self.assertRegex(self.tool("revoke", login.session["id"], "--grace", "5s"),
                                 r": ended\n$")
                self.assert_gone(members, login.session["pid"])
                self.assertEqual(self.active(), 0)

    def test_a_user_who_ignores_the_hangup_is_ended_after_the_grace(self):
        login = self.log_in("alice")
        login.type("trap '' HUP TERM; echo STUB''BORN; while :; do sleep 60; done")
        self.assertTrue(login.expect("STUBBORN"), login)
        said = self.tool("revoke", login.session["id"], "--grace", "1s")
        self.assertRegex(said, r": ended\n$")
        self.assert_ended(login)
        self.assertEqual(self.active(), 0)


if __name__ == "__main__":
    service_scene.main("__main__", lambda: service_scene.find_program("login"))
