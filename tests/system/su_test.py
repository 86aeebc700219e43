#!/usr/bin/env python3
"""A real su(1): by default no session of its own, and how one goes where it counts.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg su_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import subprocess

import private_host
import service_scene
from private_host import USERS
from service_scene import LoginContract, ServiceTest, ShellOnATerminal, alive, tree
from site_scene import SiteTest, site_full, wait_until
from terminal import Terminal

ROOT_NEEDS_NO_PASSWORD = "auth sufficient pam_rootok.so"


def su(*arguments):
    return [service_scene.find_program("su"), *arguments]


class NoSessionOfItsOwn(SiteTest):

    service = "su"

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=0)
        for service in ("su", "su-l"):
            self.write_stack(service, first=ROOT_NEEDS_NO_PASSWORD)

    def test_a_command(self):
        said = subprocess.run(su("alice", "-c", "echo IN:$SESSREG_ID"), capture_output=True,
                              text=True, timeout=20, stdin=subprocess.DEVNULL)
        self.assertEqual((said.returncode, said.stdout), (0, "IN:\n"), said)
        self.assertEqual(self.sessions(), [])

    def test_a_login_shell_on_a_terminal(self):
        # As somebody else than root, so that every phase is met.
        terminal = Terminal(su("-", "bob"), user=USERS["alice"])
        self.clients.append(terminal)
        self.assertTrue(terminal.expect("Password: "), terminal)
        terminal.type(private_host.PASSWORD)
        self.assertTrue(terminal.expect("$ "), terminal)
        self.assertEqual(self.sessions(), [])
        terminal.type("echo $(id -un):$SESSREG_ID:")
        self.assertTrue(terminal.expect("bob::"), terminal)


class WhereItCounts(LoginContract, ShellOnATerminal, ServiceTest):

    service = "su"
    leader = "su"
    settings = {"ignore_services": ""}
    says_reason = False  # the terminal is root's, who runs su, and not the session's user's

    def setUp(self):
        super().setUp()
        self.write_stack("su", first=ROOT_NEEDS_NO_PASSWORD)

    def listed(self, login):
        return {"host": None, "tty": login.tty}

    def knock(self, user):
        return Terminal(su(user))

    def assert_refused(self, user):
        login = Terminal(su(user))
        self.clients.append(login)
        self.assertEqual(login.wait(), 1, login)
        self.assertEqual(login.text.splitlines(), [site_full(1), "su: Permission denied"])

    def test_one_user_becomes_another_who_is_the_one_that_counts(self):
        terminal = Terminal(su("bob"), user=USERS["alice"])
        self.clients.append(terminal)
        self.assertTrue(terminal.expect("Password: "), terminal)
        terminal.type(private_host.PASSWORD)
        self.assertTrue(wait_until(self.sessions), terminal)
        [session] = self.sessions()
        self.assertEqual((session["user"], session["tty"]), ("bob", terminal.tty))

    def test_a_command_without_a_terminal(self):
        process = subprocess.Popen(su("alice", "-c", "cat"), stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.assert_soon_active(1)
        [session] = self.sessions()
        self.assertEqual((session["pid"], session["tty"]), (process.pid, None))
        members = tree(process.pid)
        self.assertGreater(len(members), 1)
        self.assertRegex(self.tool("revoke", session["id"], "--grace", "3s"), r": ended\n$")
        self.assert_gone(members, process.pid)
        self.assertEqual(self.active(), 0)

    def test_a_command_that_outlives_a_killed_su_keeps_no_seat(self):
        # It has a sid of its own, by which nobody can tell whose it is.
        process = subprocess.Popen(su("alice", "-c", "cat"), stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        self.addCleanup(process.stdin.close)
        self.assert_soon_active(1)
        self.assertTrue(wait_until(lambda: len(tree(process.pid)) > 1))
        members = tree(process.pid)
        process.kill()
        process.wait()
        self.assertEqual(len(alive(members)), len(members) - 1)
        self.assertIn("1 dead session", self.tool("purge"))
        self.assertEqual((self.active(), self.sessions()), (0, []))

    def test_runuser_which_has_no_account_phase(self):
        self.write_stack("runuser")
        runuser = [service_scene.find_program("runuser"), "alice", "-c"]
        process = subprocess.Popen([*runuser, "cat"], stdin=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.assert_soon_active(1)
        [session] = self.sessions()
        self.assertEqual((session["user"], session["service"], session["pid"]),
                         ("alice", "runuser", process.pid))
        refused = subprocess.run([*runuser, "echo IN"], capture_output=True, text=True,
                                 stdin=subprocess.DEVNULL, timeout=20)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""), refused)
        self.assertIn(site_full(1), refused.stderr.splitlines())
        process.stdin.close()
        self.assertEqual(process.wait(timeout=20), 0)
        self.assert_soon_active(0)

    def test_a_command_that_ignores_the_end_is_ended_with_its_su(self):
        process = subprocess.Popen(
            su("alice", "-c", "trap '' TERM HUP; while :; do sleep 1; done"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.assert_soon_active(1)
        self.assertTrue(wait_until(lambda: len(tree(process.pid)) > 2))
        members = tree(process.pid)
        self.assertRegex(self.tool("revoke", self.sessions()[0]["id"], "--grace", "1s"),
                         r": ended\n$")
        self.assert_gone(members, process.pid)
        self.assertEqual(self.active(), 0)


if __name__ == "__main__":
    service_scene.main("__main__", lambda: service_scene.find_program("su"))
