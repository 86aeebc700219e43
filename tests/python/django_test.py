#!/usr/bin/env python3
"""sessreg.contrib.django against a real sessregd: by Django's test client, and in workers of gunicorn.

usage: SESSREG_DAEMON=…/sessregd django_test.py [TestClass[.test]]…
"""

import concurrent.futures
import json
import os
import shutil
import time
import unittest

import django_scene
from django_scene import FULL, PATH, PROJECT, Browser, User, WithSite, seats
from scene import HANG_S, NOBODY, wait_until
from wsgi_test import GUNICORN, WithServer, get

import django_project
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import checks
from django.test import override_settings
from sessreg.contrib.django import errors


def setUpModule():
    django_scene.make_project()


class Login(WithSite):

    def test_the_limit_is_told_behind_the_password_alone(self):
        self.logged_in("anna"), self.logged_in("otto")
        third = Browser()
        response = third.log_in("emma", "wrong")
        self.assertEqual(response.status_code, 200)
        self.assertNotIn("active user sessions", response.content.decode())
        response = third.log_in("emma")
        self.says(response, FULL, 503)
        self.assertEqual(response["Retry-After"], "30")
        self.assertIn("no-store", response["Cache-Control"])
        self.assertNotIn("sessionid", third.cookies)
        self.assertEqual(third.user(), "nobody")

    def test_a_program_gets_plain_text(self):
        self.configure(sessions_limit=1)
        self.logged_in("otto")
        response = Browser(HTTP_ACCEPT="application/json").log_in("anna")
        self.assertEqual(response["Content-Type"], "text/plain; charset=utf-8")
        self.assertIn("There are more than 1", response.content.decode())

    def test_a_message_is_no_markup(self):
        self.configure(sessions_limit=1, message_site_full="<script>&")
        self.logged_in("otto")
        self.assertIn("&lt;script&gt;&amp;", Browser().log_in("anna").content.decode())

    def test_drain_lets_nobody_in_and_unlimited_everybody(self):
        self.configure(sessions_limit=0)
        self.says(Browser().log_in("anna"), "No new logins are admitted at the moment.", 503)
        self.configure(sessions_limit="unlimited")
        for user in "anna", "otto", "emma", "ida":
            self.logged_in(user)
        # Who is in may stay.
        self.configure(sessions_limit=0)
        here = self.logged_in("boss")
        self.says(Browser().log_in("anna"), "No new logins are admitted at the moment.", 503)
        self.assertEqual((here.user(), self.seats()), ("boss", 4))

    def test_rows_of_the_sessions_table_are_no_seats(self):
        self.configure(sessions_limit=1)
        for _ in range(3):  # visitors who have a session, such as a basket, and sessions that were left behind
            visitor = SessionStore()
            visitor["basket"] = 1
            visitor.save()
        anna = self.logged_in("anna")
        self.client().revoke(self.session_of("anna").id)
        self.assertTrue(Session.objects.filter(session_key=anna.session.session_key).exists())
        self.logged_in("otto")
        self.assertEqual(self.seats(), 1)

    def test_every_way_to_log_in_is_counted(self):
        self.configure(sessions_limit=1)
        self.assertEqual(Browser().get("/enter/?user=anna").content, b"entered")
        self.assertEqual(self.seats(), 1)
        self.says(Browser().get("/enter/?user=otto"), "There are more than 1", 503)
        with self.assertRaises(errors.LoginRefused):
            Browser().force_login(User.objects.get(username="emma"))
        User.objects.filter(username="ida").update(is_staff=True)
        self.says(Browser().post("/admin/login/", {"username": "ida", "password": "secret"}),
                  "There are more than 1", 503)

    def test_a_superuser_gets_in_uncounted(self):
        self.configure(sessions_limit=1)
        self.logged_in("anna"), self.logged_in("boss")
        self.assertEqual((self.seats(), self.session_of("boss").state), (1, "exempt"))
        self.override(EXEMPT=None)
        self.assertEqual(Browser().log_in("boss").status_code, 503)
        self.override(EXEMPT=lambda user: user.username == "otto")
        self.logged_in("otto")

    def test_what_is_told_of_a_browser(self):
        self.logged_in("anna", "2001:db8::7")
        session = self.session_of("anna")
        self.assertEqual((session.host, session.label, session.service), ("2001:db8::7", "Firefox Linux", "shop"))
        Browser("192.0.2.8", HTTP_X_FORWARDED_FOR="203.0.113.9").log_in("emma")  # whatever the client wrote
        self.assertEqual(self.session_of("emma").host, "192.0.2.8")
        self.client().revoke(self.session_of("emma").id)
        self.override(CLIENT_ADDRESS=lambda request: request.META["HTTP_X_REAL"])
        Browser(HTTP_X_REAL="198.51.100.3").log_in("otto")
        self.assertEqual(self.session_of("otto").host, "198.51.100.3")
        # No way around the limit, whatever ON_ERROR says.
        self.override(CLIENT_ADDRESS=lambda request: "a\nb", ON_ERROR="allow")
        with self.assertLogs("sessreg.django", "WARNING"):
            self.says(Browser().log_in("emma"), "cannot be one", 503)

    def test_logging_out_frees_the_seat(self):
        browser = self.logged_in("anna")
        self.assertEqual(self.seats(), 1)
        browser.post("/logout/")
        self.assertEqual((self.seats(), len(self.client().list())), (0, 0))

    def test_one_browser_has_one_session_however_often_it_comes_back(self):
        browser = self.logged_in("anna")
        for _ in range(3):
            browser.close_window()
            self.assertEqual(browser.user(), "nobody")
            self.assertEqual(browser.log_in("anna").status_code, 302)
            self.assertEqual((self.seats(), browser.user()), (1, "anna"))
        cookie = browser.cookies["sessreg_device"]
        self.assertTrue(cookie["httponly"])
        self.assertEqual((cookie["samesite"], cookie["max-age"], cookie["secure"]), ("Lax", 63072000, ""))
        self.logged_in("anna")
        self.assertEqual(self.seats(), 2)

    def test_a_device_cookie_that_is_not_ours_is_none(self):
        browser = self.logged_in("anna")
        browser.close_window()
        browser.cookies["sessreg_device"] = "x" + browser.cookies["sessreg_device"].value
        browser.log_in("anna")
        self.assertEqual(self.seats(), 2)
        with override_settings(SESSION_COOKIE_SECURE=True):
            fresh = Browser()
            fresh.log_in("otto")
            self.assertTrue(fresh.cookies["sessreg_device"]["secure"])

    def test_a_browser_may_be_named_otherwise(self):
        self.override(DEVICE=lambda request: "kiosk")
        self.logged_in("anna"), self.logged_in("anna")
        self.assertEqual(self.seats(), 1)
        self.override(DEVICE=None)
        browser = self.logged_in("otto")
        self.assertNotIn("sessreg_device", browser.cookies)
        browser.log_in("otto")  # in the same Django session
        self.assertEqual(self.seats(), 2)

    def test_who_logs_in_in_place_of_another_has_that_seat(self):
        self.configure(sessions_limit=1)
        browser = self.logged_in("anna")
        self.assertEqual(browser.log_in("otto").status_code, 302)
        self.assertEqual([session.user for session in self.client().list()], ["otto"])

    def test_a_changed_password_frees_the_seats_of_other_browsers(self):
        user = User.objects.create_user("once", password="secret")
        self.addCleanup(user.delete)
        browser = self.logged_in("once")
        user.set_password("new")
        user.save()
        self.assertEqual(browser.user(), "nobody")
        self.assertEqual(self.seats(), 0)

    def test_a_seat_does_not_outlive_its_cookie(self):
        with override_settings(SESSION_COOKIE_AGE=90):
            browser = self.logged_in("anna")
        token = browser.session[seats.KEY]
        self.assertIn(self.client().touch(token, passive=True).expires_in, range(1, 91))


