#!/usr/bin/env python3
"""sessreg.embedded: a site of an application's own, shared by its processes.

usage: SESSREG_DAEMON=…/sessregd embedded_test.py [TestClass[.test]]…
"""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import unittest
from datetime import timedelta

import scene
from scene import HANG_S, NOBODY, Folder, sessreg, wait_until
from sessreg import _conf
from sessreg.embedded import Site

# Enters the site, logs a user in, and stays until its input ends.
WORKER = """
import sys
from sessreg.embedded import Site
with Site(sys.argv[1], sessions_limit=9) as site:
    site.client("web", timeout=60).use(sys.argv[2], "x")
    print("in", flush=True)
    sys.stdin.read()
"""


def daemon_of(site):
    """The pid of who listens there; None if nobody does."""
    with socket.socket(socket.AF_UNIX) as connected, contextlib.suppress(OSError):
        connected.connect(str(site.socket))
        return struct.unpack("iII", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def kill_daemon_of(site):
    os.kill(daemon_of(site), signal.SIGKILL)
    wait_until(lambda: daemon_of(site) is None)


class Embedded(Folder):
    def setUp(self):
        super().setUp()
        self.home = self.folder / "site"
        self.addCleanup(self.end_daemon)

    def end_daemon(self):
        if pid := daemon_of(Site(self.home)):
            os.kill(pid, signal.SIGKILL)

    def start_worker(self, user):
        worker = subprocess.Popen([sys.executable, "-c", WORKER, self.home, user], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, env=scene.environment())
        self.addCleanup(self.end_worker, worker)
        self.assertEqual(worker.stdout.readline(), "in\n")
        return worker

    def end_worker(self, worker):
        worker.stdin.close()
        worker.wait(HANG_S)
        worker.stdout.close()

    def test_a_site_counts_and_keeps_its_sessions(self):
        with Site(self.home, sessions_limit=1) as site:
            with site.client("web", timeout=HANG_S) as client:
                token = client.admit("anna", device="x").token
                with self.assertRaises(sessreg.Refused):
                    client.admit("otto", device="y")
            self.assertEqual(self.home.stat().st_mode & 0o777, 0o700)
        self.assertIsNone(daemon_of(site))
        with Site(self.home, sessions_limit=1) as site:
            site.client("web", timeout=HANG_S).touch(token)

    def test_it_is_the_same_for_asyncio(self):
        async def test():
            async with site.async_client("web", timeout=HANG_S) as client:
                await client.use("anna", "x")
                kill_daemon_of(site)
                self.assertFalse((await client.use("anna", "x")).opened)
        with Site(self.home) as site:
            asyncio.run(test())

    def test_a_daemon_that_was_killed_is_back_at_the_next_call(self):
        with Site(self.home) as site:
            client = site.client("web", timeout=HANG_S)
            token = client.admit("anna").token
            for _ in range(3):
                kill_daemon_of(site)
                client.touch(token)

    def test_processes_share_a_daemon_and_the_last_one_stops_it(self):
        first = self.start_worker("anna")
        site = Site(self.home, sessions_limit=9)
        pid = daemon_of(site)
        second = self.start_worker("otto")
        self.end_worker(first)
        with site:
            self.assertEqual(len(site.client("web", timeout=HANG_S).list()), 2)
            self.assertEqual(daemon_of(site), pid)
        self.assertEqual(daemon_of(site), pid)
        self.end_worker(second)
        self.assertIsNone(daemon_of(site))

    def test_many_processes_that_start_at_once_start_one_daemon(self):
        slow, starts = self.folder / "slow", self.folder / "starts"
        slow.write_text(f"#!/bin/sh\necho >>{starts}\nsleep 1\nexec {os.environ['SESSREG_DAEMON']} \"$@\"\n")
        slow.chmod(0o755)
        workers = [subprocess.Popen([sys.executable, "-c", WORKER, self.home, f"u{number}"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                    env=scene.environment(SESSREG_DAEMON=str(slow))) for number in range(6)]
        for worker in workers:
            self.addCleanup(self.end_worker, worker)
        for worker in workers:
            self.assertEqual(worker.stdout.readline(), "in\n")
        self.assertEqual(starts.read_text(), "\n")

    def test_what_was_killed_is_taken_over(self):
        worker = self.start_worker("anna")
        site = Site(self.home, sessions_limit=9)
        pid = daemon_of(site)
        worker.kill()
        worker.wait(HANG_S)
        self.assertEqual(daemon_of(site), pid)
        with site:
            self.assertEqual(daemon_of(site), pid)
            self.assertEqual([session.user for session in site.client("web", timeout=HANG_S).list()], ["anna"])
        self.assertIsNone(daemon_of(site))
        # With the daemon itself.
        worker = self.start_worker("otto")
        kill_daemon_of(site)
        worker.kill()
        worker.wait(HANG_S)
        with site:
            self.assertEqual(len(site.client("web", timeout=HANG_S).list()), 2)

    def test_a_child_is_in_the_site_after_its_parent_has_left(self):
        site = Site(self.home).start()
        pid = daemon_of(site)
        go, told = os.pipe()
        runs, said = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            os.write(said, b"1")
            os.read(go, 1)
            site.stop()
            os._exit(0)
        os.read(runs, 1)
        site.stop()
        self.assertEqual(daemon_of(site), pid)
        os.close(told)
        os.waitpid(child, 0)
        for end in go, runs, said:
            os.close(end)
        self.assertIsNone(daemon_of(site))

    def test_it_ends_with_a_program_that_does_not_stop_it(self):
        self.run_python("import sys\nfrom sessreg.embedded import Site\n"
                        "Site(sys.argv[1]).start().client('web', timeout=60).use('anna', 'x')", self.home)
        self.assertIsNone(daemon_of(Site(self.home)))

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")
    def test_it_is_for_ordinary_users(self):
        self.folder.chmod(0o777)
        said = self.run_python("import os, sys, sessreg\nfrom sessreg.embedded import Site\n"
                               "with Site(sys.argv[1], sessions_limit=1) as site:\n"
                               "    client = site.client('web', timeout=60)\n"
                               "    client.admit('anna', device='x')\n"
                               "    try: client.admit('otto')\n"
                               "    except sessreg.Refused as refused: print(os.getuid(), refused)\n",
                               self.home, uid=NOBODY)
        self.assertIn(f"{NOBODY} no seat (site_full): There are more than 1", said)
        with self.assertRaises(sessreg.Unavailable) as caught:
            Site(self.home).start()
        self.assertIn(f"belongs to uid {NOBODY}", str(caught.exception))

    # --- What cannot be ---

    def assert_unavailable(self, why, site):
        with self.assertRaises(sessreg.Unavailable) as caught:
            site.start()
        self.assertIn(why, str(caught.exception))
        self.assertTrue(str(caught.exception).isprintable())
        self.assertIsNone(daemon_of(site))

    def test_faults_name_the_mend(self):
        self.assert_unavailable("sessions_limt'; did you mean sessions_limit?", Site(self.home, sessions_limt=3))
        self.assert_unavailable("is not a duration", Site(self.home, idle_after="soon"))
        with Site(self.home, idle_after="1s") as site:
            with self.assertRaises(sessreg.Unavailable) as caught:
                Site(self.home, idle_after="soon").start()
            self.assertIn("sessreg.conf:4: idle_after", str(caught.exception))
            site.client("web", timeout=HANG_S).use("anna", "x")  # as before
        self.assert_unavailable("SESSREG_DAEMON", Site(self.home, daemon="/none"))
        self.assert_unavailable("does not start", Site(self.home, daemon="/bin/false"))
        self.assert_unavailable("does not start: sessregd: --site", Site(self.home, name="a b"))
        self.assert_unavailable("cannot make the folder", Site("/proc/none"))
        self.home.chmod(0o750)
        self.assert_unavailable("run chmod 700", Site(self.home))
        for bad in {"folder": "/" + "x" * 110}, {"folder": self.home, "registry": "/x"}:
            with self.assertRaises(sessreg.Invalid):
                Site(**bad)

    def test_without_sessregd_it_says_where_it_is_looked_for(self):
        said = self.run_python("import os, sys, sessreg\nfrom sessreg import _daemon, embedded\n"
                               "del os.environ['SESSREG_DAEMON']\n"
                               "_daemon._SBIN = os.environ['PATH'] = '/none'\n"
                               "try: embedded.Site(sys.argv[1]).start()\n"
                               "except sessreg.Unavailable as error: print(error)\n", self.home)
        self.assertIn("there is no sessregd: install the package sessreg", said)


class Configuration(Folder):
    """What is written means to sessregd what it means in Python."""

    def test_values_of_all_kinds(self):
        self.assertEqual(_conf.text_of({"sessions_limit": 3, "token": True, "idle_after": timedelta(minutes=15),
                                        "message_site_full": "Full # call 4711", "session_ttl": "2w",
                                        "exempt": ["anna", "Jane Doe", "@domain admins", 'a"b\\c']},
                                       {("user", "Jane Doe"): {"user_sessions_limit": -1}}).splitlines()[1:],
                         ["sessions_limit = 3", "token = yes", "idle_after = 900s",
                          "message_site_full = Full # call 4711", "session_ttl = 2w",
                          r'exempt = anna "Jane Doe" @"domain admins" "a\"b\\c"',
                          '[user "Jane Doe"]', "user_sessions_limit = -1"])

    def test_sessregd_takes_what_is_quoted(self):
        names = ["#x", "%wheel", "(a)", "it's", "a,b", "CORP\\anna", "[x]", "ünïcode", "a#b", "@(b)", "-", "="]
        site = Site(self.folder / "site", exempt=names, sessions_limit=1,
                    blacklist_exempt=["10.0.0.0/8", "2001:db8::/32", "::1"],
                    message_site_full="# No, {user}: \"{limit}\" = 1",
                    sections={("user", name): {"user_sessions_limit": 0} for name in names if name[0] != "@"})
        with site:
            client = site.client("web", timeout=HANG_S)
            for name in names:
                if name[0] != "@":
                    with self.subTest(name), self.assertRaises(sessreg.Refused) as caught:
                        client.use(name, "x")
                    self.assertEqual(caught.exception.reason, "user_full")
            client.use("anna", "x")
            with self.assertRaises(sessreg.Refused) as caught:
                client.use("otto", "x")
            self.assertEqual(caught.exception.message, '# No, otto: "1" = 1')

    def test_what_would_be_something_else_is_refused(self):
        for key, value in (("exempt", "a\nsessions_limit = 9"), ("exempt", ["a\nb"]), ("exempt", "a # b"),
                           ("sessions_limit", "#"), ("message_drain", "a\nb"), ("idle_after", timedelta(-1)),
                           ("idle_after", timedelta(milliseconds=1)), ("sessions_limit", 1.5),
                           ("a = 1\nb", 1), ("sessions_limit", None)):
            with self.subTest(key=key, value=value), self.assertRaises(sessreg.Invalid):
                _conf.text_of({key: value}, {})
        with self.assertRaises(sessreg.Invalid):
            _conf.text_of({}, {("user", "a\n[user b]"): {}})


if __name__ == "__main__":
    unittest.main(verbosity=2)
