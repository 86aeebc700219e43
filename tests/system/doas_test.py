#!/usr/bin/env python3
"""A real doas(1): by default no session of its own, and how one goes where it counts.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg doas_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import pathlib
import subprocess

import private_host
import service_scene
from private_host import USERS
from service_scene import LoginContract, ServiceTest, ShellOnATerminal
from site_scene import SiteTest, site_full
from terminal import Terminal


def doas(*arguments):
    return [service_scene.find_program("doas"), *arguments]


def prepare():
    doas()
    rules = pathlib.Path("/etc/doas.conf")
    rules.write_text("permit alice as bob\npermit nopass alice as root\npermit nopass root\n")
    rules.chmod(0o400)


class NoSessionOfItsOwn(SiteTest):

    service = "doas"

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=0)

    def test_a_command_without_a_password(self):
        said = subprocess.run(doas("id", "-un"), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, user=USERS["alice"], group=USERS["alice"],
                              extra_groups=[], cwd="/", timeout=30)
        self.assertEqual((said.returncode, said.stdout), (0, "root\n"), said)
        self.assertEqual(self.sessions(), [])
        self.assertEqual(self.status()["admissions"], 0)

    def test_a_shell_with_a_password_on_a_terminal(self):
        terminal = Terminal(doas("-u", "bob", "sh"), user=USERS["alice"])
        self.clients.append(terminal)
        self.assertTrue(terminal.expect("assword: "), terminal)
        terminal.type(private_host.PASSWORD)
        self.assertTrue(terminal.expect("$ "), terminal)
        terminal.type("echo $(id -un):$SESSREG_ID:")
        self.assertTrue(terminal.expect("bob::"), terminal)
        self.assertEqual(self.sessions(), [])


class WhereItCounts(LoginContract, ShellOnATerminal, ServiceTest):

    service = "doas"
    leader = "doas"
    settings = {"ignore_services": ""}

    def listed(self, login):
        return {"host": None, "tty": login.tty.removeprefix("/dev/")}

    def knock(self, user):
        return Terminal(doas("-u", user, "sh"))

    def assert_refused(self, user):
        login = Terminal(doas("-u", user, "sh"))
        self.clients.append(login)
        self.assertEqual(login.wait(), 1, login)
        self.assertEqual(login.text.splitlines(),
                         [site_full(1), "doas: pam_open_session: Permission denied"])

    def test_one_user_becomes_another_who_is_the_one_that_counts(self):
        terminal = Terminal(doas("-u", "bob", "sh"), user=USERS["alice"])
        self.clients.append(terminal)
        self.assertTrue(terminal.expect("assword: "), terminal)
        terminal.type(private_host.PASSWORD)
        self.assertTrue(terminal.expect("$ "), terminal)
        # The account phase was about alice.
        self.assertEqual([s["user"] for s in self.sessions()], ["bob"])
        self.assertEqual(self.active(), 1)


if __name__ == "__main__":
    service_scene.main("__main__", prepare)
