#!/usr/bin/env python3
"""Applications that log users in over the socket: what a client of a service may, and may not.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       applications_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

import scene
from scene import ALICE, BOB, DaemonTest, is_alive
from varlink import CallFailed, Client

NOBODY = 65534
APP = ALICE  # whose uid the application's workers have
OTHER_APP = BOB


class ApplicationTest(DaemonTest):
    SECTIONS = "[service shop]\nclients = alice\n[service wiki]\nclients = @bob\n"

    def configure(self, sections=None, **keys):
        self.site.configure(**keys)
        with self.site.conf.open("a") as file:
            file.write(self.SECTIONS if sections is None else sections)

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=2)
        self.start_daemon()

    def admit(self, user, device=None, uid=APP, **more):
        return self.call("Admit", uid, site=self.site.name, service=more.pop("service", "shop"),
                         user=user, **({"device": device} if device else {}), **more)

    def use(self, user, device, uid=APP, **more):
        return self.call("Use", uid, site=self.site.name, service=more.pop("service", "shop"),
                         user=user, device=device, **more)

    def refusal(self, user, device=None, uid=APP, **more):
        return self.assert_fails("Refused", "Admit", uid, site=self.site.name,
                                 service=more.pop("service", "shop"), user=user,
                                 **({"device": device} if device else {}), **more)

    def seats(self):
        return self.list()["active"]

    def shown(self, session):
        return self.call("Show", id=session["id"])["session"]


class Logins(ApplicationTest):

    def test_an_application_logs_in_uses_and_closes(self):
        answer = self.admit("anna", "x", host="192.0.2.7", label="Firefox Linux")
        session, token = answer["session"], answer["token"]
        self.assertTrue(token.startswith("v4.public."))
        self.assertEqual((session["user"], session["service"], session["host"], session["tty"]),
                         ("anna", "shop", "192.0.2.7", "Firefox Linux"))
        self.assertEqual((session["pid"], session["process"], session["uid"], session["seat"],
                          session["state"]), (0, False, None, True, "active"))
        self.assertEqual(self.call("Touch", NOBODY, token=token), {})
        passive = self.call("Touch", NOBODY, token=token, passive=True)
        self.assertEqual((passive["state"], passive["yields_in"]), ("active", None))
        self.assertLessEqual(passive["idle_seconds"], 1)
        self.assertAlmostEqual(passive["expires_in"], 14 * 24 * 3600, delta=5)
        self.assertEqual(self.call("Show", APP, token=token)["session"]["id"], session["id"])
        self.assertEqual(self.seats(), 1)
        self.call("Close", APP, token=token)
        self.assertEqual(self.seats(), 0)
        self.assertEqual(self.assert_fails("NoSuchSession", "Touch", token=token), {"lost": False})

    def test_of_a_device_there_is_one_session(self):
        first = self.admit("anna", "x")
        again = self.admit("anna", "x")
        self.assertNotEqual(first["session"]["id"], again["session"]["id"])
        self.assertEqual(self.seats(), 1)
        self.assert_fails("NoSuchSession", "Touch", token=first["token"])
        used = self.use("anna", "x")
        self.assertEqual((used["session"]["id"], used["opened"]), (again["session"]["id"], False))
        self.assertTrue(self.use("anna", "y")["opened"])
        self.assertEqual(self.seats(), 2)

    def test_a_use_follows_the_file_the_failures_and_the_registry(self):
        self.configure(sessions_limit=2, max_failed_auth_per_host=2, blacklist_time="1h",
                       blacklist_exempt="")
        session = self.admit("anna", "x")["session"]
        # From when on the daemon need not read the file again for the use of an open session.
        self.assert_soon(lambda: time.time() > self.site.conf.stat().st_ctime + 2)
        self.assert_soon(lambda: self.shown(session)["idle_seconds"] >= 1)
        for host in None, "192.0.2.66":
            used = self.use("anna", "x", **({"host": host} if host else {}))
            self.assertEqual((used["session"]["id"], used["opened"]), (session["id"], False))
            self.assertEqual(used["session"]["idle_seconds"], 0)

        # An edit that leaves the size and the time of the file as they were.
        before, text = self.site.conf.stat(), self.site.conf.read_text()
        self.site.conf.write_text(text.replace("sessions_limit = 2", "sessions_limit = x"))
        os.utime(self.site.conf, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assert_fails("CannotDecide", "Use", APP, site=self.site.name, service="shop",
                          user="anna", device="x")
        self.site.conf.write_text(text.replace("clients = alice", "clients = bob"))
        self.assert_fails("PermissionDenied", "Use", APP, site=self.site.name, service="shop",
                          user="anna", device="x")
        self.site.conf.write_text(text)
        self.assert_soon(lambda: time.time() > self.site.conf.stat().st_ctime + 2)
        self.assertFalse(self.use("anna", "x")["opened"])

        def fail(host, user):
            return self.call("Attempt", APP, site=self.site.name, service="shop", host=host,
                             user=user, failed=True)["failures"]
        self.assertEqual(fail("192.0.2.1", "anna"), 1)
        self.use("anna", "x", host="192.0.2.1")  # forgets it
        self.assertEqual(fail("192.0.2.1", "anna"), 1)
        self.assertEqual(fail("192.0.2.1", "otto"), 2)
        told = self.assert_fails("Refused", "Use", APP, site=self.site.name, service="shop",
                                 user="anna", device="x", host="192.0.2.1")
        self.assertEqual(told["reason"], "blacklisted")

        self.call("Revoke", APP, id=session["id"], reason="stolen laptop")
        self.assert_fails("SessionRevoked", "Use", APP, site=self.site.name, service="shop",
                          user="anna", device="x")
        self.assertTrue(self.use("anna", "y")["opened"])
        self.site.registry.unlink()
        self.assertTrue(self.use("anna", "y")["opened"])
        self.assertEqual(self.seats(), 1)

    def test_a_refusal_says_why_and_which_sessions_could_give_way(self):
        self.configure(sessions_limit=9, user_sessions_limit=1)
        own = self.admit("anna", "x", host="192.0.2.7", label="laptop")["session"]
        self.admit("otto", "x")
        told = self.refusal("anna", "y")
        self.assertEqual((told["reason"], told["limit"], told["count"], told["seconds"]),
                         ("user_full", 1, 1, 0))
        self.assertIn("as many sessions as you may have at once (1)", told["message"])
        self.assertEqual([(s["id"], s["service"], s["host"], s["label"]) for s in told["own"]],
                         [(own["id"], "shop", "192.0.2.7", "laptop")])
        anew = self.admit("anna", "y", take_over=own["id"])["session"]
        self.assertEqual(self.shown(own)["state"], "ending")
        self.assertFalse(self.shown(own)["seat"])
        self.assertEqual(self.shown(own)["reason"],
                         "a newer login of the same user took its place")
        self.assertTrue(self.shown(anew)["seat"])
        self.assertEqual(self.seats(), 2)

    def test_what_is_revoked_is_free_at_once_and_its_holder_is_told(self):
        for uid in 0, APP:
            with self.subTest(uid=uid):
                answer = self.admit("anna", "x")
                started = time.monotonic()
                self.assertEqual(self.call("Revoke", uid, id=answer["session"]["id"],
                                           reason="stolen laptop", grace_seconds=60),
                                 {"result": "ended", "survivors": []})
                self.assertLess(time.monotonic() - started, 20)
                self.assertEqual(self.seats(), 0)
                for passive in False, True:
                    self.assertEqual(self.assert_fails("SessionRevoked", "Touch", NOBODY,
                                                       token=answer["token"], passive=passive)["reason"],
                                     "stolen laptop")
                self.assertEqual(self.assert_fails("SessionRevoked", "Use", APP, service="shop",
                                                   site=self.site.name, user="anna", device="x")["reason"],
                                 "stolen laptop")

    def test_it_ends_by_its_times_and_the_daemon_frees_it(self):
        watcher = self.watch()
        token = self.admit("anna", "x", ttl_seconds=1)["token"]
        self.assert_soon(lambda: self.seats() == 0)
        self.assert_soon(lambda: watcher.events and watcher.events[-1][1]["event"] == "closed")
        self.assertEqual([e["event"] for _, e in watcher.events], ["opened", "closed"])
        self.assert_fails("NoSuchSession", "Touch", token=token)

    def test_who_is_exempt_is_what_the_application_says(self):
        # Not what the file says of the host's users.
        self.configure(sessions_limit=1, exempt="root", reserved_sessions=1, reserved_for="root")
        self.refusal("root")
        session = self.admit("boss", "x", exempt=True)["session"]
        self.assertEqual((session["state"], session["seat"]), ("exempt", False))
        self.assertEqual(self.seats(), 0)
        used = self.use("boss", "x")
        self.assertEqual((used["opened"], used["session"]["id"]), (False, session["id"]))

    def test_a_limit_of_the_service(self):
        self.configure("[service shop]\nclients = alice\nsessions_limit = 1\n", sessions_limit=5)
        self.admit("anna", "x")
        told = self.refusal("otto", "y")
        self.assertEqual((told["reason"], told["limit"], told["count"]), ("group_full", 1, 1))
        self.assertEqual(told["message"], "There are more than 1 active user sessions. Please try "
                                          "again later.")
        self.log_in("bob")
        self.assertEqual(self.seats(), 2)

    def test_what_cannot_be_is_refused(self):
        for parameters in ({"user": ""}, {"user": "a\nb"}, {"user": "a" * 513}, {"user": "a\0b"},
                           {"service": ""}, {"device": "x" * 256}, {"label": "\x1b[2J"},
                           {"host": "h" * 256}, {"ttl_seconds": 0}, {"ttl_seconds": -5},
                           {"ttl_seconds": 1 << 32}, {"exempt": "yes"}, {"nonsense": 1}):
            with self.subTest(parameters):
                self.assert_fails("org.varlink.service.InvalidParameter", "Admit", 0,
                                  **({"site": self.site.name, "service": "shop", "user": "anna"}
                                     | parameters))
        self.assert_fails("NoSuchSite", "Admit", 0, site="none", service="shop", user="anna")
        self.assert_fails("org.varlink.service.InvalidParameter", "Use", 0, site=self.site.name,
                          service="shop", user="anna")
        self.assert_fails("org.varlink.service.InvalidParameter", "Show", 0)
        self.assertEqual(self.seats(), 0)

    def test_without_a_usable_configuration_it_is_said_so(self):
        self.site.conf.write_text("nonsense\n")
        told = self.assert_fails("CannotDecide", "Admit", APP, site=self.site.name, service="shop",
                                 user="anna")
        self.assertIn("nonsense", told["reason"])
        self.assertFalse(told["let_through"])
        for failed in False, True:
            told = self.assert_fails("CannotDecide", "Attempt", APP, site=self.site.name, service="shop",
                                     host="192.0.2.1", failed=failed)
            self.assertIn("nonsense", told["reason"])


class Accounts(ApplicationTest):

    SHOP = "[service shop]\nclients = alice\naccounts = yes\n"

    def test_a_name_is_an_account_where_the_file_says_so(self):
        self.configure(self.SHOP + "[group bob]\nsessions_limit = 1\n", sessions_limit=9)
        session = self.admit("bob", "d1")["session"]
        self.assertEqual(session["uid"], BOB)
        # So it is the user's own, and counts in the user's groups.
        listed = self.list(BOB)["sessions"]
        self.assertEqual([s["id"] for s in listed], [session["id"]])
        self.assertEqual(self.refusal("bob", "d2")["reason"], "group_full")
        # Who has no account has no uid, and is in no group.
        self.assertIsNone(self.admit("nobody-knows", "d3")["session"]["uid"])

    def test_exempt_and_reserved_for_hold_for_accounts(self):
        self.configure(self.SHOP, sessions_limit=1, reserved_sessions=1, reserved_for="bob")
        self.assertEqual(self.refusal("carol")["reason"], "site_full")
        self.assertTrue(self.admit("bob")["session"]["seat"])
        self.configure(self.SHOP, sessions_limit=0, exempt="bob")
        self.assertEqual(self.admit("bob", "d2")["session"]["state"], "exempt")
        self.assertEqual(self.refusal("carol")["reason"], "drain")

    def test_the_sessions_of_a_kept_service_last_as_long_as_that(self):
        self.configure("[service shop]\nclients = alice\nkeep = 1s\n", sessions_limit=1,
                       session_ttl="2w")
        self.assertEqual(self.use("bob", "d1")["session"]["uid"], BOB)
        self.refusal("carol", "d2")
        self.assert_seats(0)
        self.use("carol", "d2")


class HangingUp(ApplicationTest):

    def test_who_gave_up_waiting_gets_no_seat(self):
        self.admit("anna", "x")
        os.kill(self.daemon.pid, signal.SIGSTOP)
        client = Client.connect(self.socket_path)  # which nobody else holds
        client.send("Use", site=self.site.name, service="shop", user="otto", device="y")
        client.close()
        os.kill(self.daemon.pid, signal.SIGCONT)
        self.assertEqual([s["user"] for s in self.list()["sessions"]], ["anna"])
        # Who only has nothing more to say is answered.
        client = Client.connect(self.socket_path)
        client.send("Use", site=self.site.name, service="shop", user="otto", device="y")
        client.socket.shutdown(socket.SHUT_WR)
        self.assertTrue(client.receive()["parameters"]["opened"])
        client.close()


class Rights(ApplicationTest):

    def test_only_clients_of_a_service_open_its_sessions(self):
        for uid, service, allowed in ((0, "shop", True), (APP, "shop", True),
                                      (APP, "wiki", False), (APP, self.site.service, False),
                                      (APP, "none", False), (OTHER_APP, "wiki", True),
                                      (OTHER_APP, "shop", False), (NOBODY, "shop", False)):
            with self.subTest(uid=uid, service=service):
                parameters = {"site": self.site.name, "service": service, "user": "anna",
                              "device": "x"}
                if allowed:
                    self.call("Admit", uid, **parameters)
                    self.call("Use", uid, **parameters)
                    continue
                for method in "Admit", "Use":
                    self.assert_fails("PermissionDenied", method, uid, **parameters)
                self.assert_fails("PermissionDenied", "Attempt", uid, site=self.site.name,
                                  service=service, host="192.0.2.1", failed=True)

    def test_a_client_that_is_added_to_the_file_needs_no_reload(self):
        self.assert_fails("PermissionDenied", "Admit", NOBODY, site=self.site.name, service="shop",
                          user="anna")
        self.configure(f"[service shop]\nclients = {NOBODY}\n", sessions_limit=2)
        self.admit("anna", uid=NOBODY)
        self.assert_fails("PermissionDenied", "Admit", APP, site=self.site.name, service="shop",
                          user="anna")

    def test_who_is_a_client_no_longer_sees_and_ends_nothing_though_nobody_logs_in(self):
        id = self.admit("anna", "x")["session"]["id"]
        self.assertEqual(len(self.list(APP)["sessions"]), 1)
        self.configure("", sessions_limit=2)
        self.assertEqual(self.list(APP)["sessions"], [])
        self.assert_fails("PermissionDenied", "Show", APP, id=id)
        self.assert_fails("PermissionDenied", "Revoke", APP, id=id)
        self.assertEqual(self.seats(), 1)

    def test_a_client_sees_and_ends_the_sessions_of_its_services_alone(self):
        self.configure(sessions_limit=9)
        own = self.admit("anna", "x")
        other = self.admit("anna", "x", uid=OTHER_APP, service="wiki")
        by_pam = self.log_in("bob")
        # Of its service, and with a process.
        (self.directory / "pam" / "shop").write_text(
            (self.directory / "pam" / self.site.service).read_text())
        with_process = self.log_in("bob", site=type("S", (), {"service": "shop"})())
        self.assertEqual([s["id"] for s in self.list(APP)["sessions"]], [own["session"]["id"]])
        self.assertEqual([s["id"] for s in self.list(OTHER_APP)["sessions"]
                          if not s["process"]], [other["session"]["id"]])
        for session in other["session"]["id"], by_pam.id, with_process.id:
            self.assert_fails("PermissionDenied", "Show", APP, id=session)
            self.assert_fails("PermissionDenied", "Revoke", APP, id=session)
        self.assert_fails("PermissionDenied", "Close", APP, token=other["token"])
        self.assert_fails("PermissionDenied", "Show", NOBODY, token=own["token"])
        self.assert_fails("PermissionDenied", "Close", NOBODY, token=own["token"])
        self.assertTrue(is_alive(by_pam.pid) and is_alive(with_process.pid))
        self.assertEqual(self.seats(), 4)

    def test_a_client_takes_over_no_session_of_another_service(self):
        self.configure(sessions_limit=9, user_sessions_limit=1)
        other = self.admit("anna", "x", uid=OTHER_APP, service="wiki")
        of_pam = self.log_in("bob")
        self.assert_fails("PermissionDenied", "Admit", APP, site=self.site.name, service="shop",
                          user="anna", take_over=other["session"]["id"])
        self.assert_fails("PermissionDenied", "Admit", APP, site=self.site.name, service="shop",
                          user="bob", take_over=of_pam.id)
        self.assertEqual(self.refusal("anna", "y")["own"], [])

    def test_a_policy_that_evicts_ends_no_session_of_another_service(self):
        self.configure(sessions_limit=9, user_sessions_limit=1, user_limit_policy="evict")
        of_pam = self.log_in("bob")
        self.assertEqual(self.refusal("bob", "x")["reason"], "user_full")
        self.assertTrue(is_alive(of_pam.pid))
        first = self.admit("anna", "x")["session"]
        second = self.admit("anna", "y")["session"]
        self.assertEqual(self.shown(first)["state"], "ending")
        self.assertEqual(self.shown(second)["state"], "active")

    def test_bystanders_are_never_signalled(self):
        self.configure(sessions_limit=9, user_sessions_limit=1, user_limit_policy="evict",
                       idle_after="1s")
        bystanders = [subprocess.Popen(["sleep", "300"]) for _ in range(5)]
        try:
            revoked = self.admit("anna", "x")["session"]
            self.call("Revoke", id=revoked["id"], grace_seconds=0)
            self.admit("otto", "x")
            self.admit("otto", "y")  # evicts
            self.admit("emma", "x", ttl_seconds=1)
            expired = self.tool("revoke", "--user", "otto", "--yes")
            self.assertEqual(expired.returncode, 0, expired.stderr)
            self.assert_soon(lambda: self.seats() == 0)
            self.tool("purge")
            time.sleep(0.5)
            self.assertEqual([p.poll() for p in bystanders], [None] * 5)
            self.assertIsNone(self.daemon.process.poll())
        finally:
            for process in bystanders:
                process.kill()
                process.wait()

    def test_who_is_revoked_without_a_process_costs_no_look_at_the_processes(self):
        def reads():
            text = pathlib.Path(f"/proc/{self.daemon.process.pid}/io").read_text()
            return int(re.search(r"syscr: (\d+)", text).group(1))
        others = [subprocess.Popen(["sleep", "60"]) for _ in range(200)]
        try:
            session = self.admit("anna", "x")["session"]
            before = reads()
            self.assertGreater(before, 0)
            self.call("Revoke", APP, id=session["id"], grace_seconds=0)
            self.assertLess(reads() - before, len(others))
        finally:
            for process in others:
                process.kill()
                process.wait()

    def test_failures_of_an_application_count_for_it_alone(self):
        self.configure(sessions_limit=9, max_failed_auth_per_host=2, blacklist_time="1h",
                       blacklist_exempt="")
        host = "192.0.2.66"

        def attempt(uid=APP, service="shop", **more):
            return self.call("Attempt", uid, site=self.site.name, service=service, host=host, **more)
        self.assertEqual(attempt(failed=True, user="anna"),
                         {"failures": 1, "blacklisted_seconds": 0})
        self.admit("anna", "x", host=host)  # forgets that user's
        self.assertEqual(attempt(failed=True, user="anna")["failures"], 1)
        self.assertEqual(attempt(failed=True, user="otto")["failures"], 2)
        self.assertGreater(attempt()["blacklisted_seconds"], 3500)
        self.assertEqual(self.refusal("anna", "x", host=host)["reason"], "blacklisted")
        self.assertEqual(attempt(uid=OTHER_APP, service="wiki"),
                         {"failures": 0, "blacklisted_seconds": 0})
        self.log_in("bob", rhost=host)


class Endings(ApplicationTest):

    def test_sessions_outlive_the_application_and_the_daemon(self):
        token = self.admit("anna", "x")["token"]
        for _ in range(3):
            self.daemon.kill()
            self.start_daemon()
            self.assertEqual(self.seats(), 1)
            self.call("Touch", token=token)

    def test_a_token_of_a_registry_that_is_gone_is_lost_unless_its_session_was_ended(self):
        kept = self.admit("anna", "x")
        ended = self.admit("otto", "y")
        self.call("Revoke", id=ended["session"]["id"])
        closed = self.admit("otto", "z")
        self.call("Close", APP, token=closed["token"])
        time.sleep(1.1)  # tokens are issued to the second
        self.daemon.kill()
        self.site.registry.unlink()  # as a reboot does
        self.start_daemon()
        self.assertEqual(self.assert_fails("NoSuchSession", "Touch", token=kept["token"]),
                         {"lost": True})
        self.assertEqual(self.assert_fails("NoSuchSession", "Touch", token=ended["token"]),
                         {"lost": False})
        self.assertEqual(self.assert_fails("NoSuchSession", "Touch", token=closed["token"]),
                         {"lost": False})
        self.admit("anna", "x")
        self.assertEqual(self.assert_fails("NoSuchSession", "Touch", token=kept["token"]),
                         {"lost": True})
        later = self.admit("emma", "z")
        self.call("Close", APP, token=later["token"])
        self.assertEqual(self.assert_fails("NoSuchSession", "Touch", token=later["token"]),
                         {"lost": False})
        noted = self.directory / f"{self.site.name}.ended"
        self.assertEqual(noted.stat().st_mode & 0o777, 0o600)
        lines = [line.split() for line in noted.read_text().splitlines()]
        self.assertEqual([(line[0], line[2]) for line in lines],
                         [(ended["session"]["id"], "revoked"), (closed["session"]["id"], "closed"),
                          (later["session"]["id"], "closed")])

    def test_a_registry_that_cannot_be_used_makes_no_token_lost(self):
        token = self.admit("anna", "x")["token"]
        self.daemon.kill()
        self.site.registry.write_bytes(b"nonsense")
        self.start_daemon()
        self.assertEqual(self.assert_fails("NoSuchSession", "Touch", token=token),
                         {"lost": False})

    def test_exempt_sessions_of_an_application_are_bounded(self):
        for number in range(100):
            self.admit("boss", f"d{number}", exempt=True)
        self.admit("boss", "d7", exempt=True)
        told = self.assert_fails("CannotDecide", "Admit", APP, site=self.site.name, service="shop",
                                 user="boss", device="more", exempt=True)
        self.assertIn("100 exempt sessions", told["reason"])
        # Others by the same key are other devices.
        self.assert_fails("CannotDecide", "Admit", APP, site=self.site.name, service="shop",
                          user="otto", device="d7", exempt=True)
        self.admit("anna", "x")

    def test_the_tool_lists_shows_and_revokes_it(self):
        session = self.admit("anna", "x", label="Firefox Linux")["session"]
        listed = self.tool("list")
        self.assertIn("Firefox Linux", listed.stdout)
        shown = self.tool("show", session["id"][:8])
        self.assertIn("pid            -", shown.stdout.replace(":", " "), shown.stdout)
        done = self.tool("revoke", session["id"][:8], "--reason", "stolen")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.seats(), 0)
        self.assertEqual(self.shown(session)["reason"], "stolen")


class ManualPage(ApplicationTest):

    def example(self):
        """Runs what sessregd(8) shows of Python."""
        page = (scene.HERE.parent.parent / "tools/sessregd/sessregd.8").read_text()
        program = "import json, socket\n" + page.split("import json, socket\n")[1].split(".Ed\n")[0]
        where = "/run/sessreg/sessregd.sock"
        self.assertEqual(program.count(where), 1)
        program = program.replace(r"\e", "\\").replace(where, str(self.socket_path))
        program = program.replace('"Admit", ', f'"Admit", site="{self.site.name}", ')
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              timeout=scene.HANG_S)

    def test_its_example_in_python_logs_in_and_out_and_tells_of_a_refusal(self):
        done = self.example()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        noted = (self.directory / f"{self.site.name}.ended")
        self.assert_soon(noted.exists)
        self.assertEqual(noted.read_text().split()[2], "closed")
        self.configure(sessions_limit=1)
        self.admit("otto", "y")
        done = self.example()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "There are more than 1 active user sessions. Please try again "
                                      "later.\n")
        self.configure("", sessions_limit="many")
        self.assertIn("Failed: ('CannotDecide'", self.example().stderr)


class OwnRegistry(unittest.TestCase):
    """A registry, a configuration and a daemon of an ordinary user's own."""

    def test_its_daemon_serves_that_user_as_root(self):
        folder = pathlib.Path("/run/home/alice/app")
        folder.mkdir()
        os.chown(folder, ALICE, ALICE)
        conf = folder / "site.conf"
        conf.write_text(f"registry = {folder}/site.reg\nkey_file = {folder}/site.key\n"
                        "sessions_limit = 1\n")
        os.chown(conf, ALICE, ALICE)
        socket_path = folder / "sock"

        def as_alice():
            os.setgroups([])
            os.setgid(ALICE)
            os.setuid(ALICE)
        log = open(folder / "log", "w")
        daemon = subprocess.Popen([os.environ["SESSREG_DAEMON"], "--foreground", "--socket",
                                   socket_path, "--site", "app", "--conf", conf],
                                  preexec_fn=as_alice, stdout=log, stderr=log)
        service = scene.LoginService()
        try:
            self.assertTrue(scene.wait_until(socket_path.exists), (folder / "log").read_text())

            def call(method, uid=ALICE, **parameters):
                with Client(service.connect(socket_path, uid)[0]) as client:
                    return client.call(method, **parameters)
            answer = call("Admit", site="app", service="web", user="anna", device="x")
            self.assertEqual(answer["session"]["user"], "anna")
            with self.assertRaises(CallFailed) as refused:
                call("Admit", site="app", service="web", user="otto", device="y")
            self.assertEqual(refused.exception.name, "Refused")
            call("Touch", token=answer["token"])
            self.assertEqual(len(call("List", site="app")["sessions"]), 1)
            self.assertEqual(call("List", BOB, site="app")["sessions"], [])
            with self.assertRaises(CallFailed) as denied:
                call("Admit", BOB, site="app", service="web", user="anna")
            self.assertEqual(denied.exception.name, "PermissionDenied")
            call("Revoke", id=answer["session"]["id"])
            self.assertEqual(call("List", site="app")["active"], 0)
        finally:
            daemon.terminate()
            daemon.wait(30)
            service.stop()
            log.close()


if __name__ == "__main__":
    scene.private_host.enter()
    scene.main()
