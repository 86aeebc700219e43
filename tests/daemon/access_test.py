#!/usr/bin/env python3
"""Who may what on the socket, and what each refusal is called.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       access_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import os
import signal
import time

import scene
from scene import ALICE, BOB, DaemonTest, Refused, Site, is_alive

IGNORING = ["SIGHUP", "SIGTERM"]
NOBODY = 65534


class JustOpened(DaemonTest):

    def test_a_session_is_known_however_soon_after_another_it_is_asked_for(self):
        # With so many slots a look at all takes a while, after which the daemon rests from them.
        self.site.configure(sessions_limit=30, capacity=200_000)
        self.log_in()
        self.start_daemon()
        for _ in range(20):
            session = self.log_in()
            self.assertEqual(self.call("Revoke", id=session.id)["result"], "ended")


class Rights(DaemonTest):
    def setUp(self):
        super().setUp()
        self.site.configure(sessions_limit=10)
        self.start_daemon()
        self.of_alice, self.of_bob = self.log_in("alice"), self.log_in("bob")
        self.assert_seats(2)

    def test_root_lists_all_and_users_their_own(self):
        for uid, expected in {0: {self.of_alice.id, self.of_bob.id}, ALICE: {self.of_alice.id},
                              BOB: {self.of_bob.id}, NOBODY: set()}.items():
            with self.subTest(uid=uid):
                answer = self.list(uid)
                self.assertEqual({s["id"] for s in answer["sessions"]}, expected)
                self.assertEqual((answer["site"], answer["limit"], answer["active"]),
                                 (self.site.name, 10, 2))

    def test_lists_of_all_sites_come_as_a_stream(self):
        client = self.connect(ALICE)
        client.send("List", more=True)
        sessions = []
        while True:
            answer = client.receive()
            sessions += [s["id"] for s in answer["parameters"]["sessions"]]
            if not answer.get("continues"):
                break
        self.assertEqual(sessions, [self.of_alice.id])

    def test_a_user_revokes_no_session_of_another(self):
        for uid in BOB, NOBODY:
            self.assert_fails("PermissionDenied", "Revoke", uid, id=self.of_alice.id)
        self.assertTrue(is_alive(self.of_alice.pid))
        self.assertEqual(self.listed(self.of_alice)["state"], "active")

    def test_a_user_revokes_the_own_session(self):
        answer = self.call("Revoke", ALICE, id=self.of_alice.id, reason="stolen laptop")
        self.assertEqual(answer, {"result": "ended", "survivors": []})
        self.assertFalse(is_alive(self.of_alice.pid))
        self.assert_seats(1)

    def test_root_revokes_any(self):
        for session in self.of_alice, self.of_bob:
            self.assertEqual(self.call("Revoke", id=session.id)["result"], "ended")
        self.assert_seats(0)

    def test_what_is_not_there_is_not_revoked(self):
        for wrong in "0" * 32, "", self.of_alice.id[:8], self.of_alice.id + "0", "../../etc":
            self.assert_fails("NoSuchSession", "Revoke", id=wrong)
        # A session is called by its id as it is shown.
        self.assertTrue(is_alive(self.of_alice.pid))

    def test_a_revoke_that_makes_no_sense_is_refused(self):
        for wrong in ({"grace_seconds": -1}, {"grace_seconds": 10 ** 9}, {"reason": "x" * 5000},
                      {"grace_seconds": "1"}):
            self.assert_fails("org.varlink.service.InvalidParameter", "Revoke",
                              id=self.of_alice.id, **wrong)
        self.assertTrue(is_alive(self.of_alice.pid))

    def test_whoever_bears_a_token_touches_its_session_and_nothing_else(self):
        for uid in 0, ALICE, BOB, NOBODY:
            self.assertEqual(self.call("Touch", uid, token=self.of_alice.token), {})
        for uid in BOB, NOBODY:
            self.assert_fails("PermissionDenied", "Close", uid, token=self.of_alice.token)
        self.assertEqual(self.listed(self.of_alice)["state"], "active")

    def test_many_are_touched_and_each_failure_is_named(self):
        tokens = [self.of_alice.token, "nonsense", self.of_bob.token]
        self.assertEqual(self.call("TouchMany", BOB, tokens=tokens), {
            "marked": 2,
            "failed": [{"index": 1, "error": scene_error("TokenInvalid")}]})
        self.assertEqual(self.call("TouchMany", tokens=[]), {"marked": 0, "failed": []})

    def test_of_many_unknown_tokens_the_signatures_of_the_first_hundred_are_checked(self):
        parts = self.of_alice.token.split(".")
        parts[2] = parts[2][:-40] + "A" * 5 + parts[2][-35:]
        # Those that are known cost none.
        tokens = [self.of_alice.token] * 50 + [".".join(parts)] * 150
        answer = self.call("TouchMany", BOB, tokens=tokens)
        self.assertEqual(answer["marked"], 50)
        self.assertEqual([each["error"] for each in answer["failed"]],
                         [scene_error("TokenInvalid")] * 100 + [scene_error("NoSuchSession")] * 50)

    def test_touching_is_activity(self):
        time.sleep(2.5)
        self.assertGreaterEqual(self.listed(self.of_alice)["idle_seconds"], 2)
        self.call("TouchMany", NOBODY, tokens=[self.of_alice.token])
        self.assertLessEqual(self.listed(self.of_alice)["idle_seconds"], 1)
        self.assertGreaterEqual(self.listed(self.of_bob)["idle_seconds"], 2)

    def test_each_watcher_sees_its_own_sessions(self):
        watchers = {uid: self.watch(uid) for uid in (0, ALICE, BOB)}
        sessions = {ALICE: self.log_in("alice"), BOB: self.log_in("bob")}
        for uid, session in sessions.items():
            self.assert_seen(watchers[uid], session, "opened")
            self.assert_seen(watchers[0], session, "opened")
            os.kill(session.pid, signal.SIGKILL)
            self.assert_seen(watchers[uid], session, "opened", "closed")
            self.assert_seen(watchers[0], session, "opened", "closed")
        self.assertEqual(watchers[ALICE].of(sessions[BOB]), [])
        self.assertEqual(watchers[BOB].of(sessions[ALICE]), [])

    def test_a_user_watches_with_sixteen_connections_at_most(self):
        for _ in range(16):
            scene.Watcher(self.connect(ALICE))
        client = self.connect(ALICE)
        client.send("Watch", more=True)
        with self.assertRaises(scene.CallFailed) as caught:
            client.receive()
        self.assertEqual(caught.exception.name, "TooManyWatchers")
        # Others do, and she does again when one has gone.
        scene.Watcher(self.connect(BOB))
        for _ in range(20):
            scene.Watcher(self.connect(0))
        self._clients[0].socket.shutdown(2)
        self.assert_soon(lambda: self.may_watch(ALICE))

    def may_watch(self, uid):
        client = self.connect(uid)
        client.send("Watch", more=True)
        try:
            client.receive()
        except scene.CallFailed:
            return False
        return True

    def test_a_watch_needs_more_and_a_site_that_is_served(self):
        self.assert_fails("org.varlink.service.ExpectedMore", "Watch")
        client = self.connect()
        client.send("Watch", more=True, site="elsewhere")
        with self.assertRaises(scene.CallFailed) as caught:
            client.receive()
        self.assertEqual(caught.exception.name, "NoSuchSite")
        self.assert_fails("NoSuchSite", "List", site="elsewhere")


class Closing(DaemonTest):
    def test_root_frees_the_seat_at_once(self):
        self.site.configure(sessions_limit=1)
        self.start_daemon()
        session = self.log_in()
        self.assertEqual(self.call("Close", token=session.token), {})
        self.assertEqual(self.list()["active"], 0)
        self.assertTrue(is_alive(session.pid))
        self.assert_fails("NoSuchSession", "Close", token=session.token)

    def test_a_user_ends_the_own_session_and_frees_nothing_before(self):
        self.site.configure(sessions_limit=1)
        self.start_daemon()
        session = self.log_in(becomes=ALICE, child=True, uid=ALICE, child_ignores=IGNORING)
        client = self.connect(ALICE)
        client.send("Close", token=session.token)
        self.assert_soon(lambda: self.listed(session)["state"] == "ending")
        self.assertEqual(self.list()["active"], 1)
        self.assertTrue(is_alive(session.child))
        with self.assertRaises(Refused):
            self.log_in("bob")
        self.assertEqual(client.receive()["parameters"], {})
        self.assertFalse(is_alive(session.pid) or is_alive(session.child))
        self.assert_seats(0)


class Errors(DaemonTest):
    def refused_everywhere(self, error, token):
        for method in "Touch", "Close":
            self.assert_fails(error, method, ALICE, token=token)
        [failure] = self.call("TouchMany", tokens=[token])["failed"]
        self.assertEqual(failure, {"index": 0, "error": scene_error(error)})

    def test_garbage_is_no_token(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in()
        version, purpose, payload, footer = session.token.split(".")
        for garbage in ("", "x", "v4.public.", "v4.public." + "A" * 9000, "v3.public.AAAA",
                        "\u0000", "\U0001f600", session.token + "=", session.token + ".",
                        f"{version}.{purpose}.{payload}", f"{version}.local.{payload}.{footer}",
                        session.token[:-1]):
            with self.subTest(garbage=garbage[:20]):
                self.refused_everywhere("TokenInvalid", garbage)

    def test_a_changed_token_is_refused(self):
        self.site.configure()
        self.start_daemon()
        token = self.log_in().token
        version, purpose, payload, footer = token.split(".")
        # Inside the signature.
        at = len(payload) - 40
        changed = payload[:at] + ("A" if payload[at] != "A" else "B") + payload[at + 1:]
        self.refused_everywhere("TokenInvalid", f"{version}.{purpose}.{changed}.{footer}")

    def test_no_token_is_logged(self):
        self.site.configure()
        self.start_daemon()
        session, ended, killed = self.log_in(), self.log_in("bob"), self.log_in("bob")
        self.call("Revoke", id=ended.id)
        self.call("Touch", ALICE, token=session.token)
        for token in ended.token, session.token[:-1], session.token + "=", "v4.public.AAAA":
            with self.assertRaises(scene.CallFailed):
                self.call("Touch", ALICE, token=token)
        self.call("Close", ALICE, token=session.token)
        # Of which the daemon has something to say.
        os.kill(killed.pid, signal.SIGKILL)
        self.assert_soon(lambda: "freed" in self.daemon.log())
        for token in session.token, ended.token, killed.token:
            self.assertNotIn(token[10:40], self.daemon.log())
        self.assertNotIn("v4.", self.daemon.log())

    def test_a_token_by_another_key_is_refused(self):
        self.site.configure()
        session = self.log_in()
        stranger = Site(self.site.name, self.directory, conf=self.directory / "other.conf")
        stranger.configure(registry=self.directory / "other.reg",
                           key_file=self.directory / "other.key")
        forged = self.log_in(site=stranger)
        # The PAM stack of the same name names the stranger's configuration from now on.
        self.assertNotEqual(forged.token, session.token)
        self.start_daemon()
        reason = self.assert_fails("TokenInvalid", "Touch", token=forged.token)["reason"]
        self.assertIn("key", reason)
        self.refused_everywhere("TokenInvalid", forged.token)
        self.call("Touch", token=session.token)

    def test_a_token_of_a_site_that_is_not_served_is_refused(self):
        self.site.configure()
        other = Site("other" + self.site.name, self.directory)
        other.configure()
        token = self.log_in(site=other).token
        self.start_daemon()
        self.refused_everywhere("TokenInvalid", token)

    def test_a_closed_session_is_none(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in()
        session.close()
        self.refused_everywhere("NoSuchSession", session.token)

    def test_a_dead_session_is_none(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in()
        session.kill()
        self.assert_seats(0)
        self.refused_everywhere("NoSuchSession", session.token)

    def test_a_revoked_session_tells_the_reason(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in(ignores=IGNORING)
        root = self.connect()
        root.send("Revoke", id=session.id, reason="maintenance \u00e4", grace_seconds=3)
        self.assert_soon(lambda: self.listed(session)["state"] == "ending")
        self.assertEqual(
            self.assert_fails("SessionRevoked", "Touch", ALICE, token=session.token),
            {"reason": "maintenance \u00e4"})
        self.assertEqual(root.receive()["parameters"]["result"], "ended")
        self.assert_fails("NoSuchSession", "Touch", ALICE, token=session.token)

    def test_a_users_reason_is_short_and_shown_as_the_users(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in(ignores=IGNORING)
        alice = self.connect(ALICE)
        alice.send("Revoke", id=session.id, reason="root, type your password: " + "x" * 900, grace_seconds=3)
        self.assert_soon(lambda: self.listed(session)["state"] == "ending")
        reason = self.assert_fails("SessionRevoked", "Touch", ALICE, token=session.token)["reason"]
        self.assertRegex(reason, "^reason given by alice: root, type your password: x*$")
        self.assertLessEqual(len(reason), 100)
        alice.receive()

    def test_an_expired_session_is_told_so(self):
        self.site.configure(session_lifetime="1s")
        # Without a daemon nobody ends it.
        session = self.log_in(ignores=IGNORING)
        time.sleep(1.2)
        self.start_daemon()
        with self.assertRaises(scene.CallFailed) as caught:
            self.call("Touch", token=session.token)
        # It may be on its way out already.
        self.assertIn(caught.exception.name, ("SessionExpired", "SessionRevoked"))

    def test_the_token_of_a_session_that_ran_out_of_time_has_expired(self):
        self.site.configure(session_lifetime="1s")
        self.start_daemon()
        session = self.log_in()
        self.assert_soon(lambda: not self.list()["sessions"])
        time.sleep(1)
        self.assert_fails("SessionExpired", "Touch", token=session.token)

    def test_a_parked_session_of_a_full_site_gets_the_message(self):
        self.site.configure(sessions_limit=1, idle_after="1s",
                            message_site_full="{site} has {count} of {limit}")
        self.start_daemon()
        parked = self.log_in()
        self.call("Touch", token=parked.token)
        time.sleep(1.5)
        newer = self.log_in("bob")
        self.assertEqual(self.listed(parked)["state"], "parked")
        self.assertEqual(self.assert_fails("SiteFull", "Touch", token=parked.token),
                         {"limit": 1, "message": f"{self.site.name} has 1 of 1"})
        newer.close()
        self.call("Touch", token=parked.token)
        self.assertEqual(self.listed(parked)["state"], "active")

    def test_an_old_token_is_good_after_a_rotation(self):
        self.site.configure()
        self.start_daemon()
        old, closed = self.log_in(), self.log_in()
        self.assertEqual(self.tool("token", "rotate").returncode, 0)
        new = self.log_in()
        closed.close()
        self.daemon.kill()
        self.start_daemon()
        for session in old, new:
            self.call("Touch", token=session.token)
        # It is verified by the key before, which is still there.
        self.assert_fails("NoSuchSession", "Touch", token=closed.token)

    def test_sessions_of_a_rebuilt_registry_are_none(self):
        self.site.configure()
        self.start_daemon()
        session = self.log_in()
        self.call("Touch", token=session.token)
        with open(self.site.registry, "r+b") as file:
            file.seek(8)
            file.write(b"\xff" * 8)
        rebuilt = self.tool("purge", "--rebuild")
        self.assertEqual(rebuilt.returncode, 0, rebuilt.stderr)
        self.assert_soon(lambda: not self.list()["sessions"])
        self.refused_everywhere("NoSuchSession", session.token)
        newer = self.log_in("bob")
        self.assert_seats(1)
        self.call("Touch", token=newer.token)


def scene_error(name):
    return "org.sessreg.Sessions." + name


if __name__ == "__main__":
    scene.private_host.enter()
    scene.main()
