#!/usr/bin/env python3
"""A real mosh, which is started by sshd and goes on without it.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg mosh_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import os

import service_scene
import ssh_scene
from private_host import HOMES
from service_scene import processes, tree
from site_scene import SCENE, site_full, wait_until
from ssh_scene import SceneTest
from terminal import Terminal


class Mosh(Terminal):

    def __init__(self, user):
        # It draws nothing on a terminal of no size.
        super().__init__(
            ["sh", "-c", 'stty rows 24 columns 80; exec "$@"', "sh",
             service_scene.find_program("mosh"), "--experimental-remote-ip=remote",
             f"--ssh=ssh -F {SCENE}/ssh_config -o BatchMode=yes", f"{user}@scene"],
            os.environ | {"LC_ALL": "C.UTF-8", "TERM": "xterm"})

    def runs(self, name, user):
        """Whether a command that is typed is done: what is on the screen is not a line of text."""
        file = HOMES / user / name
        file.unlink(missing_ok=True)  # another test's
        # What is typed before it listens is ssh's.
        for _ in range(20):
            self.type(f"echo $$ >{file}.new; mv {file}.new {file}")
            if self.ended() or wait_until(file.exists, 1):
                break
        return file.exists()


class MoshTest(SceneTest):

    def enter(self, user):
        mosh = Mosh(user)
        self.clients.append(mosh)
        self.assertTrue(mosh.runs("shell", user), mosh)
        mosh.shell = int((HOMES / user / "shell").read_text())
        self.addCleanup(service_scene.end, tree(processes()[mosh.shell][0]))
        return mosh


class NoSessionOfItsOwn(MoshTest):

    def test_its_seat_is_free_once_its_server_has_started(self):
        self.configure(sessions_limit=1)
        alice = self.enter("alice")
        self.assert_soon_active(0)
        self.assertEqual(self.status()["admissions"], 1)
        self.log_in("bob")
        self.assertTrue(alice.runs("goes-on", "alice"), alice)
        self.assertEqual([s["user"] for s in self.sessions()], ["bob"])

    def test_a_full_site_refuses_as_sshd_does(self):
        self.configure(sessions_limit=1)
        self.log_in("alice")
        bob = Mosh("bob")
        self.clients.append(bob)
        self.assertNotEqual(bob.wait(), 0, bob)
        self.assertIn(site_full(1), bob.text)
        self.assertFalse((HOMES / "bob/shell").exists())


class WhereLeftoversCount(MoshTest):

    def setUp(self):
        super().setUp()
        self.begin_audit_sessions()
        self.configure(sessions_limit=1, count_leftovers="terminal")

    def test_it_keeps_its_seat_until_its_shell_ends(self):
        alice = self.enter("alice")
        [session] = self.sessions()
        self.assertEqual((session["user"], session["state"], session["seat"]),
                         ("alice", "left", True))
        self.assert_refused("bob", text=site_full(1))
        alice.type("exit")
        alice.wait()
        # What has started a moment ago counts like what has a terminal.
        self.assertTrue(wait_until(lambda: self.sessions() == [], 15), self.sessions())
        self.log_in("bob")

    def test_revoked_it_ends(self):
        # Its client may not learn of it: the server that would tell it has gone, too.
        alice = self.enter("alice")
        [session] = self.sessions()
        self.assertRegex(self.tool("revoke", session["id"], "--grace", "1h"), r": ended\n$")
        self.assertEqual((self.active(), self.sessions()), (0, []))
        self.assertNotIn(alice.shell, processes())


if __name__ == "__main__":
    for program in ("mosh", "mosh-server"):
        service_scene.find_program(program)
    ssh_scene.main("__main__")
