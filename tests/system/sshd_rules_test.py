#!/usr/bin/env python3
"""Failed logins, users' limits, coffee breaks, and what may happen to a connection: real sshd.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg sshd_rules_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import time

import ssh_scene
from service_scene import alive, processes, tree
from site_scene import SITE, site_full, wait_until
from ssh_scene import METHODS, SceneTest

BLACKLISTED = re.compile(
    r"^Too many failed logins from your address\. Please try again in \d+ seconds\.$", re.M)


def come_from(host):
    return {"options": [f"BindAddress={host}"]}


class FailedLogins(SceneTest):

    HOST, OTHER = "127.0.0.2", "127.0.0.3"

    def setUp(self):
        super().setUp()
        self.blacklist_after(2)

    def blacklist_after(self, failures, **keys):
        keys = {"blacklist_exempt": "", "blacklist_time": "60s"} | keys
        self.configure(max_failed_auth_per_host=failures, **keys)

    def write_stack(self, *arguments, **options):
        super().write_stack(*arguments, **options)
        module = f"{self.module} site={SITE} conf={self.conf}"
        stack = pathlib.Path("/etc/pam.d", self.service)
        rest = [line for line in stack.read_text().splitlines() if not line.startswith("auth")]
        stack.write_text("\n".join([
            f"auth requisite                  {module} preauth",
            "auth [success=2 default=ignore] pam_unix.so nullok nodelay",
            f"auth [default=die]              {module} authfail",
            "auth requisite                  pam_deny.so",
            "auth required                   pam_permit.so", *rest, ""]))

    def fail(self, times=1, host=HOST, method="password"):
        for _ in range(times):
            self.assert_refused("alice", method, password="wrong", **come_from(host))

    def failures(self):
        return json.loads(self.tool("failures", "--json"))["hosts"]

    def test_a_host_with_too_many_failures_is_blacklisted_whoever_it_claims_to_be(self):
        self.fail(2)
        [failed] = self.failures()
        self.assertEqual((failed["host"], failed["failures"], failed["blacklisted"]),
                         (self.HOST, 2, True))
        # The right password is refused, and so is every other way in.
        self.assert_refused("alice", "password", **come_from(self.HOST))
        told = self.assert_refused("bob", "keyboard-interactive", **come_from(self.HOST))
        self.assertRegex(told.err, BLACKLISTED)
        told = self.assert_refused("bob", "publickey", **come_from(self.HOST))
        self.assertRegex(told.err, BLACKLISTED)
        self.assertEqual(self.sessions(), [])
        self.assertEqual(self.status()["refusals"]["blacklisted"], 3)
        # Other hosts are not concerned.
        for method in METHODS:
            with self.subTest(method):
                other = self.log_in("alice", method, **come_from(self.OTHER))
                self.assertEqual(self.session(other.session_id)["host"], self.OTHER)

    def test_failures_of_both_dialogues_count(self):
        self.fail(1, method="password")
        self.assertFalse(self.failures()[0]["blacklisted"])
        self.fail(1, method="keyboard-interactive")
        self.assertTrue(self.failures()[0]["blacklisted"])

    def test_the_empty_password_that_sshd_tries_by_itself_does_not_count(self):
        host = ssh_scene.ALLOWS_EMPTY_PASSWORDS
        for _ in range(3):
            self.assert_refused("alice", options=[f"BindAddress={host}", "PubkeyAuthentication=no"])
        self.assertEqual(self.failures(), [])
        self.fail(1, host=host)
        self.assertEqual([each["failures"] for each in self.failures()], [1])

    def test_a_login_clears_the_users_failures(self):
        for method in METHODS:
            with self.case(method):
                self.fail(1)
                self.log_in("alice", method, **come_from(self.HOST)).log_out()
                self.assertEqual(self.failures(), [])

    def test_the_password_without_the_key_does_not_clear_them(self):
        for method, host in ssh_scene.WANTS_MORE.items():
            with self.case(method):
                self.fail(1, host, method)
                self.assert_refused("alice", method, **come_from(host))
                self.assertEqual([(f["host"], f["failures"]) for f in self.failures()],
                                 [(host, 1)])
                self.log_in("alice", f"{method},publickey", **come_from(host)).log_out()
                self.assertEqual(self.failures(), [])

    def test_another_users_login_does_not_clear_them(self):
        self.fail(1)
        self.log_in("bob", "password", **come_from(self.HOST)).log_out()
        self.fail(1)
        self.assert_refused("alice", "publickey", **come_from(self.HOST))

    def test_the_blacklisting_ends_and_each_attempt_begins_it_anew(self):
        self.blacklist_after(2, blacklist_time="5s")
        self.fail(2)
        time.sleep(3)
        self.assert_refused("alice", "publickey", **come_from(self.HOST))
        time.sleep(3)
        self.assert_refused("alice", "publickey", **come_from(self.HOST))
        time.sleep(5.1)
        self.log_in("alice", "publickey", **come_from(self.HOST))

    def test_the_tool_forgives(self):
        self.fail(2)
        self.fail(1, host=self.OTHER)
        self.tool("failures", "--reset", self.HOST)
        self.assertEqual([f["host"] for f in self.failures()], [self.OTHER])
        self.log_in("alice", "password", **come_from(self.HOST))

    def test_this_host_itself_is_exempt_by_default(self):
        self.configure(max_failed_auth_per_host=1)
        self.fail(2)
        self.assertEqual(self.failures(), [])
        self.log_in("alice", "password", **come_from(self.HOST))


class UsersLimit(SceneTest):

    def on_terminal(self, user="alice"):
        client = self.log_in(user, options=["RequestTTY=force"])
        client.members = tree(self.session(client.session_id)["pid"])
        return client

    def assert_evicted(self, victim):
        self.assertEqual(victim.wait(), 255, victim)
        self.assertIn("closed by remote host", victim.err)
        self.assertTrue(wait_until(
            lambda: victim.session_id not in [s["id"] for s in self.sessions()]), self.listing())

    def test_at_the_limit_a_newer_login_is_denied(self):
        self.configure(user_sessions_limit=1)
        self.log_in("alice")
        refused = self.assert_refused("alice")
        self.assertIn("sessions", refused.err)
        self.log_in("bob")
        self.assertEqual(self.status()["refusals"]["user_full"], 1)

    def test_an_evicted_session_is_told_and_closed(self):
        self.configure(user_sessions_limit=1, user_limit_policy="evict")
        victim = self.on_terminal()
        bob = self.log_in("bob")
        newer = self.log_in("alice")
        self.assert_evicted(victim)
        self.assertIn("This session has been revoked. Please log in again if you need to. "
                      "(a newer login of the same user took its place)", victim.out)
        self.assertTrue(wait_until(lambda: not alive(victim.members)), victim.members)
        self.assertEqual({s["id"] for s in self.sessions()}, {newer.session_id, bob.session_id})
        self.assertFalse(bob.ended())
        self.assertFalse(newer.ended())

    def test_the_stalest_is_evicted_by_every_method(self):
        self.configure(user_sessions_limit=2, user_limit_policy="evict")
        inside = [self.log_in("alice"), self.log_in("alice")]
        for method in METHODS:
            with self.subTest(method):
                inside.append(self.log_in("alice", method))
                self.assert_evicted(inside.pop(0))
                self.assertEqual({s["id"] for s in self.sessions()},
                                 {client.session_id for client in inside})

    def test_nobody_is_evicted_for_another_user(self):
        self.configure(sessions_limit=1, user_sessions_limit=1, user_limit_policy="evict")
        alice = self.log_in("alice")
        self.assert_refused("bob", text=site_full(1))
        self.assertFalse(alice.ended())
        self.assertEqual(self.session(alice.session_id)["state"], "active")

    def test_a_locked_session_is_evicted_only_after_its_time(self):
        self.configure(user_sessions_limit=1, user_limit_policy="lock_then_evict", user_lock="4s")
        victim = self.on_terminal()
        opened = time.monotonic()  # or a little earlier
        refused = self.assert_refused("alice")
        self.assertRegex(refused.err, r"in [1-4] seconds")
        self.assertEqual(self.status()["refusals"]["locked"], 1)
        self.assertFalse(victim.ended())
        time.sleep(max(0, 4.2 - (time.monotonic() - opened)))
        self.log_in("alice")
        self.assert_evicted(victim)
        self.assertIn("took its place", victim.out)


class CoffeeBreak(SceneTest):

    def park(self, **keys):
        """alice's shell lies idle until bob needs the seat."""
        self.configure(sessions_limit=1, idle_after="1s", **keys)
        alice = self.start("alice", "publickey", "-tt", "scene")
        self.assert_soon_active(1)
        [session] = self.sessions()
        alice.session_id = session["id"]
        idle = wait_until(lambda: self.session(alice.session_id)["idle_seconds"] >= 1, 30)
        self.assertTrue(idle, self.listing())
        self.assertEqual(self.session(alice.session_id)["state"], "active")
        bob = self.log_in("bob")
        self.assertEqual(self.state_of(alice), ("parked", False))
        self.assertEqual(self.state_of(bob), ("active", True))
        self.assertFalse(alice.ended())
        return alice, bob

    def state_of(self, client):
        session = self.session(client.session_id)
        return session["state"], session["seat"]

    def type(self, client):
        client.process.stdin.write(b"echo BA''CK\n")
        client.process.stdin.flush()
        self.assertTrue(wait_until(lambda: "BACK" in client.out), client)

    def type_until(self, client, condition):
        """The kernel notes typing in steps of 8 s."""
        def is_so():
            with contextlib.suppress(BrokenPipeError):
                os.write(client.process.stdin.fileno(), b"\n")
            return condition()
        self.assertTrue(wait_until(is_so, 40), f"{self.listing()} {client}")

    def test_a_shell_that_was_used_a_moment_ago_keeps_its_seat(self):
        self.configure(sessions_limit=1, idle_after="10m")
        self.start("alice", "publickey", "-tt", "scene")
        self.assert_soon_active(1)
        self.assert_refused("bob", text=site_full(1))
        self.assertEqual([s["state"] for s in self.sessions()], ["active"])

    def test_a_parked_shell_goes_on_and_has_a_seat_again_when_there_is_room(self):
        alice, bob = self.park()
        self.assert_refused("bob", text=site_full(1))
        self.type(alice)
        self.assertEqual(self.state_of(alice), ("parked", False))
        bob.log_out()
        self.assert_soon_active(0)
        self.assertEqual(self.state_of(alice), ("parked", False))  # nobody typed since
        self.type_until(alice, lambda: self.state_of(alice) == ("active", True))
        self.assertEqual(self.active(), 1)
        status = self.status()
        self.assertEqual((status["parkings"], status["returns"]), (1, 1))

    def test_a_parked_shell_may_be_ended_when_it_is_used_and_there_is_no_room(self):
        alice, bob = self.park(on_return="end")
        self.type_until(alice, lambda: [s["id"] for s in self.sessions()] == [bob.session_id])
        self.assertEqual(alice.wait(), 255, alice)
        self.assertIn("(its seat was given away while it was idle)", alice.out)

    def test_a_parked_shell_may_be_admitted_over_the_limit(self):
        alice, bob = self.park(on_return="admit")
        self.type_until(alice, lambda: self.state_of(alice) == ("active", True))
        self.assertEqual(self.state_of(bob), ("active", True))
        self.assertEqual(self.active(), 2)