class Requests(WithSite):

    def test_who_was_revoked_is_told_why_at_the_next_request(self):
        browser = self.logged_in("anna")
        self.client().revoke(self.session_of("anna").id, "<gestohlen> ünïcode")
        self.assertEqual(self.seats(), 0)
        response = browser.get("/?page=2")
        self.says(response, "Your session was ended: <gestohlen> ünïcode", 403)
        self.assertIn("/login/?next=%2F%3Fpage%3D2", response.content.decode())
        self.assertEqual(browser.user(), "nobody")
        self.assertEqual(len(self.client().list()), 0)

    def test_two_weeks_begin_anew_with_each_request_for_the_seat_and_the_cookie(self):
        two_weeks = 14 * 86400
        browser = self.logged_in("anna")
        left = lambda: self.client().touch(browser.session[seats.KEY], passive=True).expires_in  # noqa: E731
        self.assertLessEqual(left(), two_weeks)
        self.assertTrue(wait_until(lambda: left() < two_weeks - 1))
        self.assertTrue(wait_until(lambda: browser.get("/") and left() >= two_weeks - 1))
        self.assertNotIn("sessionid", browser.get("/").cookies)
        with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
            self.assertEqual(browser.get("/").cookies["sessionid"]["max-age"], two_weeks)

    def test_times_above_a_day_are_whole(self):
        self.configure(user_sessions_limit=1, user_limit_policy="lock_then_evict", user_lock="25h",
                       session_lifetime="49h")
        self.logged_in("anna")
        self.assertIn(int(Browser().log_in("anna")["Retry-After"]), range(24 * 3600, 25 * 3600 + 1))
        session = self.session_of("anna")
        self.assertAlmostEqual((session.expires - session.opened).total_seconds(), 49 * 3600, delta=2)

    def test_who_is_out_of_time_is_told(self):
        for keys in ({"session_lifetime": "1s"}, {"session_ttl": "1s"}):
            with self.subTest(keys):
                self.configure(**keys)
                browser = self.logged_in("anna")
                # The daemon ends it: nobody clicks, and nothing has to be cleared from Django's table.
                self.assertTrue(wait_until(lambda: len(self.client().list()) == 0))
                self.assertTrue(wait_until(lambda: self.seats() == 0))
                self.assertRegex(browser.get("/").content.decode(), "Your session is (out of time|over)")
                self.assertEqual(browser.user(), "nobody")

    def test_two_of_one_user_and_both_are_told(self):
        self.configure(user_sessions_limit=1, user_limit_policy="lock_then_evict", user_lock="2s")
        first, second = self.logged_in("anna"), Browser()
        response = second.log_in("anna")
        self.assertEqual(response.status_code, 503)
        self.assertIn(int(response["Retry-After"]), (1, 2))
        self.assertEqual(first.user(), "anna")
        self.assertEqual(wait_until(lambda: second.log_in("anna").status_code == 302), True)
        self.says(first.get("/"), "a newer login of the same user took its place", 403)
        self.assertEqual(second.user(), "anna")

    def test_who_was_away_yields_the_seat_and_comes_back(self):
        self.configure(sessions_limit=1, idle_after="1s")
        away = self.logged_in("anna")
        other = Browser()
        self.assertTrue(wait_until(lambda: other.log_in("otto").status_code == 302))
        response = away.get("/")
        self.says(response, "There are more than 1", 503)
        self.says(response, "You are still logged in.", 503)
        self.assertIn("Retry-After", response)
        self.assertEqual(away.get("/poll/").status_code, 503)
        other.post("/logout/")
        self.assertEqual(away.user(), "anna")
        self.assertEqual(self.seats(), 1)

    def test_who_was_away_can_log_out(self):
        self.configure(sessions_limit=1, idle_after="1s")
        away = self.logged_in("anna")
        self.assertTrue(wait_until(lambda: Browser().log_in("otto").status_code == 302))
        self.assertEqual(away.post("/logout/").status_code, 302)
        self.assertEqual([session.user for session in self.client().list()], ["otto"])

    def test_what_is_passive_is_no_use(self):
        self.configure(idle_after="1h")
        self.override(PASSIVE_PATHS=["/polls"])
        browser = self.logged_in("anna")
        idle = lambda: self.session_of("anna").idle_seconds  # noqa: E731
        wait_until(lambda: idle() >= 1)
        for ask in (lambda: browser.get("/poll/"), lambda: browser.get("/polls/"),
                    lambda: browser.get("/", HTTP_X_SESSREG_PASSIVE="1")):
            self.assertEqual(ask().status_code, 200)
            self.assertGreaterEqual(idle(), 1)
        browser.get("/")
        self.assertEqual(idle(), 0)

    def lose_the_registry(self):
        time.sleep(1.1)  # the token's time has whole seconds
        self.kill_daemon()
        (self.folder / "t.reg").unlink()
        self.start_daemon()

    def test_after_a_reboot_who_comes_first_has_the_seats(self):
        self.configure(sessions_limit=1)
        browser = self.logged_in("anna")
        self.lose_the_registry()
        other = self.logged_in("otto")
        self.says(browser.get("/"), "There are more than 1", 503)
        other.post("/logout/")
        self.assertEqual((browser.user(), self.seats()), ("anna", 1))
        self.override(ON_LOST="login")
        self.lose_the_registry()
        self.says(browser.get("/"), "lost", 403)
        self.assertEqual(browser.user(), "nobody")

    def test_without_a_daemon_who_is_in_stays(self):
        self.override(TIMEOUT=1)
        browser = self.logged_in("anna")
        self.kill_daemon()
        seats.trouble = seats._OnceAMinute()
        with self.assertLogs("sessreg.django", "WARNING") as logged:
            for _ in range(3):
                self.assertEqual(browser.user(), "anna")
        self.assertEqual(len(logged.records), 1)
        with self.assertLogs("sessreg.django", "ERROR"):
            self.says(Browser().log_in("otto"), "cannot be told", 503)
            Browser().log_in("boss")  # who may mend it
        self.override(TIMEOUT=1, ON_ERROR="allow")
        with self.assertLogs("sessreg.django", "ERROR"):
            otto = self.logged_in("otto")
            self.assertEqual(otto.user(), "otto")
        # Whoever came in without a seat needs one as soon as that can be told.
        self.start_daemon()
        self.configure(sessions_limit=1)
        self.assertEqual(browser.user(), "anna")
        self.says(otto.get("/"), "There are more than 1", 503)
        browser.post("/logout/")
        self.assertEqual((otto.user(), self.seats()), ("otto", 1))

    def test_who_was_logged_in_before_there_was_a_limit_needs_a_seat(self):
        browser = self.logged_in("anna")
        session = browser.session
        self.client().close(session.pop(seats.KEY))
        session.save()
        self.assertEqual((browser.user(), self.seats()), ("anna", 1))

    def test_who_is_nobody_costs_nothing(self):
        self.kill_daemon()
        response = Browser().get("/")
        self.assertEqual((response.content, response.cookies), (b"nobody", {}))


