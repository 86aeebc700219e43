#!/usr/bin/env python3
"""Sessions that die, run out of time, give way or are revoked, with sessregd beside them.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       endings_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import os
import signal
import statistics
import subprocess
import time

import scene
import varlink
from scene import ALICE, BOB, DaemonTest, Refused, is_alive, wait_until

IGNORING = ["SIGHUP", "SIGTERM"]
# A killed session is seen at once, one that the daemon must find by itself within its tick; more
# than this is a hang.
SOON_S = 5
# The grace, 2 s behind it the first SIGKILL, and 1 s behind that the leader's; with some air.
BY_FORCE_S = 25


class Deaths(DaemonTest):
    def test_a_killed_session_is_freed_and_watchers_are_told(self):
        self.site.configure(sessions_limit=5)
        self.start_daemon()
        watcher = self.watch()
        late_ms = []
        for _ in range(10):
            session = self.log_in()
            self.assert_seen(watcher, session, "opened")
            killed = time.monotonic()
            os.kill(session.pid, signal.SIGKILL)
            self.assert_seen(watcher, session, "opened", "closed")
            late_ms.append((watcher.when(session, "closed") - killed) * 1000)
        self.assertEqual(self.list()["active"], 0)
        self.assertLess(max(late_ms), SOON_S * 1000)
        print(f"  a killed session was told closed after {statistics.median(late_ms):.1f} ms "
              f"(median), {max(late_ms):.1f} ms at most")

    def test_a_logout_is_told(self):
        self.site.configure(sessions_limit=5)
        self.start_daemon()
        watcher = self.watch()
        session = self.log_in()
        self.assert_seen(watcher, session, "opened")
        self.assertEqual(session.close(), 0)
        self.assert_seen(watcher, session, "opened", "closed")

    def test_fifty_killed_at_once_are_all_freed(self):
        self.site.configure(sessions_limit=50)
        self.start_daemon()
        watcher = self.watch()
        sessions = [self.log_in() for _ in range(50)]
        self.assert_seats(50)
        with self.assertRaises(Refused):
            self.log_in()
        for session in sessions:
            os.kill(session.pid, signal.SIGKILL)
        self.assert_seats(0)
        self.assert_soon(lambda: all(watcher.of(s)[-1:] == ["closed"] for s in sessions))
        for session in sessions:
            self.assertEqual(watcher.of(session).count("closed"), 1)

    def test_a_session_that_dies_behind_its_login_is_freed(self):
        self.site.configure(sessions_limit=3)
        self.start_daemon()
        for _ in range(20):
            # The limit itself would find the dead; the list must show it without a login.
            self.log_in(dies=True)
            if self.list()["active"] == 3:
                self.assert_seats(0)
        self.assert_seats(0)
        self.assertEqual(self.list()["sessions"], [])

    def test_what_outlives_its_leader_is_orphaned_and_counts(self):
        self.site.configure(sessions_limit=1)
        self.start_daemon()
        watcher = self.watch()
        session = self.log_in(child=True)
        self.assert_seen(watcher, session, "opened")
        os.kill(session.pid, signal.SIGKILL)
        self.assert_soon(lambda: self.listed(session)["state"] == "orphaned")
        time.sleep(1.5)  # longer than between two looks at the orphaned
        self.assertEqual(self.listed(session)["state"], "orphaned")
        self.assertEqual(self.list()["active"], 1)
        self.assertEqual(watcher.of(session), ["opened"])
        with self.assertRaises(Refused):
            self.log_in("bob")
        os.kill(session.child, signal.SIGKILL)
        self.assert_seats(0)
        self.assert_seen(watcher, session, "opened", "closed")

    def test_a_leader_that_died_before_the_daemon_came_is_noticed(self):
        self.site.configure(sessions_limit=5)
        dead, orphaned, alive = self.log_in(), self.log_in(child=True), self.log_in()
        for session in dead, orphaned:
            os.kill(session.pid, signal.SIGKILL)
        self.start_daemon()
        self.assert_seats(2)
        self.assertEqual({s["id"]: s["state"] for s in self.list()["sessions"]},
                         {orphaned.id: "orphaned", alive.id: "active"})
        os.kill(orphaned.child, signal.SIGKILL)
        self.assert_seats(1)

    def test_a_dead_exempt_session_is_not_listed_any_more(self):
        self.site.configure(exempt="alice")
        self.start_daemon()
        watcher = self.watch()
        session = self.log_in()
        self.assert_seen(watcher, session, "opened")
        self.assertEqual(self.listed(session)["state"], "exempt")
        os.kill(session.pid, signal.SIGKILL)
        self.assert_seen(watcher, session, "opened", "closed")


class TimeOuts(DaemonTest):
    def test_the_lifetime_ends_a_session(self):
        self.site.configure(session_lifetime="1s")
        self.start_daemon()
        watcher = self.watch()
        session = self.log_in(child=True)
        self.assert_seen(watcher, session, "opened", "ending", "closed")
        [reason] = [e["session"]["reason"] for _, e in watcher.events if e["event"] == "ending"]
        self.assertEqual(reason, "its lifetime is over")
        self.assertFalse(is_alive(session.pid) or is_alive(session.child))
        self.assert_seats(0)

    def test_the_lifetime_ends_many_that_ignore_all_they_can(self):
        self.site.configure(session_lifetime="3s")
        self.start_daemon()
        sessions = [self.log_in(child=True, ignores=IGNORING, child_ignores=IGNORING)
                    for _ in range(10)]
        self.assert_soon(lambda: {s["state"] for s in self.list()["sessions"]} == {"ending"})
        self.assertEqual(self.list()["active"], 10)  # they still run
        wait_until(lambda: not self.list()["sessions"], BY_FORCE_S)
        self.assertEqual(self.list()["sessions"], [])
        self.assertEqual([p for s in sessions for p in (s.pid, s.child) if is_alive(p)], [])

    def test_the_time_to_live_ends_an_unused_session_and_no_used_one(self):
        self.site.configure(session_ttl="3s")
        self.start_daemon()
        unused, used = self.log_in(), self.log_in()
        blind = self.log_in()  # it never shows its token: nobody can tell whether it is used
        for session in unused, used:
            self.call("Touch", ALICE, token=session.token)
        end = time.monotonic() + 6
        while time.monotonic() < end:
            self.call("Touch", ALICE, token=used.token)
            time.sleep(0.5)
        self.assert_soon(lambda: self.listed(unused) is None)
        self.assertFalse(is_alive(unused.pid))
        self.assertEqual(self.listed(used)["state"], "active")
        self.assertEqual(self.listed(blind)["state"], "active")

    def test_the_time_to_live_ends_a_terminal_that_nobody_types_on(self):
        self.site.configure(session_ttl="2s")
        self.start_daemon()
        session = self.log_in(child=True, tty=True, uid=ALICE)
        self.assert_soon(lambda: not is_alive(session.child))
        self.assert_seats(0)


class GivingWay(DaemonTest):
    def test_an_evicted_session_that_ignores_it_is_ended_later(self):
        self.site.configure(user_sessions_limit=1, user_limit_policy="evict")
        self.start_daemon()
        watcher = self.watch()
        older = self.log_in(child=True, ignores=IGNORING, child_ignores=IGNORING)
        newer = self.log_in()
        self.assert_seen(watcher, older, "opened", "ending")
        self.assertTrue(is_alive(older.pid))
        wait_until(lambda: self.listed(older) is None, BY_FORCE_S)
        self.assertEqual([s["id"] for s in self.list()["sessions"]], [newer.id])
        self.assertFalse(is_alive(older.pid) or is_alive(older.child))
        self.assertTrue(is_alive(newer.pid))

    def begin_revoking(self, session, grace):
        revoker = subprocess.Popen(
            [os.environ["SESSREG_TOOL"], "--site", self.site.name, "--conf", self.site.conf,
             "revoke", session.id, "--grace", grace], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.assert_soon(lambda: self.listed(session)["state"] == "ending")
        return revoker

    def test_what_a_dead_revoker_left_is_ended_after_its_grace(self):
        self.site.configure(sessions_limit=5)
        self.start_daemon()
        session = self.log_in(ignores=IGNORING)
        revoker = self.begin_revoking(session, "2s")
        revoker.kill()
        revoker.wait()
        self.assertTrue(is_alive(session.pid))
        wait_until(lambda: not is_alive(session.pid), BY_FORCE_S)
        self.assertFalse(is_alive(session.pid))
        self.assert_seats(0)

    def test_what_a_dead_revoker_left_is_ended_by_a_daemon_that_starts_later(self):
        self.site.configure(sessions_limit=5)
        session = self.log_in(ignores=IGNORING)
        revoker = subprocess.Popen(
            [os.environ["SESSREG_TOOL"], "--site", self.site.name, "--conf", self.site.conf,
             "revoke", session.id, "--grace", "1s"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.assert_soon(lambda: "ending" in self.tool("list").stdout)
        revoker.kill()
        revoker.wait()
        self.start_daemon()
        wait_until(lambda: not is_alive(session.pid), BY_FORCE_S)
        self.assertFalse(is_alive(session.pid))

    def test_a_revoker_with_a_long_grace_is_not_hurried(self):
        self.site.configure(sessions_limit=5)
        self.start_daemon()
        session, hurried = self.log_in(ignores=IGNORING), self.log_in(ignores=IGNORING)
        revoker = self.begin_revoking(session, "10m")
        # With everything that a daemon does by itself to one whose revoker has gone.
        of_hurried = self.begin_revoking(hurried, "1s")
        of_hurried.kill()
        of_hurried.wait()
        wait_until(lambda: not is_alive(hurried.pid), BY_FORCE_S)
        self.assertFalse(is_alive(hurried.pid))
        self.assertTrue(is_alive(session.pid))
        self.assertEqual(self.listed(session)["state"], "ending")
        revoker.kill()
        revoker.wait()

    def test_a_second_revoker_with_less_patience_is_served(self):
        self.site.configure(sessions_limit=5)
        self.start_daemon()
        session = self.log_in(ignores=IGNORING, becomes=ALICE)
        patient = self.connect(ALICE)
        patient.send("Revoke", id=session.id, grace_seconds=300)
        self.assert_soon(lambda: self.listed(session)["state"] == "ending")
        answer = self.call("Revoke", id=session.id, grace_seconds=0)
        self.assertEqual(answer, {"result": "ended", "survivors": []})
        self.assertEqual(patient.receive()["parameters"], answer)
        self.assertFalse(is_alive(session.pid))

    def test_many_revokers_of_one_session_share_the_work(self):
        self.site.configure(sessions_limit=5)
        self.start_daemon()
        session = self.log_in(ignores=IGNORING, becomes=ALICE)
        clients = [self.connect(ALICE) for _ in range(100)]
        for client in clients:
            client.send("Revoke", id=session.id, grace_seconds=4)
        for client in clients:
            self.assertEqual(client.receive()["parameters"]["result"], "ended")
        self.assert_seats(0)


class AskedByItsUser(DaemonTest):
    def log_in_with_another(self):
        """alice's session, with a process of bob's in it (su): neither goes when it is asked."""
        return self.log_in(becomes=ALICE, child=True, uid=BOB, ignores=IGNORING,
                           child_ignores=IGNORING)

    def assert_only_hers_is_ended(self, session):
        wait_until(lambda: not is_alive(session.pid), BY_FORCE_S)
        self.assertFalse(is_alive(session.pid))
        self.assertTrue(is_alive(session.child))

    def test_no_process_is_forced_that_the_user_could_not_signal(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in_with_another()
        answer = self.call("Revoke", ALICE, id=session.id, grace_seconds=0)
        self.assertEqual(answer, {"result": "survived", "survivors": [session.child]})
        self.assert_only_hers_is_ended(session)
        # root's word goes further.
        answer = self.call("Revoke", id=session.id, grace_seconds=0)
        self.assertEqual(answer, {"result": "ended", "survivors": []})
        self.assertFalse(is_alive(session.child))

    def test_nor_by_a_daemon_that_goes_on_with_it_nor_by_purge(self):
        self.site.configure()
        daemon = self.start_daemon()
        session = self.log_in_with_another()
        self.connect(ALICE).send("Revoke", id=session.id, grace_seconds=1)
        self.assert_soon(lambda: self.listed(session)["state"] == "ending")
        daemon.kill()
        daemon = self.start_daemon()
        self.assert_only_hers_is_ended(session)
        wait_until(lambda: "could not be ended" in daemon.log(), BY_FORCE_S)
        self.assertTrue(is_alive(session.child))
        self.assertIn("1 did not go", self.tool("purge").stdout)
        self.assertTrue(is_alive(session.child))
        os.kill(session.child, signal.SIGKILL)

    def test_root_does_not_wait_for_what_the_user_began(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in_with_another()
        alice = self.connect(ALICE)
        alice.send("Revoke", id=session.id, grace_seconds=0)
        self.assert_soon(lambda: self.listed(session)["state"] == "ending")
        # As patient, or more: no reason to share what has less force.
        answer = self.call("Revoke", id=session.id, grace_seconds=1)
        self.assertEqual(answer, {"result": "ended", "survivors": []})
        self.assertFalse(is_alive(session.child))

    def test_a_user_is_patient_for_minutes_at_most(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in()
        with self.assertRaises(scene.CallFailed) as caught:
            self.call("Revoke", ALICE, id=session.id, grace_seconds=301)
        self.assertEqual(caught.exception.name, "org.varlink.service.InvalidParameter")
        self.assertEqual(self.listed(session)["state"], "active")

    def test_who_hangs_up_is_not_kept(self):
        self.site.configure()
        daemon = self.start_daemon()
        session = self.log_in(ignores=IGNORING)
        kept = []
        for _ in range(6):
            for made in self.service.connect(self.socket_path, ALICE, 1000):
                with varlink.Client(made) as client:
                    client.send("Revoke", id=session.id, reason="x" * 900, grace_seconds=300)
            self.list()  # behind all of them
            # A user has not many more connections at once.
            self.assert_soon(lambda: daemon.sockets() < 20)
            kept.append(daemon.rss_kb())
        self.assertEqual(self.listed(session)["state"], "ending")
        print(f"  memory after each thousand of calls, in KB: {kept}")
        self.assertLess(kept[-1] - kept[1], 500)


class Shared(DaemonTest):
    """A service whose own process leads the sessions of its users."""

    def test_it_is_never_signalled_and_a_seat_is_free_at_once(self):
        self.site.configure(sessions_limit=1, shared_services=self.site.service)
        self.start_daemon()
        session = self.log_in(child=True)
        answer = self.call("Revoke", ALICE, id=session.id, grace_seconds=0)
        self.assertEqual(answer, {"result": "ending", "survivors": [session.pid]})
        self.assertEqual(self.list()["active"], 0)
        listed = self.listed(session)
        self.assertEqual((listed["state"], listed["seat"]), ("ending", False))
        self.assert_fails("SessionRevoked", "Touch", token=session.token)
        self.log_in("bob")
        self.assertTrue(is_alive(session.pid) and is_alive(session.child))
        self.assertEqual(session.close(), 0)
        self.assertIsNone(self.listed(session))

    def test_when_its_sessions_run_out_together(self):
        self.site.configure(session_lifetime="1s", shared_services=self.site.service)
        self.start_daemon()
        sessions = [self.log_in() for _ in range(2)]
        self.assert_seats(0)
        self.assertEqual({s["state"] for s in self.list()["sessions"]}, {"ending"})
        self.tool("purge")
        for session in sessions:
            self.assertTrue(is_alive(session.pid))
            self.assertEqual(session.close(), 0)
        self.assertEqual(self.list()["sessions"], [])

    def test_evicted(self):
        self.site.configure(user_sessions_limit=1, user_limit_policy="evict",
                            shared_services=self.site.service)
        older, newer = self.log_in(), self.log_in()
        self.start_daemon()
        self.assert_fails("SessionRevoked", "Touch", token=older.token)
        self.assertEqual(self.list()["active"], 1)
        self.assertTrue(is_alive(older.pid) and is_alive(newer.pid))


class Typing(DaemonTest):
    # The kernel notes when a terminal was typed on in steps of 8 s.
    KERNEL_S = 8

    def test_typing_is_activity(self):
        self.site.configure(sessions_limit=5)
        self.start_daemon()
        session = self.log_in(child=True, tty=True, uid=ALICE)
        time.sleep(self.KERNEL_S + 2)
        self.assertGreaterEqual(self.listed(session)["idle_seconds"], self.KERNEL_S)
        session.type()
        self.assert_soon(lambda: self.listed(session)["idle_seconds"] < self.KERNEL_S)

    def test_a_parked_session_that_is_typed_on_returns_without_being_asked_for(self):
        self.site.configure(sessions_limit=1, idle_after="2s")
        self.start_daemon()
        watcher = self.watch()
        parked = self.log_in(child=True, tty=True, uid=ALICE)
        time.sleep(self.KERNEL_S + 2)
        newer = self.log_in("bob")
        self.assert_seen(watcher, parked, "opened", "parked")
        self.assertEqual(self.listed(parked)["state"], "parked")
        newer.close()
        self.assert_seats(0)
        parked.type()
        self.assert_seen(watcher, parked, "opened", "parked", "returned")
        self.assertEqual(self.listed(parked)["state"], "active")
        self.assert_seats(1)


if __name__ == "__main__":
    scene.private_host.enter()
    scene.main()
