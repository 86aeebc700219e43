#!/usr/bin/env python3
"""The catalogs of sessreg.contrib.django: whole, compiled, right in their plurals, and used.

usage: SESSREG_DAEMON=…/sessregd django_languages_test.py [TestClass[.test]]…
"""

import gettext
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import django_scene
from django_scene import Browser, WithSite
from scene import HANG_S, LIBRARY, Folder, environment, sessreg

import django
import django_project
from django.test import override_settings
from django.utils.translation import override
from sessreg.contrib.django import errors, texts

APP = LIBRARY / "sessreg" / "contrib" / "django"
LANGUAGES = ("de", "et", "fr")
GETTEXT = shutil.which("xgettext") and shutil.which("msgfmt")
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}|<[^>]+>")


def setUpModule():
    django_scene.make_project()


def texts_of(path):
    """Text, or text and number of the plural form, to its translation."""
    with open(path, "rb") as file:
        return gettext.GNUTranslations(file)._catalog


def catalog(language, app=APP):
    return app / "locale" / language / "LC_MESSAGES" / "django.mo"


class Name(int):
    """A number that is shown by its name."""

    def __new__(cls, name):
        return super().__new__(cls, 2)

    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name


class Catalogs(Folder):

    def test_they_are_all_that_there_are(self):
        self.assertEqual(sorted(path.name for path in (APP / "locale").iterdir()), list(LANGUAGES))

    @unittest.skipUnless(GETTEXT, "there is no gettext")
    def test_every_text_of_the_app_is_translated_and_nothing_else(self):
        app = self.folder / "app"
        shutil.copytree(APP, app)
        subprocess.run([sys.executable, "-m", "django", "makemessages", "--all", "--no-location"], cwd=app, check=True,
                       timeout=HANG_S, stdout=subprocess.DEVNULL, env=environment())
        for language in LANGUAGES:
            with self.subTest(language):
                found = catalog(language, app).with_suffix(".po")
                self.assertNotIn("#~", found.read_text())  # what is gone from the sources
                done = subprocess.run(["msgfmt", "--check-format", "--check-domain", "--statistics", "-o",
                                       self.folder / "mo", found], capture_output=True, text=True, timeout=HANG_S)
                self.assertRegex(done.stderr, r"\A\d+ translated messages\.\n\Z")

    @unittest.skipUnless(GETTEXT, "there is no gettext")
    def test_what_is_compiled_is_what_is_written(self):
        for language in LANGUAGES:
            with self.subTest(language):
                subprocess.run(["msgfmt", "-o", self.folder / "mo", catalog(language).with_suffix(".po")], check=True,
                               timeout=HANG_S)
                self.assertEqual(texts_of(self.folder / "mo"), texts_of(catalog(language)))

    def test_placeholders_and_markup_agree(self):
        for language in LANGUAGES:
            for key, translation in texts_of(catalog(language)).items():
                text = key[0] if isinstance(key, tuple) else key
                with self.subTest(language, text=text):
                    if text:  # and not the header
                        self.assertEqual(sorted(PLACEHOLDER.findall(translation)), sorted(PLACEHOLDER.findall(text)))

    def test_each_number_has_the_form_of_its_language(self):
        ended = {"de": ("Sitzung wurde", "Sitzungen wurden"), "et": ("seanss", "seanssi"),
                 "fr": ("session a", "sessions ont")}
        for language, singulars in (("de", [1]), ("et", [1]), ("fr", [0, 1])):
            for number in 0, 1, 2, 5, 11, 21, 101:
                with self.subTest(language, number=number), override(language):
                    told = django.utils.translation.ngettext(
                        "%(count)s session was ended.", "%(count)s sessions were ended.", number)
                    self.assertIn(f"%(count)s {ended[language][number not in singulars]} ", told)

    def test_the_words_of_django_stay_its_own(self):
        for language in LANGUAGES:
            ours = texts_of(catalog(language))
            folder = pathlib.Path(django.__file__).parent
            for app in folder / "conf", *(folder / "contrib" / name for name in ("admin", "auth", "sessions")):
                theirs = texts_of(catalog(language, app))
                self.assertEqual({text for text in ours.keys() & theirs.keys() if text}, set())

    def test_what_sessregd_says_is_known_in_its_words(self):
        root = LIBRARY.parents[1]
        said = "".join((root / path).read_text() for path in ("lib/config/config_keys.cc", "lib/session/send_off.cc"))
        said = re.sub(r'"\s*"', "", said)
        with override(None):
            for message in texts._REFUSALS.values():
                self.assertIn('"%s"' % (message % {"limit": Name("{limit}"), "seconds": Name("{seconds}")}), said)
            for reason in texts._REASONS.keys() - {texts.ENDED_BY_USER}:
                self.assertIn(f'"{reason}"', said)


class Pages(WithSite):

    def setUp(self):
        super().setUp()
        middleware = list(django_project.MIDDLEWARE)
        middleware.insert(1, "django.middleware.locale.LocaleMiddleware")
        changed = override_settings(MIDDLEWARE=middleware)
        changed.enable()
        self.addCleanup(changed.disable)

    def test_who_is_refused_is_told_in_the_language_of_the_browser(self):
        self.configure(sessions_limit=1)
        self.logged_in("anna")
        for language, text in (("de", "Es gibt mehr als 1 aktive Benutzersitzung."), ("en", "There are more than 1 active"),
                               ("et", "Aktiivseid seansse on rohkem kui 1."), ("fr", "Il y a plus de 1 session active."),
                               ("de-AT", "Es gibt mehr als 1 aktive Benutzersitzung.")):
            with self.subTest(language):
                response = Browser(HTTP_ACCEPT_LANGUAGE=language).log_in("anna")
                self.says(response, text, 503)
                self.assertIn(f'<html lang="{language[:2]}">', response.content.decode())
        self.says(Browser(HTTP_ACCEPT_LANGUAGE="de").log_in("anna"), "Diese beenden und weiter", 503)
        self.configure(sessions_limit=1, message_site_full="Full. Call 4711.")
        self.says(Browser(HTTP_ACCEPT_LANGUAGE="de").log_in("anna"), "Full. Call 4711.", 503)

    def test_reasons_of_our_own_are_translated_and_those_of_people_are_not(self):
        here, there = (Browser(HTTP_ACCEPT_LANGUAGE="de") for _ in range(2))
        for browser in here, there:
            browser.log_in("anna")
        here.post("/sessions/end-others/")
        self.says(there.get("/"), "Sie haben sie von einem anderen Browser aus beendet", 403)
        self.client().revoke(self.client().list("anna").sessions[0].id, "lunch")
        self.says(here.get("/"), "Ihre Sitzung wurde beendet: lunch", 403)

    def test_each_refusal_that_is_not_configured_is_translated(self):
        with override("de"):
            for reason in texts._REFUSALS:
                with override(None):
                    message = texts._REFUSALS[reason] % {"limit": 2, "seconds": 3}
                told = errors.refused(sessreg.Refused(reason, str(message), limit=2, seconds=3)).message
                self.assertNotEqual(told, message)
                self.assertEqual([number in told for number in "23"], [number in message for number in "23"])
            self.assertEqual(errors.refused(sessreg.Refused("new", "Unheard of.")).message, "Unheard of.")

    def test_the_admin_is_translated(self):
        boss = Browser(HTTP_ACCEPT_LANGUAGE="fr")
        boss.log_in("boss")
        page = boss.get("/admin/sessreg/usersession/")
        for text in "Sessions des utilisateurs", "Dernière activité", "exemptée", "ce navigateur":
            self.says(page, text, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