class Failures(WithSite):

    def setUp(self):
        super().setUp()
        self.configure(max_failed_auth_per_host=3, blacklist_time="1h")

    def test_an_address_that_failed_is_shut_out_in_the_same_words_for_every_password(self):
        browser = Browser("192.0.2.66")
        for _ in range(2):
            self.assertEqual(browser.log_in("anna", "wrong").status_code, 200)
        answers = {(response.status_code, response.content.split(b"<main>")[1], response["Retry-After"])
                   for response in (browser.log_in("anna", "wrong"), browser.log_in("anna"),
                                    browser.log_in("nobody", "wrong"), browser.get("/enter/?user=anna"))}
        shown = {content.split(b"<p role")[1].split(b"</p>")[0] for _, content, _ in answers}
        self.assertEqual(len(shown), 1, shown)
        self.assertEqual({(status, retry) for status, _, retry in answers}, {(503, "3600")})
        self.assertEqual(self.seats(), 0)
        self.logged_in("anna", "192.0.2.67")

    def test_a_program_without_a_request_is_at_no_address(self):
        from django.contrib.auth import authenticate
        for _ in range(5):
            self.assertIsNone(authenticate(username="anna", password="wrong"))


class Checks(WithSite):

    def found(self):
        return {message.id: message for message in checks.run_checks() if message.id.startswith("sessreg.")}

    def test_all_is_well(self):
        self.assertEqual(self.found(), {})

    def test_middleware_at_the_wrong_place(self):
        right = list(django_project.MIDDLEWARE)
        ours = right.pop(4)
        for middleware, number in ((right, "E002"), ([ours, *right], "E003"), ([*right, ours], "W001")):
            with override_settings(MIDDLEWARE=middleware):
                [message] = self.found().values()
                self.assertEqual(message.id, f"sessreg.{number}")
                self.assertIn("directly behind", message.hint)

    def test_settings_that_cannot_be(self):
        for setting, what in (({"SERVCE": "x"}, "Did you mean 'SERVICE'?"), ({"ON_ERROR": "no"}, "'deny' or 'allow'"),
                              ({"ON_LOST": 1}, "'readmit'"), ({"CLIENT_ADDRESS": "no.such"}, "path of one"),
                              ({"DEVICE": 3}, "'cookie'"), ({"EXEMPT": "staff"}, "'superusers'"),
                              ({"PASSIVE_PATHS": "/a"}, "list"), ({"PASSIVE_PATHS": ["a"]}, "list"),
                              ({"TIMEOUT": 0}, "above 0"), ({"SERVICE": ""}, "service"),
                              ({"EMBEDDED": 3}, "sessions_limit"), ({"EMBEDDED": {}}, "Leave out SOCKET"),
                              ({"EMBEDDED": {"registry": "x"}, "SOCKET": None}, "leave it out")):
            with self.subTest(setting):
                self.override(**setting)
                said = " ".join(f"{message.msg} {message.hint}" for message in self.found().values())
                self.assertIn(what, said)
        with override_settings(SESSREG=3):
            self.assertIn("sessreg.E001", self.found())

    def test_a_daemon_that_is_not_there_is_a_warning(self):
        self.override(SOCKET=str(self.folder / "none"))
        self.assertIn("sessreg.W002", self.found())

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_a_user_who_is_no_client_is_a_warning(self):
        said = self.run_python("import django_project; from django.core import checks\n"
                               "print([message.id for message in checks.run_checks()])",
                               PYTHONPATH=PATH, DJANGO_FOLDER="/nowhere",
                               DJANGO_SESSREG=json.dumps({"SITE": "t", "SOCKET": str(self.socket_path)}),
                               uid=NOBODY)
        self.assertIn("sessreg.W003", said)


