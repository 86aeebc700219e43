"""Browsers of Django's test client at the project of django_project.py, with a real sessregd."""

import html
import importlib.util
import logging
import os
import pathlib
import sys
import tempfile

from scene import HANG_S, LIBRARY, WithDaemon

if not importlib.util.find_spec("django"):
    print("there is no python3-django")
    sys.exit(77)

_made = tempfile.TemporaryDirectory(prefix="srdj")
PROJECT = pathlib.Path(_made.name)
PATH = f"{LIBRARY}:{pathlib.Path(__file__).parent}"
os.environ["DJANGO_FOLDER"] = str(PROJECT)

import django_project  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402
from sessreg.contrib.django import seats  # noqa: E402

User = django_project.User
# Its own log lines would stand between those of the tests.
seats.log.addHandler(logging.NullHandler())
seats.log.propagate = False
FULL = "There are more than 2 active user sessions. Please try again later."


def make_project():
    setup_test_environment()
    call_command("migrate", verbosity=0)
    for name in "anna", "otto", "emma", "ida":
        User.objects.create_user(name, password="secret")
    User.objects.create_superuser("boss", password="secret")


class Browser(Client):
    """Keeps its cookies, and has an address of its own."""

    def __init__(self, address="192.0.2.1", **more):
        super().__init__(REMOTE_ADDR=address, HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64) Firefox/115.0",
                         **more)

    def log_in(self, user, password="secret"):
        return self.post("/login/", {"username": user, "password": password})

    def user(self):
        return self.get("/").content.decode()

    def close_window(self):
        """Without logging out."""
        self.cookies.pop("sessionid")


class WithSite(WithDaemon):
    SETTING = {}

    def setUp(self):
        super().setUp()
        self.override(**self.SETTING)

    def override(self, **more):
        changed = override_settings(SESSREG={"SITE": "t", "SOCKET": str(self.socket_path), "SERVICE": "shop",
                                             "TIMEOUT": HANG_S, **more})
        changed.enable()
        self.addCleanup(changed.disable)

    def logged_in(self, user, address="192.0.2.1"):
        browser = Browser(address)
        self.assertEqual(browser.log_in(user).status_code, 302)
        return browser

    def says(self, response, text, status):
        self.assertEqual(response.status_code, status)
        self.assertIn(text, html.unescape(response.content.decode()))

    def session_of(self, user):
        [found] = self.client().list(user)
        return found
