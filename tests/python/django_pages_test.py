#!/usr/bin/env python3
"""The pages, the admin and the commands of sessreg.contrib.django, by Django's test client.

usage: SESSREG_DAEMON=…/sessregd django_pages_test.py [TestClass[.test]]…
"""

import io
import json
import re
import sys
import time
import types
import unittest
from unittest import mock

import django_scene
from django_scene import Browser, User, WithSite, seats
from scene import wait_until

import django_project
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

# The same project, with its own pages alone.
sys.modules["no_pages"] = types.SimpleNamespace(
    urlpatterns=[each for each in django_project.urlpatterns if str(each.pattern) != "sessions/"])


def setUpModule():
    django_scene.make_project()


class Pages(WithSite):

    def list_of(self, browser):
        return browser.get("/sessions/").content.decode()

    def test_your_sessions_can_be_ended_but_for_this_one(self):
        self.configure()
        here, there, other = self.logged_in("anna"), self.logged_in("anna", "192.0.2.9"), self.logged_in("otto")
        page = self.list_of(here)
        self.assertEqual([text in page for text in ("192.0.2.1", "192.0.2.9", "This browser", "Firefox Linux", "otto")],
                         [True] * 4 + [False])
        self.assertNotIn(here.session[seats.KEY], page)
        by_host = {session.host: session.id for session in self.client().list("anna")}
        for id in self.session_of("otto").id, by_host["192.0.2.1"], "no id", "":
            here.post("/sessions/end/", {"id": id})
        self.assertEqual(len(self.client().list()), 3)
        self.assertEqual(here.post("/sessions/end/", {"id": by_host["192.0.2.9"]}).url, "/sessions/")
        self.says(there.get("/"), "you ended it from another browser", 403)
        self.assertNotIn("192.0.2.9", self.list_of(here))
        more = [self.logged_in("anna") for _ in range(3)]
        here.post("/sessions/end-others/")
        self.assertEqual([browser.get("/").status_code for browser in [here, other, *more]],
                         [200, 200, 403, 403, 403])

    def test_each_button_is_told_from_the_others_and_none_is_without_use(self):
        self.configure()
        here = self.logged_in("anna")
        self.assertNotIn("End all", self.list_of(here))
        for _ in range(2):
            self.logged_in("anna", "192.0.2.9")
        self.configure(sessions_limit=3)
        refused = Browser().log_in("anna").content.decode()
        for page, buttons in (self.list_of(here), 2), (refused, 3):
            named = re.findall(r'<button aria-describedby="(.*?)"', page)
            self.assertEqual((len(named), len(set(named))), (buttons, buttons))
            for id in named:
                self.assertRegex(page, f'<strong id="{id}">Firefox Linux at 192.0.2')
        self.assertIn("End all", self.list_of(here))

    def test_pages_that_do_something_are_posted_with_a_csrf_token_by_who_is_logged_in(self):
        careful = Browser(enforce_csrf_checks=True)
        careful.force_login(User.objects.get(username="anna"))
        for path in "end/", "end-others/", "take-over/", "here/":
            self.assertEqual(careful.post(f"/sessions/{path}").status_code, 403)
            self.assertEqual(careful.get(f"/sessions/{path}").status_code, 405)
            if path != "take-over/":
                self.assertIn("/login/", Browser().post(f"/sessions/{path}").url)

    def test_who_is_refused_may_end_an_own_session_and_continue(self):
        self.logged_in("otto"), self.logged_in("anna", "192.0.2.9")
        here = Browser(enforce_csrf_checks=True)
        form = here.get("/login/?next=/page/").content.decode()
        csrf = re.search(r'csrfmiddlewaretoken" value="(\w+)"', form)[1]
        page = here.post("/login/?next=/page/", {"username": "anna", "password": "secret",
                                                 "csrfmiddlewaretoken": csrf}).content.decode()
        self.assertEqual(here.user(), "nobody")
        [id] = re.findall(r'name="id" value="(.*?)"', page)
        csrf = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)[1]
        self.assertEqual(here.post("/sessions/take-over/", {"id": id}).status_code, 403)
        response = here.post("/sessions/take-over/", {"id": id, "csrfmiddlewaretoken": csrf})
        self.assertEqual(response.url, "/page/")
        self.assertEqual((here.user(), self.seats()), ("anna", 2))
        self.assertEqual([session.host for session in self.client().list("anna") if session.seat], ["192.0.2.1"])

    def refused(self):
        """A browser in which anna was refused, and the session that she may end."""
        here = Browser()
        self.assertEqual(here.log_in("anna").status_code, 503)
        return here, self.session_of("anna").id

    def test_what_was_not_offered_cannot_be_taken_over(self):
        self.configure(sessions_limit=2)
        there = self.logged_in("anna", "192.0.2.9")
        self.logged_in("otto")
        here, id = self.refused()
        for browser, wanted in (Browser(), id), (there, id), (here, self.session_of("otto").id), (here, id):
            self.says(browser.post("/sessions/take-over/", {"id": wanted}), "took too long, or was done", 403)
        user = User.objects.get(username="anna")
        for change in ({"password": "!"}, {"is_active": False}):
            here, id = self.refused()
            before = {name: getattr(user, name) for name in change}
            User.objects.filter(username="anna").update(**change)
            response = here.post("/sessions/take-over/", {"id": id})
            User.objects.filter(username="anna").update(**before)
            self.assertEqual(response.status_code, 403)
        here, id = self.refused()
        with mock.patch("sessreg.contrib.django.takeover.time.time", return_value=time.time() + 301):
            self.assertEqual(here.post("/sessions/take-over/", {"id": id}).status_code, 403)
        self.assertEqual(there.user(), "anna")

    def test_after_a_take_over_nobody_is_sent_elsewhere(self):
        self.configure(sessions_limit=1)
        self.logged_in("anna", "192.0.2.9")
        here = Browser()
        here.post("/login/?next=https://evil.example/", {"username": "anna", "password": "secret"})
        self.assertEqual(here.post("/sessions/take-over/", {"id": self.session_of("anna").id}).url, "/")

    def test_who_has_no_seat_may_end_another_session(self):
        self.configure(sessions_limit=2, idle_after="1s")
        away, there = self.logged_in("anna"), self.logged_in("anna", "192.0.2.9")
        other = Browser()
        self.assertTrue(wait_until(lambda: there.user() and other.log_in("otto").status_code == 302))
        self.says(away.get("/"), "/sessions/", 503)
        self.assertEqual(away.get("/sessions/").status_code, 200)
        away.post("/sessions/end-others/")
        self.assertEqual(away.user(), "anna")

    def test_the_warning_asks_without_use_and_tells_of_the_end(self):
        self.configure(idle_after="1h", session_ttl="2h")
        browser = self.logged_in("anna")
        self.assertIn('data-standing="/sessions/standing/"', browser.get("/page/").content.decode())
        self.assertNotIn("sessreg", Browser().get("/page/").content.decode())
        wait_until(lambda: self.session_of("anna").idle_seconds >= 1)
        told = browser.get("/sessions/standing/").json()
        self.assertEqual(told["what"], "seat")
        self.assertIn(told["seconds"], range(3000, 3600))
        self.assertGreaterEqual(self.session_of("anna").idle_seconds, 1)
        self.assertEqual(browser.post("/sessions/here/").status_code, 204)
        self.assertEqual(self.session_of("anna").idle_seconds, 0)
        self.client().revoke(self.session_of("anna").id, "lunch")
        # The reason is kept for a page that somebody sees.
        for path in "/sessions/standing/", "/poll/", "/page/":
            self.says(browser.get(path), "lunch", 403)
        self.assertEqual(browser.get("/sessions/standing/").status_code, 302)

    def test_without_a_daemon_the_pages_say_so(self):
        self.override(TIMEOUT=1)
        browser = self.logged_in("anna")
        self.kill_daemon()
        with self.assertLogs("sessreg.django"):
            self.says(browser.get("/sessions/"), "cannot be shown or ended", 503)
        self.assertEqual(browser.get("/sessions/standing/").json(), {"seconds": None, "what": None})

    def test_a_project_without_our_pages_is_offered_none(self):
        self.configure(sessions_limit=1)
        self.logged_in("anna")
        with override_settings(ROOT_URLCONF="no_pages"):
            self.assertNotIn("<form", Browser().log_in("anna").content.decode())