@unittest.skipUnless(GUNICORN, "there is no gunicorn")
class Workers(WithServer):
    """Django in gunicorn, with a site of its own."""

    def start_workers(self, *options, uid=None, **keys):
        tree = self.folder / "project"
        tree.mkdir()
        shutil.copy(PROJECT / "db", tree / "db")
        if uid is not None:
            options = (*options, "--user", uid, "--group", uid)
            for path in tree, tree / "db":
                os.chown(path, uid, uid)
        environ = {
            "PYTHONPATH": PATH, "DJANGO_FOLDER": str(tree),
            "DJANGO_SESSREG": json.dumps({"EMBEDDED": keys, "TIMEOUT": HANG_S,
                                          "CLIENT_ADDRESS": "django_project.address"})}
        self.start_gunicorn("django_project:application", "--threads", 2, "--timeout", HANG_S, *options,
                            **environ)

    def log_in(self, user, password="secret", **headers):
        """Status of the answer, and the session's cookie."""
        _, sent, _ = get(self.web, "/login/")
        csrf = sent["Set-Cookie"].split(";")[0]
        form = f"username={user}&password={password}&csrfmiddlewaretoken={csrf.split('=')[1]}"
        status, sent, _ = get(self.web, "/login/", "POST", form, Cookie=csrf,
                              Content_Type="application/x-www-form-urlencoded", **headers)
        cookies = [value.split(";")[0] for value in sent.get_all("Set-Cookie", [])]
        return status, next((cookie for cookie in cookies if cookie.startswith("sessionid=")), None)

    def test_racing_logins_never_exceed_the_limit_while_workers_come_and_go(self):
        self.start_workers("--max-requests", 12, **({"uid": NOBODY} if os.geteuid() == 0 else {}), sessions_limit=3)
        users = ["anna", "otto", "emma"] * 6
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(self.log_in, users))
            self.assertEqual(sorted(status for status, _ in answers), [302] * 3 + [503] * 15)
            cookies = [cookie for status, cookie in answers if status == 302]
            for texts in pool.map(lambda cookie: {get(self.web, Cookie=cookie)[2] for _ in range(10)}, cookies):
                self.assertEqual(len(texts), 1)
                self.assertLessEqual(texts, {"anna", "otto", "emma"})
        self.assertEqual(self.log_in("anna")[0], 503)

    def test_failed_logins_are_counted_by_all_workers_together(self):
        self.start_workers(max_failed_auth_per_host=3, blacklist_time="1h", sessions_limit=10)
        for address in "192.0.2.1", "192.0.2.2":
            self.assertEqual([self.log_in("anna", "wrong", X_Real_IP=address)[0] for _ in range(3)], [200, 200, 503])
            # Whichever worker is asked.
            self.assertEqual({self.log_in("anna", X_Real_IP=address)[0] for _ in range(9)}, {503})
        self.assertEqual(self.log_in("anna", X_Real_IP="192.0.2.3")[0], 302)


if __name__ == "__main__":
    unittest.main(verbosity=2)
