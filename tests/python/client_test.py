#!/usr/bin/env python3
"""sessreg.Client: what each call does and raises, across restarts, forks, threads and lost answers.

usage: SESSREG_DAEMON=…/sessregd client_test.py [TestClass[.test]]…
"""

import os
import pickle
import threading
import time
import unittest
from datetime import datetime, timedelta, timezone

import scene
from scene import HANG_S, NOBODY, FakeDaemon, Folder, Relay, WithDaemon, sessreg

as_root = unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")


class Calls(WithDaemon):

    def test_a_user_logs_in_is_marked_and_logs_out(self):
        with self.client() as client:
            session = client.admit("anna", "192.0.2.7", "Firefox Linux", "x")
            self.assertEqual((session.user, session.service, session.site, session.host, session.label),
                             ("anna", "shop", "t", "192.0.2.7", "Firefox Linux"))
            self.assertEqual((session.state, session.seat, session.process, session.pid, session.uid),
                             ("active", True, False, 0, None))
            self.assertLess(abs(datetime.now(timezone.utc) - session.opened), timedelta(minutes=1))
            self.assertEqual(session.expires.tzinfo, timezone.utc)
            self.assertNotIn(session.token, repr(session))
            with self.assertRaises(AttributeError):
                session.user = "otto"
            self.assertEqual(client.touch(session.token), sessreg.Standing(None, None, None, None))
            standing = client.touch(session.token, passive=True)
            self.assertEqual((standing.state, standing.yields_in), ("active", None))
            self.assertAlmostEqual(standing.expires_in, 14 * 24 * 3600, delta=60)
            for shown in client.show(session.token), client.show(id=session.id):
                self.assertEqual((shown.id, shown.token), (session.id, None))
            self.assertEqual(self.seats(), 1)
            client.close(session.token)
            self.assertEqual(self.seats(), 0)
            client.close(session.token)
            with self.assertRaises(sessreg.Ended):
                client.touch(session.token)

    def test_a_device_has_one_session(self):
        client = self.client()
        first, second = client.admit("anna", device="x"), client.admit("anna", device="x")
        with self.assertRaises(sessreg.Ended):
            client.touch(first.token)
        used = client.use("anna", "x")
        self.assertEqual((used.session.id, used.opened), (second.id, False))
        self.assertTrue(client.use("otto", "x").opened)
        self.assertEqual(self.seats(), 2)

    def test_logins_without_a_device_are_never_the_same(self):
        client = self.client()
        client.admit("anna"), client.admit("anna")
        self.assertEqual(self.seats(), 2)

    def test_a_refusal_says_all_that_is_known(self):
        self.configure(sessions_limit=9, user_sessions_limit=1)
        client = self.client()
        own = client.admit("anna", "192.0.2.7", "laptop", "x")
        with self.assertRaises(sessreg.Refused) as caught:
            client.admit("anna", device="y")
        refused = caught.exception
        self.assertEqual((refused.reason, refused.limit, refused.count, refused.seconds),
                         ("user_full", 1, 1, 0))
        self.assertIn("as many sessions as you may have at once (1)", refused.message)
        self.assertEqual([(s.id, s.service, s.host, s.label) for s in refused.own],
                         [(own.id, "shop", "192.0.2.7", "laptop")])
        client.admit("anna", device="y", take_over=refused.own[0].id)
        with self.assertRaises(sessreg.Revoked) as caught:
            client.touch(own.token)
        self.assertEqual(caught.exception.reason, "a newer login of the same user took its place")

    def test_revoked_expired_and_unknown(self):
        client = self.client()
        session = client.admit("anna", device="x")
        self.assertEqual(client.revoke(session.id, "stolen laptop"), "ended")
        self.assertEqual(self.seats(), 0)
        for call in (lambda: client.touch(session.token), lambda: client.use("anna", "x"),
                     lambda: client.touch(session.token, passive=True)):
            with self.assertRaises(sessreg.Revoked) as caught:
                call()
            self.assertEqual(caught.exception.reason, "stolen laptop")
        for call in lambda: client.show(id="0" * 32), lambda: client.revoke("0" * 32):
            with self.assertRaises(sessreg.Ended):
                call()
        # Signed for a second, and frees its seat by itself.
        self.configure(session_lifetime="1s")
        token = client.admit("anna", device="y").token

        def over():
            try:
                client.touch(token)
            except sessreg.Error as error:
                return error
        self.assertIsInstance(scene.wait_until(over), (sessreg.Expired, sessreg.Ended))
        scene.wait_until(lambda: not isinstance(over(), sessreg.Ended))
        self.assertIsInstance(over(), sessreg.Expired)

    def test_after_a_reboot_a_session_is_lost(self):
        client = self.client()
        token = client.admit("anna", device="x").token
        time.sleep(1.1)  # tokens are issued to the second
        self.kill_daemon()
        (self.folder / "t.reg").unlink()
        self.start_daemon()
        with self.assertRaises(sessreg.Lost):
            client.touch(token)
        client.close(token)
        client.admit("anna", device="x")

    def test_a_parked_session_that_finds_no_seat_is_refused(self):
        self.configure(sessions_limit=1, idle_after="1s")
        client = self.client()
        token = client.admit("anna", device="x").token

        def otto_is_in():
            try:
                return client.admit("otto", device="y")
            except sessreg.Refused:
                return None
        self.assertTrue(scene.wait_until(otto_is_in))
        with self.assertRaises(sessreg.Refused) as caught:
            client.touch(token)
        self.assertEqual((caught.exception.reason, caught.exception.limit), ("site_full", 1))
        self.assertIn("more than 1", caught.exception.message)
        self.assertEqual(client.touch(token, passive=True).state, "parked")

    def test_failed_logins_shut_a_host_out(self):
        self.configure(sessions_limit=9, max_failed_auth_per_host=2, blacklist_time="1h")
        client, host = self.client(), "192.0.2.66"
        self.assertEqual(client.attempt(host, "anna", failed=True), sessreg.Attempts(1, 0))
        client.attempt(host, failed=True)
        self.assertGreater(client.attempt(host).blacklisted_seconds, 3500)
        with self.assertRaises(sessreg.Refused) as caught:
            client.admit("anna", host)
        self.assertEqual(caught.exception.reason, "blacklisted")
        self.assertGreater(caught.exception.seconds, 3500)

    def test_exempt_is_listed_and_not_counted(self):
        client = self.client()
        self.assertEqual(client.admit("boss", exempt=True).state, "exempt")
        self.assertEqual(self.seats(), 0)
        self.assertEqual(len(client.list()), 1)

    def test_a_list_of_more_than_a_thousand(self):
        self.configure(sessions_limit=-1)
        client = self.client()
        for number in range(1101):
            client.use(f"u{number % 3}", f"d{number}")
        self.client("wiki").use("anna", "x")
        listing = client.list()
        self.assertEqual((len(listing), len({session.id for session in listing})), (1101, 1101))
        self.assertEqual((listing.site, listing.limit, listing.active), ("t", -1, 1102))
        self.assertEqual(len(client.list("u0")), 367)
        self.assertEqual(len(client.list("anna")), 0)
        self.assertEqual(len(client.list("anna", every_service=True)), 1)

    def test_what_cannot_be_is_named_with_its_mend(self):
        client = self.client()
        for call, parameter in ((lambda: client.admit(""), "user"), (lambda: client.admit("a\nb"), "user"),
                                (lambda: client.admit("a" * 513), "user"),
                                (lambda: client.admit("a\0"), "user"),
                                (lambda: client.admit("\ud800"), "user"),
                                (lambda: client.admit(7), "user"),
                                (lambda: client.admit("a", device=""), "device"),
                                (lambda: client.admit("a", device="x" * 256), "device"),
                                (lambda: client.admit("a", label="\x1b[2J"), "label"),
                                (lambda: client.admit("a", host="h" * 256), "host"),
                                (lambda: client.admit("a", ttl_seconds=0), "ttl_seconds"),
                                (lambda: client.admit("a", ttl_seconds=1 << 32), "ttl_seconds"),
                                (lambda: client.admit("a", ttl_seconds=True), "ttl_seconds"),
                                (lambda: client.admit("a", exempt="yes"), "exempt"),
                                (lambda: client.touch("nonsense"), "token"),
                                (lambda: client.touch("x" * (1 << 20)), "token"),
                                (lambda: client.show(), "id"),
                                (lambda: client.show("t", id="i"), "token"),
                                (lambda: client.revoke("x", "r" * 1001), "reason"),
                                (lambda: sessreg.Client(""), "service"),
                                (lambda: sessreg.Client("a", timeout=0), "timeout"),
                                (lambda: sessreg.Client("a", socket="/" * 108), "socket")):
            with self.subTest(parameter=parameter), self.assertRaises(sessreg.Invalid) as caught:
                call()
            self.assertEqual(caught.exception.parameter, parameter)
            self.assertRegex(str(caught.exception), rf"^{parameter}: [^\n]*\bpass\b|neither True")
        self.assertEqual(self.seats(), 0)

    def test_what_cannot_be_decided_is_unavailable(self):
        self.configure(nonsense="1")
        with self.assertRaises(sessreg.Unavailable) as caught:
            self.client().admit("anna")
        self.assertIn("nonsense", str(caught.exception))
        self.assertFalse(caught.exception.let_through)
        with self.assertRaises(sessreg.Unavailable) as caught:
            sessreg.Client("shop", "elsewhere", self.socket_path).admit("anna")
        self.assertIn("'elsewhere'", str(caught.exception))
        self.configure(ignore_services="shop")
        with self.assertRaises(sessreg.Unavailable) as caught:
            self.client().admit("anna")
        self.assertTrue(caught.exception.let_through)

    def test_errors_are_one_line_and_can_be_pickled(self):
        own = sessreg.Own("i", "s", None, None, None, 7)
        for error in (sessreg.Refused("drain", "a\nb", 1, 2, 3, (own,)), sessreg.Revoked("x\x1b[2J"),
                      sessreg.Expired(), sessreg.Lost(), sessreg.Ended(), sessreg.Denied("why"),
                      sessreg.Invalid("user", "why"), sessreg.Unavailable("why", True)):
            again = pickle.loads(pickle.dumps(error))
            self.assertEqual((str(again), vars(again)), (str(error), vars(error)))
            self.assertTrue(str(error).isprintable())


