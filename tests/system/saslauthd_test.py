#!/usr/bin/env python3
"""A real saslauthd, which mail servers ask for each login, and which opens no session.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg saslauthd_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import subprocess

import service_scene
from private_host import PASSWORD
from site_scene import SCENE, SiteTest, wait_until

DIRECTORY = SCENE / "saslauthd"


def prepare():
    service_scene.find_program("testsaslauthd")
    DIRECTORY.mkdir()
    with open(SCENE / "saslauthd.log", "ab") as log:
        # -d: it stays in the foreground
        process = subprocess.Popen(
            [service_scene.find_program("saslauthd"), "-d", "-a", "pam", "-n", "1", "-m", DIRECTORY],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    if not wait_until(lambda: (DIRECTORY / "mux").exists() or process.poll() is not None):
        raise RuntimeError("does not start")


def ask(user, password=PASSWORD):
    return subprocess.run(
        [service_scene.find_program("testsaslauthd"), "-f", DIRECTORY / "mux", "-s", "imap",
         "-u", user, "-p", password], capture_output=True, text=True, timeout=30).stdout.strip()


class Saslauthd(SiteTest):

    service = "imap"

    def test_ignored_it_says_yes_though_the_site_admits_nobody(self):
        self.configure(sessions_limit=0)
        self.assertEqual(ask("alice"), '0: OK "Success."')
        self.assertEqual(ask("alice", "wrong"), '0: NO "authentication failed"')
        self.assertEqual(self.sessions(), [])
        self.assertEqual(self.status()["refusals"]["drain"], 0)

    def test_where_it_is_not_ignored_a_full_site_refuses_it(self):
        self.configure(sessions_limit=0, ignore_services="")
        self.assertEqual(ask("alice"), '0: NO "authentication failed"')
        self.assertEqual(self.status()["refusals"]["drain"], 1)

    def test_where_it_is_not_ignored_it_needs_a_free_seat_and_keeps_none(self):
        self.configure(sessions_limit=1, ignore_services="")
        for user in ("alice", "bob", "alice"):
            self.assertEqual(ask(user), '0: OK "Success."')
        self.assertEqual(self.sessions(), [])
        self.assertEqual(self.status()["reaped"], {"sessions": 0, "reservations": 0, "claims": 0})


if __name__ == "__main__":
    service_scene.main("__main__", prepare)