class Connections(SceneTest):

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=1)

    def channels(self, number):
        control = f"ControlPath={self.directory}/control"
        master = self.log_in("alice", options=["ControlMaster=yes", control])
        return [master] + [self.log_in("alice", options=["ControlMaster=no", control])
                           for _ in range(number - 1)]

    def test_the_seat_stays_taken_until_the_connection_ends_not_a_channel(self):
        master, second = self.channels(2)
        self.assertEqual(second.log_out(), 0)
        time.sleep(0.5)
        self.assert_refused("bob", text=site_full(1))
        self.assertEqual(master.log_out(), 0)
        self.assert_soon_active(0)

    def test_a_killed_master_gives_the_seat_back(self):
        master, _ = self.channels(2)
        master.kill()
        self.assert_soon_active(0)

    def test_a_killed_tunnel_and_sftp_give_their_seats_back(self):
        for arguments, program in ((["-N", "scene"], "ssh"), (["scene"], "sftp")):
            with self.case(program):
                client = self.start("alice", "publickey", *arguments, program=program)
                self.assert_soon_active(1)
                client.kill()
                self.assert_soon_active(0)

    def test_the_unprivileged_sshd_killed_closes_the_session(self):
        for options in ([], ["RequestTTY=force"]):
            with self.case("a terminal" if options else "no terminal"):
                client = self.log_in("alice", options=options)
                privileged = self.session(client.session_id)["pid"]
                [child] = [pid for pid, (parent, _, _, _) in processes().items()
                           if parent == privileged]
                os.kill(child, signal.SIGKILL)
                self.assertEqual(client.wait(), 255, client)
                self.assert_soon_active(0)
                self.assertEqual(self.status()["reaped"]["sessions"], 0)

    def test_sessions_outlive_a_restart_of_the_listener(self):
        self.configure(sessions_limit=2)
        before = self.log_in("alice")
        self.sshd.restart()
        self.assertFalse(before.ended())
        self.assertEqual(self.session(before.session_id)["state"], "active")
        after = self.log_in("bob")
        self.assert_refused("bob", text=site_full(2))
        self.assertEqual(before.log_out(), 0)
        self.assert_soon_active(1)
        self.assertEqual(after.log_out(), 0)
        self.assert_soon_active(0)


