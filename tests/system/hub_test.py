#!/usr/bin/env python3
"""A server of many users' sessions, such as JupyterHub, which is one process.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg hub_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import pathlib
import subprocess
import sys
import time

import service_scene
from private_host import PASSWORD
from service_scene import alive, processes
from site_scene import SiteTest, site_full, wait_until


class Hub(SiteTest):

    service = "jupyterhub"

    def setUp(self):
        super().setUp()
        self.server = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("hub.py"), self.service],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.server.communicate)
        self.addCleanup(self.server.kill)

    def ask(self, *words):
        self.server.stdin.write(" ".join(words) + "\n")
        self.server.stdin.flush()
        return self.server.stdout.readline().rstrip("\n")

    def open(self, user):
        """The user's process."""
        word, pid = self.ask("open", user, PASSWORD).split()
        self.assertEqual(word, "open")
        member = (int(pid), processes()[int(pid)][3])
        self.addCleanup(service_scene.end, {member})
        return member

    def users(self):
        return [(s["user"], s["state"], s["pid"]) for s in self.sessions()]

    def test_a_seat_comes_back_though_another_handle_closes(self):
        self.configure(sessions_limit=3)
        pid = self.server.pid
        for user in ("alice", "bob", "alice"):
            self.open(user)
        self.assertEqual(self.users(), [(user, "active", pid) for user in ("alice", "bob", "alice")])
        for user, left in {"alice": ["alice", "bob"], "bob": ["alice"]}.items():
            self.assertEqual(self.ask("close", user), "closed")
            self.assertEqual(self.users(), [(user, "active", pid) for user in left])
        self.open("bob")
        self.assertEqual(self.active(), 2)
        self.assertEqual(self.status()["reaped"]["sessions"], 0)

    def test_a_full_site_refuses_and_says_so(self):
        self.configure(sessions_limit=1)
        self.open("alice")
        self.assertEqual(self.ask("open", "bob", PASSWORD),
                         f"refused: {site_full(1)}: Permission denied")
        self.ask("close", "alice")
        self.open("bob")

    def test_a_wrong_password_takes_no_seat(self):
        self.configure(sessions_limit=1)
        self.assertIn("refused: ", self.ask("open", "alice", "wrong"))
        self.assertEqual(self.sessions(), [])

    def test_a_revoked_session_yields_its_seat_and_nobody_is_signalled(self):
        self.configure(sessions_limit=1)
        alice = self.open("alice")
        [session] = self.sessions()
        self.assertIn(": ending: ", self.tool("revoke", session["id"], "--grace", "1s", status=1))
        self.assertEqual(self.users(), [("alice", "ending", self.server.pid)])
        self.assertEqual(self.active(), 0)
        bob = self.open("bob")
        self.assertEqual(self.active(), 1)
        self.assertEqual(alive({alice, bob}), {alice, bob})
        # What is to end is what alice's close closes.
        self.assertEqual(self.ask("close", "alice"), "closed")
        self.assertEqual(self.users(), [("bob", "active", self.server.pid)])

    def test_the_only_session_of_a_server_that_is_not_named_is_ended_with_it(self):
        self.configure(sessions_limit=1, shared_services="")
        alice = self.open("alice")
        self.assertRegex(self.tool("revoke", "--user", "alice", "--yes", "--grace", "1s"),
                         r": ended\n$")
        self.assertTrue(wait_until(lambda: self.server.poll() is not None))
        self.assertEqual(alive({alice}), set())

    def test_nobody_knows_whether_its_sessions_are_used(self):
        self.configure(sessions_limit=1, idle_after="1s")
        self.open("alice")
        time.sleep(1.5)
        self.assertIn("refused: ", self.ask("open", "bob", PASSWORD))

    def test_its_sessions_end_with_its_process(self):
        self.configure(sessions_limit=2)
        for user in ("alice", "bob"):
            self.open(user)
        self.server.kill()
        self.server.wait()
        self.assertIn("2 dead sessions", self.tool("purge"))
        self.assertEqual(self.active(), 0)


if __name__ == "__main__":
    service_scene.main("__main__")