class Admin(WithSite):
    TABLE = "/admin/sessreg/usersession/"

    def setUp(self):
        super().setUp()
        self.configure()

    def staff(self, *permissions):
        user = User.objects.create_user("staff", password="secret", is_staff=True)
        self.addCleanup(user.delete)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        self.assertEqual(user.user_permissions.count(), len(permissions))
        return self.logged_in("staff", "192.0.2.50")

    def test_the_stalest_is_first_and_no_secret_is_shown(self):
        anna = self.logged_in("anna")
        wait_until(lambda: self.session_of("anna").idle_seconds >= 1)
        self.logged_in("otto", "192.0.2.7")
        wait_until(lambda: self.session_of("otto").idle_seconds >= 1)
        staff = self.staff("view_usersession")
        page = staff.get(self.TABLE).content.decode()
        self.assertEqual(re.findall(r"<td>(anna|otto|staff)</td>", page), ["anna", "otto", "staff"])
        for secret in anna.session[seats.KEY], anna.session.session_key:
            self.assertNotIn(secret, page)
        self.assertNotIn('type="checkbox"', page)
        for query, found in (("user=otto", ["otto"]), ("state=parked", []), ("state=active&user=anna", ["anna"]),
                             ("unused=3600", []), ("unused=x&state=", ["anna", "otto", "staff"])):
            page = staff.get(f"{self.TABLE}?{query}").content.decode()
            self.assertEqual(re.findall(r"<td>(anna|otto|staff)</td>", page), found)
        with mock.patch.dict("sessreg.contrib.django.admin.UNUSED", {"1": "a second"}):
            staff.get("/admin/")
            page = staff.get(f"{self.TABLE}?unused=1").content.decode()
        self.assertEqual(re.findall(r"<td>(anna|otto|staff)</td>", page)[:2], ["anna", "otto"])
        self.assertEqual(staff.post(self.TABLE, {"id": self.session_of("otto").id}).status_code, 403)
        self.assertIn("User sessions", staff.get("/admin/").content.decode())

    def test_sessions_are_ended_with_a_reason_and_a_log_entry_but_never_the_own_one(self):
        anna, otto, emma = (self.logged_in(name) for name in ("anna", "otto", "emma"))
        staff = self.staff("view_usersession", "delete_usersession")
        page = staff.get(self.TABLE).content.decode()
        ids = {name: self.session_of(name).id for name in ("anna", "otto", "staff")}
        self.assertEqual([id in page for id in ids.values()], [True, True, False])
        staff.post(self.TABLE, {"id": [*ids.values(), "no id"], "reason": " <b>stolen</b> "})
        for browser in anna, otto:
            self.says(browser.get("/"), "<b>stolen</b>", 403)
        self.assertEqual((emma.user(), staff.user()), ("emma", "staff"))
        entries = LogEntry.objects.filter(object_id__in=ids.values())
        self.assertEqual(sorted((entry.object_repr, entry.change_message, entry.user.username) for entry in entries),
                         [(f"{name} at 192.0.2.1", "Ended: <b>stolen</b>", "staff") for name in ("anna", "otto")])
        self.assertIn("2 sessions were ended.", staff.get(self.TABLE).content.decode())
        self.assertEqual(staff.get("/admin/").status_code, 200)  # which shows the entries

    def test_it_is_for_those_who_may(self):
        staff = self.staff()
        self.assertEqual(staff.get(self.TABLE).status_code, 403)
        self.assertEqual(staff.post(self.TABLE).status_code, 403)
        self.assertEqual(self.logged_in("anna").get(self.TABLE).status_code, 302)
        boss = self.logged_in("boss")
        self.assertEqual(boss.get(self.TABLE).status_code, 200)
        for path in "add/", "1/change/", "1/delete/":
            self.assertEqual(boss.get(self.TABLE + path).status_code, 404)
        self.override(TIMEOUT=1)
        self.kill_daemon()
        self.says(boss.get(self.TABLE), "Nobody listens on", 200)

    def test_a_user_who_was_deleted_is_listed_and_ended(self):
        gone = User.objects.create_user("gone", password="secret")
        self.logged_in("gone")
        gone.delete()
        boss = self.logged_in("boss", "192.0.2.50")
        self.assertIn("<td>gone</td>", boss.get(self.TABLE).content.decode())
        boss.post(self.TABLE, {"id": self.session_of("gone").id})
        self.assertEqual(self.seats(), 0)

    def test_its_model_needs_no_further_migration(self):
        call_command("makemigrations", "sessreg", check=True, dry_run=True, verbosity=0)
        self.assertNotIn("sessreg_usersession", connection.introspection.table_names())


