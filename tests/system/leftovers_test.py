#!/usr/bin/env python3
"""What a closed session leaves running, by a real tmux(1): count_leftovers.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg leftovers_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import subprocess

import private_host
import service_scene
from private_host import HOMES
from service_scene import processes, tree
from site_scene import SiteTest, site_full, wait_until

YOUNG = 5  # seconds: a process that is so old counts like one with a terminal


class Leftovers(SiteTest):

    service = "su"

    def setUp(self):
        super().setUp()
        self.write_stack("su", first="auth sufficient pam_rootok.so")
        self.begin_audit_sessions()
        self.home = HOMES / "alice"
        self.addCleanup(self.end_what_is_left)
        self.before = set(processes())

    def end_what_is_left(self):
        for pid, (parent, _, _, start) in processes().items():
            if pid not in self.before and parent == 1:
                subprocess.run(["kill", "-KILL", str(pid)], check=False, timeout=10)

    def su(self, user, command):
        return subprocess.run([service_scene.find_program("su"), user, "-c", command],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)

    def tmux(self, command):
        return f"cd && TERM=xterm {service_scene.find_program('tmux')} -S {self.home}/tmux {command}"

    def start_tmux(self, program="exec sleep 100"):
        said = self.su("alice", self.tmux(f"-f /dev/null new-session -d '{program}'"))
        self.assertEqual((said.returncode, said.stderr), (0, ""), said)

    def test_without_it_the_seat_is_free_when_the_session_closes(self):
        self.configure(sessions_limit=1, ignore_services="")
        self.start_tmux()
        self.assertEqual(self.sessions(), [])
        self.assertEqual(self.su("bob", "echo IN").stdout, "IN\n")

    def test_a_tmux_that_is_left_keeps_its_seat_until_it_ends(self):
        self.configure(sessions_limit=1, ignore_services="", count_leftovers="terminal")
        self.start_tmux()
        [session] = self.sessions()
        self.assertEqual((session["user"], session["state"], session["seat"]),
                         ("alice", "left", True))
        refused = self.su("bob", "echo IN")
        self.assertIn(site_full(1), refused.stderr)
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(self.status()["left"], 1)
        self.assertTrue(self.ask_tmux("kill-server"))
        self.assertTrue(wait_until(lambda: self.su("bob", "echo IN").stdout == "IN\n", YOUNG + 10))
        self.assertEqual(self.sessions(), [])

    def log_in_with_tmux(self):
        """A session that is open, and has a tmux beside it."""
        process = subprocess.Popen(
            [service_scene.find_program("su"), "alice", "-c",
             self.tmux("-f /dev/null new-session -d 'exec sleep 100'") + "; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.assertTrue(wait_until(self.is_tmux_there))
        [session] = self.sessions()
        self.assertEqual(session["state"], "active")
        return session

    def ask_tmux(self, command):
        """As alice's own client would, but without a session of its own."""
        return subprocess.run(
            ["setpriv", f"--reuid={private_host.USERS['alice']}", "--clear-groups",
             service_scene.find_program("tmux"), "-S", f"{self.home}/tmux", command],
            capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL).returncode == 0

    def is_tmux_there(self):
        return self.ask_tmux("list-sessions")

    def test_ending_the_session_ends_the_tmux(self):
        self.configure(sessions_limit=1, ignore_services="", count_leftovers="terminal")
        self.start_tmux()
        [session] = self.sessions()
        self.assertRegex(self.tool("revoke", session["id"], "--grace", "5s"), r": ended\n$")
        self.assertEqual(self.sessions(), [])
        self.assertTrue(wait_until(lambda: not self.is_tmux_there()))

    def test_a_login_that_evicts_the_session_ends_its_tmux_without_the_daemon(self):
        self.configure(sessions_limit=2, ignore_services="", count_leftovers="terminal",
                       user_sessions_limit=1, user_limit_policy="evict")
        self.log_in_with_tmux()
        self.assertEqual(self.su("alice", "echo IN").stdout, "IN\n")
        self.assertTrue(wait_until(lambda: not self.is_tmux_there()))
        self.assertTrue(wait_until(lambda: self.sessions() == []), self.sessions())

    def test_ending_a_session_that_is_open_ends_its_tmux_too(self):
        self.configure(sessions_limit=1, ignore_services="", count_leftovers="terminal")
        session = self.log_in_with_tmux()
        self.assertRegex(self.tool("revoke", session["id"], "--grace", "1h"), r": ended\n$")
        self.assertEqual(self.sessions(), [])
        self.assertFalse(self.is_tmux_there())

    def test_a_program_without_a_terminal_counts_only_with_any(self):
        command = "setsid sleep 100 >/dev/null 2>&1 </dev/null & sleep 0.2"
        self.configure(sessions_limit=1, ignore_services="", count_leftovers="any")
        self.assertEqual(self.su("alice", command).returncode, 0)
        self.assertEqual([s["state"] for s in self.sessions()], ["left"])
        self.tool("revoke", "--all", "--yes", "--grace", "2s")
        self.assertEqual(self.sessions(), [])
        self.configure(sessions_limit=1, ignore_services="", count_leftovers="terminal")
        self.assertEqual(self.su("alice", command).returncode, 0)
        self.assertTrue(wait_until(lambda: self.sessions() == [], YOUNG + 10), self.sessions())


    def test_what_is_left_of_a_killed_login_counts_whatever_its_sid(self):
        self.configure(sessions_limit=1, ignore_services="")
        process = subprocess.Popen(
            [service_scene.find_program("su"), "alice", "-c", "cat"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(process.stdin.close)
        self.assert_soon_active(1)
        self.assertTrue(wait_until(lambda: len(tree(process.pid)) > 1))
        process.kill()
        process.wait()
        self.assertEqual([s["state"] for s in self.sessions()], ["orphaned"])
        self.assertIn(site_full(1), self.su("bob", "echo IN").stderr)
        process.stdin.close()
        self.assertTrue(wait_until(lambda: self.sessions() == []), self.sessions())
        self.assertEqual(self.su("bob", "echo IN").stdout, "IN\n")


if __name__ == "__main__":
    service_scene.main("__main__", lambda: service_scene.find_program("tmux"))
