#!/usr/bin/env python3
"""A real sudo(8): by default no session of its own, and how one goes where it counts.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg sudo_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import pathlib
import subprocess

import private_host
import service_scene
from private_host import USERS
from service_scene import LoginContract, ServiceTest, tree
from site_scene import SiteTest, site_full, wait_until
from terminal import Terminal


def let_alice_sudo():
    rules = pathlib.Path("/etc/sudoers.d/alice")
    rules.write_text("alice ALL=(ALL) NOPASSWD: ALL\n")
    rules.chmod(0o440)


def sudo(*arguments):
    return [service_scene.find_program("sudo"), *arguments]


def run_as_alice(*arguments, **options):
    return subprocess.run(sudo("-n", *arguments), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, user=USERS["alice"], group=USERS["alice"], extra_groups=[],
                          cwd="/", timeout=30, **options)


class NoSessionOfItsOwn(SiteTest):

    service = "sudo"

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=0)
        self.write_stack("sudo-i")

    def test_a_command_a_shell_and_a_look(self):
        for arguments in (["true"], ["-u", "bob", "true"], ["-i", "true"], ["-v"], ["-l"]):
            with self.subTest(arguments):
                said = run_as_alice(*arguments)
                self.assertEqual(said.returncode, 0, said)
        self.assertEqual(self.sessions(), [])
        self.assertEqual(self.status()["admissions"], 0)

    def test_with_a_password_on_a_terminal(self):
        rules = pathlib.Path("/etc/sudoers.d/alice")
        self.addCleanup(let_alice_sudo)
        rules.write_text("alice ALL=(ALL) ALL\n")
        terminal = Terminal(sudo("-k", "-u", "bob", "sh"), user=USERS["alice"])
        self.clients.append(terminal)
        self.assertTrue(terminal.expect("password for alice"), terminal)
        terminal.type(private_host.PASSWORD)
        self.assertTrue(terminal.expect("$ "), terminal)
        self.assertEqual(self.sessions(), [])
        terminal.type("echo $(id -un):$SESSREG_ID:")
        self.assertTrue(terminal.expect("bob::"), terminal)


class WhereItCounts(LoginContract, ServiceTest):

    service = "sudo"
    leader = "sudo"
    settings = {"ignore_services": ""}
    says_reason = True

    # alice asks, and is the one whom the account phase is about; bob's is the session.

    def listed_user(self, user):
        return "bob"

    def listed(self, login):
        return {"user": "bob", "uid": USERS["bob"], "host": None, "tty": login.tty}

    def enter_service(self, user):
        login = Terminal(sudo("-n", "-u", "bob", "sh"), user=USERS["alice"])
        login.log_out = lambda: self.leave(login)
        self.assertTrue(login.expect("$ "), login)
        return login

    def leave(self, login):
        login.type("exit")
        self.assertEqual(login.wait(), 0, login)

    def assert_refused(self, user):
        said = run_as_alice("-u", "bob", "echo", "IN")
        self.assertEqual((said.returncode, said.stdout), (1, ""))
        self.assertEqual(said.stderr.splitlines()[:2],
                         [site_full(1), "sudo: PAM account management error: Permission denied"])

    def test_a_command_that_does_not_end_when_asked_is_ended_with_its_sudo(self):
        process = subprocess.Popen(
            sudo("-n", "-u", "bob", "sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            user=USERS["alice"], group=USERS["alice"], extra_groups=[], cwd="/")
        self.addCleanup(process.wait)
        self.assertTrue(wait_until(lambda: [s["state"] for s in self.sessions()] == ["active"]
                                   and len(tree(process.pid)) > 2))
        members = tree(process.pid)
        self.assertRegex(self.tool("revoke", self.sessions()[0]["id"], "--grace", "1s"),
                         r": ended\n$")
        self.assert_gone(members, process.pid)
        self.assertEqual(self.active(), 0)

    def test_a_session_that_is_refused_when_it_opens_runs_no_command(self):
        # The invoker is exempt, the target is not.
        self.configure(sessions_limit=0, ignore_services="", exempt="alice")
        said = run_as_alice("-u", "bob", "echo", "IN")
        self.assertNotEqual(said.returncode, 0, said)
        self.assertEqual(said.stdout, "")
        self.assertIn("No new logins are admitted", said.stderr)

    def test_the_invokers_seat_is_given_back(self):
        # Its session is for the target: root, who is exempt.
        for _ in range(5):
            self.assertEqual(run_as_alice("true").returncode, 0)
        self.assert_soon_active(0)

    def test_a_look_that_opens_no_session_holds_a_seat_for_seconds(self):
        # `sudo -v` leaves without pam_end, so its reservation ends some time after its process.
        self.assertEqual(run_as_alice("-v").returncode, 0)
        self.assertTrue(wait_until(lambda: run_as_alice("-v").returncode == 0, 20),
                        self.listing())
        self.configure(sessions_limit=0, ignore_services="")
        self.assertNotEqual(run_as_alice("-v").returncode, 0)


def prepare():
    service_scene.find_program("sudo")
    let_alice_sudo()


if __name__ == "__main__":
    service_scene.main("__main__", prepare)