class Commands(WithSite):

    def said(self, *arguments):
        out = io.StringIO()
        try:
            call_command(*arguments, stdout=out)
        finally:
            self.last = out.getvalue()
        return self.last

    def test_sessions_are_listed_without_secrets(self):
        browser = self.logged_in("anna")
        wait_until(lambda: self.session_of("anna").idle_seconds >= 1)
        self.logged_in("otto", "192.0.2.7")
        lines = self.said("sessreg_list").splitlines()
        self.assertEqual([line.split()[1:3] for line in lines[:3]],
                         [["user", "host"], ["anna", "192.0.2.1"], ["otto", "192.0.2.7"]])
        self.assertEqual(lines[3:], ["2 seats taken, of 2"])
        [row] = json.loads(self.said("sessreg_list", "--user", "otto", "--json"))
        self.assertEqual((row["user"], row["id"], row["device"]), ("otto", self.session_of("otto").id, "Firefox Linux"))
        self.assertNotIn(browser.session[seats.KEY], self.said("sessreg_list") + self.said("sessreg_list", "--json"))

    def test_sessions_are_ended_with_a_reason(self):
        self.configure()
        anna, otto, emma = (self.logged_in(name) for name in ("anna", "otto", "emma"))
        self.assertEqual(self.said("sessreg_end", self.session_of("anna").id, "--reason", "closing time"), "1 ended\n")
        self.says(anna.get("/"), "closing time", 403)
        self.assertEqual(self.said("sessreg_end", "--user", "otto"), "1 ended\n")
        self.assertEqual((otto.get("/").status_code, emma.user()), (403, "emma"))
        for wrong, why in (((), "--user"), (("x", "--user", "emma"), "--user"), (("no\nid",), r"no\\x0aid|cannot be")):
            with self.assertRaisesRegex(CommandError, why):
                self.said("sessreg_end", *wrong)
        self.assertEqual(emma.user(), "emma")

    def test_a_setup_is_checked(self):
        self.assertEqual(self.said("sessreg_check"), "site t: 0 seats taken, limit 2\n")
        self.configure()
        self.assertIn("nobody is ever refused", self.said("sessreg_check"))
        self.override(SERVCE="x")
        with self.assertRaisesRegex(CommandError, "1 to mend"):
            self.said("sessreg_check")
        self.assertIn("Did you mean 'SERVICE'?", self.last)
        self.override(TIMEOUT=1)
        self.kill_daemon()
        for command in ("sessreg_list",), ("sessreg_end", "--user", "anna"), ("sessreg_check",):
            with self.assertRaises(CommandError):
                self.said(*command)


if __name__ == "__main__":
    unittest.main(verbosity=2)