@as_root
class Rights(WithDaemon):
    SECTIONS = f"[service shop]\nclients = {NOBODY}\n"

    def test_a_client_of_a_service_opens_and_sees_its_sessions_alone(self):
        others = self.client("wiki").admit("otto")
        said = self.run_python(
            "import sys, sessreg\n"
            "shop = sessreg.Client('shop', 't', sys.argv[1], timeout=60)\n"
            "session = shop.admit('anna')\n"
            "print(len(shop.list(every_service=True)))\n"
            "for call in (lambda: sessreg.Client('wiki', 't', sys.argv[1], 60).admit('anna'),\n"
            "             lambda: shop.revoke(sys.argv[2]), lambda: shop.show(id=sys.argv[2])):\n"
            "    try: call()\n"
            "    except sessreg.Denied as denied: print(denied)\n"
            "shop.close(session.token)\n", self.socket_path, others.id, uid=NOBODY).splitlines()
        self.assertEqual((said[0], len(said)), ("1", 4))
        self.assertIn("service 'wiki': put the user that it runs as into 'clients'", said[1])
        self.assertIn("as the application whose it is, or as root", said[2])
        self.assertEqual([session.user for session in self.client().list(every_service=True)], ["otto"])

    def test_the_daemon_of_a_stranger_is_not_believed_unless_it_is_said_so(self):
        folder = self.folder / "strangers"
        folder.mkdir()
        folder.chmod(0o777)
        code = ("import os, socket, sys\n"
                "listening = socket.socket(socket.AF_UNIX)\n"
                "listening.bind(sys.argv[1])\n"
                "listening.listen()\n"
                "os.chmod(sys.argv[1], 0o666)\n"
                "print(flush=True)\n"
                "while True:\n"
                "    connected, _ = listening.accept()\n"
                "    if connected.recv(1 << 16): connected.sendall(b'{\"parameters\":{}}\\0')\n")
        stranger = scene.subprocess.Popen([scene.sys.executable, "-c", code, folder / "s"], user=NOBODY,
                                          group=NOBODY, extra_groups=[], cwd="/",
                                          stdout=scene.subprocess.PIPE)
        try:
            stranger.stdout.readline()
            with self.assertRaises(sessreg.Unavailable) as caught:
                self.client(socket=folder / "s").touch("t")
            self.assertIn(f"uid {NOBODY} listens on", str(caught.exception))
            self.client(socket=folder / "s", trusted_uids=[NOBODY]).touch("t")
        finally:
            stranger.kill()
            stranger.wait()
            stranger.stdout.close()