class WithoutTheAccountLine(SceneTest):
    """A stack with the session line alone refuses late, and not everything."""

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=1)
        self.log_in("alice")

    def write_stack(self, *arguments, **options):
        super().write_stack(*arguments, **options)
        stack = pathlib.Path("/etc/pam.d", self.service)
        stack.write_text("".join(line for line in stack.read_text().splitlines(keepends=True)
                                 if not (line.startswith("account") and self.module in line)))

    def assert_only_alice_is_in(self):
        self.assertEqual([s["user"] for s in self.sessions()], ["alice"])
        self.assertEqual(self.active(), 1)
        self.assertEqual(self.status()["refusals"]["site_full"], 1)

    def test_a_command_is_not_run_and_its_user_told(self):
        client = self.start("bob", "publickey", "scene", ssh_scene.STAY)
        self.assertEqual(client.wait(), 254, client)
        self.assertEqual(client.out, site_full(1) + "\n")  # and no IN
        self.assert_only_alice_is_in()

    def test_sftp_breaks(self):
        client = self.start("bob", "publickey", "scene", program="sftp")
        self.assertNotEqual(client.wait(), 0, client)
        self.assertNotIn("Connected", client.out + client.err)
        self.assert_only_alice_is_in()

    def test_a_connection_without_a_command_stays_but_forwards_nothing(self):
        client = self.start("bob", "publickey", "-N", "-R", "0:127.0.0.1:9", "scene")
        self.assertTrue(
            wait_until(lambda: "remote port forwarding failed" in client.err, 40), client)
        self.assertFalse(client.ended())
        self.assert_only_alice_is_in()



if __name__ == "__main__":
    ssh_scene.main("__main__")