class Connections(WithDaemon):

    def test_a_daemon_that_was_restarted_is_found_again(self):
        client = self.client()
        token = client.admit("anna", device="x").token
        for _ in range(3):
            self.kill_daemon()
            with self.assertRaises(sessreg.Unavailable) as caught:
                client.touch(token)
            self.assertIn("start sessregd", str(caught.exception))
            self.start_daemon()
            client.touch(token)
            client.attempt("192.0.2.1", failed=True)
            self.kill_daemon()
            self.start_daemon()
            client.attempt("192.0.2.1", failed=True)  # that is sent once only
        self.assertEqual(self.seats(), 1)

    def test_a_login_whose_answer_was_lost_takes_one_seat(self):
        with Relay(self.folder / "relay", self.socket_path) as relay:
            for device in "x", None:
                relay.to_lose = 1
                relay.calls.clear()
                client = self.client(socket=relay.path)
                session = client.admit("anna", device=device)
                first, second = (call["parameters"] for call in relay.calls)
                self.assertEqual(first, second)
                self.assertTrue(first["device"])
                self.assertEqual(self.seats(), 1)
                client.touch(session.token)
                client.close(session.token)

    def test_a_taking_over_whose_answer_was_lost_takes_one_seat(self):
        self.configure(sessions_limit=2, user_sessions_limit=1)
        old = self.client().admit("anna", device="x")
        self.client().admit("otto", device="x")
        with Relay(self.folder / "relay", self.socket_path) as relay:
            session = self.client(socket=relay.path).admit("anna", device="y", take_over=old.id)
            self.assertEqual(len(relay.calls), 2)
        self.assertEqual(self.seats(), 2)
        self.client().touch(session.token)
        with self.assertRaises(sessreg.Revoked):
            self.client().touch(old.token)

    def test_endings_whose_answer_was_lost_are_endings(self):
        with Relay(self.folder / "relay", self.socket_path) as relay:
            client = self.client(socket=relay.path)
            client.close(self.client().admit("anna", device="x").token)
            self.assertEqual(self.seats(), 0)
            relay.to_lose = 1
            session = self.client().admit("anna", device="x")
            self.assertEqual(client.revoke(session.id, "why"), "ended")
            with self.assertRaises(sessreg.Revoked) as caught:
                self.client().touch(session.token)
            self.assertEqual(caught.exception.reason, "why")

    def test_a_failure_whose_answer_was_lost_is_not_counted_twice(self):
        self.configure(max_failed_auth_per_host=9)
        with Relay(self.folder / "relay", self.socket_path) as relay:
            client = self.client(socket=relay.path)
            with self.assertRaises(sessreg.Unavailable):
                client.attempt("192.0.2.1", failed=True)
            self.assertEqual(len(relay.calls), 1)
            self.assertEqual(client.attempt("192.0.2.1", failed=True).failures, 2)

    def test_a_call_is_sent_twice_at_most(self):
        with FakeDaemon(self.folder / "fake", lambda connected, _: connected.close()) as fake:
            with self.assertRaises(sessreg.Unavailable) as caught:
                self.client(socket=fake.path).touch("t")
            self.assertIn("went away before it answered", str(caught.exception))
            self.assertEqual(len(fake.calls), 2)

    def test_a_fork_has_connections_of_its_own(self):
        client = self.client()
        tokens = [client.admit(user).token for user in ("anna", "otto")]
        [mine] = client._idle[1]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(200):
                    client.touch(tokens[0])
                status = int(client._idle[1][0] is mine)
            finally:
                os.write(writing, bytes([status]))
                os._exit(0)
        os.close(writing)
        for _ in range(200):
            self.assertEqual(client.show(tokens[1]).user, "otto")
        self.assertEqual(os.read(reading, 1), b"\0")
        os.close(reading)
        os.waitpid(child, 0)
        self.assertEqual(client._idle[1], [mine])

    def test_twenty_threads_share_a_client_and_never_an_answer(self):
        self.configure(sessions_limit=20)
        client = self.client()
        faults, together = [], threading.Barrier(20)

        def browser(number):
            try:
                together.wait(HANG_S)
                for turn in range(10):
                    session = client.admit(f"u{number}", device=f"d{turn}", label=str(number))
                    if (session.user, client.show(session.token).id) != (f"u{number}", session.id):
                        faults.append(number)
                    client.close(session.token)
            except Exception as error:
                faults.append(error)
        threads = [threading.Thread(target=browser, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
        self.assertEqual(faults, [])
        self.assertEqual(self.seats(), 0)
        self.assertLessEqual(len(client._idle[1]), 20)

    def test_an_answer_that_is_late_goes_to_nobody(self):
        def late(connected, message):
            if b"slow" not in message:
                connected.sendall(b'{"parameters":{"state":"quick"}}\0')
        with FakeDaemon(self.folder / "fake", late) as fake:
            client = self.client(socket=fake.path, timeout=1)
            with self.assertRaises(sessreg.Unavailable) as caught:
                client.touch("slow", passive=True)
            self.assertIn("no answer in 1 seconds", str(caught.exception))
            self.assertEqual([call["parameters"]["token"] for call in fake.calls], ["slow"])
            client._timeout = HANG_S  # for a slow machine
            client.touch("quick", passive=True)

    def test_a_connection_on_which_something_came_unasked_is_given_up(self):
        def twice(connected, _):
            connected.sendall(b'{"parameters":{"state":"%d"}}\0' % len(fake.calls) * 2)
        with FakeDaemon(self.folder / "fake", twice) as fake:
            client = self.client(socket=fake.path)
            states = [client.touch("t", passive=True).state for _ in range(3)]
        self.assertEqual(states, ["1", "2", "3"])

    def test_many_descriptors_are_no_hindrance(self):
        with self.subTest("beyond what select() takes"):
            import resource
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if hard < 2000:
                self.skipTest("too few descriptors are allowed here")
            resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
            opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
            try:
                client = self.client()
                client.touch(client.admit("anna").token)
            finally:
                for descriptor in opened:
                    os.close(descriptor)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Hostile(Folder):
    """What listens is root's or one's own, and yet says anything."""

    SESSION = ('{"id":"i","site":"t","user":"u","uid":null,"service":"s","host":null,"tty":null,'
               '"state":"active","opened":null,"last_activity":null,"expires":null,"idle_seconds":0,'
               '"pid":0,"seat":true,"reason":null,"can_idle":true}')

    def answered(self, answer, call=lambda client: client.use("anna", "x")):
        """What the client makes of it, as text."""
        def say(connected, _):
            connected.sendall(answer)
        path = self.folder / "fake"
        path.unlink(missing_ok=True)
        with FakeDaemon(path, say):
            client = sessreg.Client("shop", "t", path, timeout=HANG_S)
            with self.assertRaises(sessreg.Unavailable) as caught:
                call(client)
        self.assertTrue(str(caught.exception).isprintable(), caught.exception)
        return str(caught.exception)

    def test_the_session_of_these_tests_is_one(self):
        with FakeDaemon(self.folder / "fake", lambda connected, _: connected.sendall(
                b'{"parameters":{"opened":true,"session":%s}}\0' % self.SESSION.encode())):
            self.assertTrue(sessreg.Client("shop", "t", self.folder / "fake").use("anna", "x").opened)

    def test_what_is_no_answer(self):
        for answer, why in ((b"", "not JSON"), (b"x", "not JSON"), (b"\xff", "not UTF-8"),
                            (b"[]", "no object"), (b"{}", "no 'parameters'"),
                            (b'{"parameters":[]}', "no object"), (b'{"error":7}', "'error'"),
                            (b'{"parameters":{},"continues":1}', "'continues'"),
                            (b'{"parameters":{},"continues":true}', "one answer was asked for"),
                            (b"[" * 100_000, "nested too deeply"),
                            (b'{"a":' * 100_000, "nested too deeply"),
                            (b'{"a":' + b"9" * 100_000 + b"}", "64 bits"),
                            (b'{"a":NaN}', "NaN")):
            with self.subTest(answer[:40]):
                self.assertIn(why, self.answered(answer + b"\0"))

    def test_what_has_wrong_types(self):
        good = '{"parameters":{"opened":true,"session":%s}}' % self.SESSION
        for old, new, why in (('"id":"i"', '"id":7', "'id'"), ('"id":"i",', "", "no 'id'"),
                              ('"id":"i"', '"id":"\\ud800"', "'id'"), ('"seat":true', '"seat":1', "'seat'"),
                              ('"pid":0', '"pid":-1', "'pid'"), ('"pid":0', '"pid":0.0', "'pid'"),
                              ('"pid":0', '"pid":true', "'pid'"),
                              ('"pid":0', f'"pid":{2**63}', "'pid'"),
                              ('"opened":null', '"opened":"today"', "'opened'"),
                              ('"opened":null', '"opened":"2026-06-31T00:00:00Z"', "'opened'"),
                              ('"opened":true', '"opened":null', "no 'opened'"),
                              ('"session":{', '"session":[],"x":{', "no object")):
            with self.subTest(new):
                self.assertIn(old, good)
                self.assertIn(why, self.answered(good.replace(old, new).encode() + b"\0"))

    def test_errors_that_are_none(self):
        for answer, why in (('{"error":"org.sessreg.Sessions.Refused"}', "no 'reason'"),
                            ('{"error":"org.sessreg.Sessions.Refused","parameters":{"reason":"a","message":"b",'
                             '"limit":1,"count":1,"seconds":1,"own":[7]}}', "no object"),
                            ('{"error":"org.sessreg.Sessions.\\u001b[2J","parameters":{}}', "does not know"),
                            ('{"error":"com.example.Boom"}', "com.example.Boom"),
                            ('{"error":"org.sessreg.Connection.TooManyConnections",'
                             '"parameters":{"reason":"of you"}}', "of you"),
                            ('{"error":"org.varlink.service.MethodNotFound","parameters":{}}', "older")):
            with self.subTest(answer):
                self.assertIn(why, self.answered(answer.encode() + b"\0"))

    def test_an_answer_without_an_end_is_cut_off(self):
        from sessreg._protocol import MOST_ANSWER_BYTES
        sent = []

        def endless(connected, _):
            while sum(sent) < 4 * MOST_ANSWER_BYTES:
                sent.append(connected.send(b"x" * (1 << 16)))
        with FakeDaemon(self.folder / "endless", endless) as fake:
            with self.assertRaises(sessreg.Unavailable) as caught:
                sessreg.Client("shop", "t", fake.path, timeout=HANG_S).touch("t")
        self.assertIn(f"longer than {MOST_ANSWER_BYTES} bytes", str(caught.exception))
        self.assertLess(sum(sent), 2 * MOST_ANSWER_BYTES)

    def test_a_list_without_an_end_is_cut_off(self):
        part = (b'{"continues":true,"parameters":{"site":"t","limit":1,"active":0,"sessions":[]}}\0' * 1000)

        def endless(connected, _):
            while True:
                connected.sendall(part)
        with FakeDaemon(self.folder / "endless", endless) as fake:
            with self.assertRaises(sessreg.Unavailable) as caught:
                sessreg.Client("shop", "t", fake.path, timeout=HANG_S).list()
        self.assertIn("no end", str(caught.exception))

    def test_nobody_and_nothing_there(self):
        (self.folder / "file").touch()
        for name in "none", "none/none", "file":
            with self.subTest(name), self.assertRaises(sessreg.Unavailable) as caught:
                sessreg.Client("shop", "t", self.folder / name).touch("t")
            self.assertIn("start sessregd", str(caught.exception))


if __name__ == "__main__":
    unittest.main(verbosity=2)
