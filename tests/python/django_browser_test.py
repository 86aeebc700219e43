#!/usr/bin/env python3
"""The pages of sessreg.contrib.django in Chromium: what people see, click and type.

usage: SESSREG_DAEMON=…/sessregd django_browser_test.py [TestClass[.test]]…
"""

import importlib.util
import shutil
import sys
import tempfile
import threading
import unittest
import wsgiref.simple_server

import django_scene
from django_scene import FULL, WithSite
from scene import wait_until

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not importlib.util.find_spec("selenium") or not CHROMIUM or not DRIVER:
    print("there is no chromium, chromium-driver or python3-selenium")
    sys.exit(77)

import django_project
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.test import override_settings
from selenium import webdriver
from selenium.common.exceptions import SessionNotCreatedException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sessreg.demo.project import Handler, Server

OPTIONS = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
           "--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en",
           "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--window-size=1280,800",
           # A user namespace of its own is not to be had everywhere; it sees our own pages alone.
           "--no-sandbox"]
NAMELESS = """return [...document.querySelectorAll('button, input:not([type=hidden]), select, a')]
    .filter(each => !(each.labels || []).length && !each.ariaLabel && !each.textContent.trim())
    .map(each => each.outerHTML)"""

profiles = []
site = None


def setUpModule():
    global site
    django_scene.make_project()
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, StaticFilesHandler(django_project.application), Server,
                                               Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    unittest.addModuleCleanup(server.shutdown)
    site = f"http://127.0.0.1:{server.server_port}"
    for _ in range(2):
        profiles.append(Profile())
        unittest.addModuleCleanup(profiles[-1].remove)


class Profile:
    """A Chromium with a profile of its own."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="srchromium")
        self.open()

    def open(self):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for option in (*OPTIONS, f"--user-data-dir={self._folder.name}"):
            options.add_argument(option)
        for tries_left in 2, 1, 0:
            try:
                self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
                return
            except SessionNotCreatedException:  # its driver waits for a minute, which a busy host may take
                if not tries_left:
                    raise

    def close(self):
        self.driver.quit()

    def remove(self):
        self.close()
        self._folder.cleanup()

    def run(self, script):
        return self.driver.execute_script(script)

    def get(self, path="/"):
        self.driver.get(site + path)
        return self.text()

    def text(self):
        return self.run("return document.body.innerText")

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def log_in(self, user, to="/page/"):
        self.get(f"/login/?next={to}")
        self.find("[name=username]").send_keys(user, Keys.TAB, "secret", Keys.ENTER)
        wait_until(lambda: "Username" not in self.text())
        return self.text()


class InChromium(WithSite):

    def setUp(self):
        super().setUp()
        for profile in profiles:
            profile.driver.get("about:blank")  # whose script asks nobody
            profile.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def fits_and_is_named(self, profile):
        """On a small screen nothing is wider than it, and all that can be used has a name."""
        self.assertEqual(profile.run(NAMELESS), [])
        for width in 360, 1280:
            profile.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
                "width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 500})
            self.assertLessEqual(profile.run("return document.documentElement.scrollWidth"), width)

    def test_who_is_refused_takes_over_an_own_session_by_keyboard_and_both_are_told(self):
        self.logged_in("otto")
        there, here = profiles
        self.assertIn("A page.", there.log_in("anna"))
        self.assertIn(FULL, here.log_in("anna"))
        self.fits_and_is_named(here)
        here.find("body").send_keys(Keys.TAB)
        button = here.driver.switch_to.active_element
        self.assertEqual((button.text, button.accessible_name),
                         ("End this one and continue", "End this one and continue"))
        self.assertNotEqual(button.value_of_css_property("outline-style"), "none")
        button.send_keys(Keys.ENTER)
        self.assertTrue(wait_until(lambda: "A page." in here.text()), here.text())
        self.assertIn("a newer login of the same user took its place", there.get("/page/"))
        self.fits_and_is_named(there)
        there.find("a.button").click()
        self.assertTrue(wait_until(lambda: there.driver.current_url.endswith("/login/?next=%2Fpage%2F")))
        self.assertEqual(self.seats(), 2)

    def test_the_warning_keeps_the_session_and_tells_of_its_end(self):
        self.configure(idle_after="1h")
        here = profiles[0]
        here.log_in("anna", to="/page/%3Fwarn%3D3595")
        text, button = "#sessreg-idle-text", "#sessreg-idle button"
        self.assertEqual(here.text(), "A page.")
        self.assertTrue(wait_until(lambda: here.find(button).is_displayed()))
        self.assertRegex(here.find(text).text, r"Your seat may be given to others in about \d+0 seconds\.")
        self.fits_and_is_named(here)
        before = self.session_of("anna").last_activity
        here.run("""const box = document.getElementById('sessreg-idle');
            new MutationObserver(() => { if (box.hidden) window.wentAway = true; }).observe(box, {attributes: true});""")
        here.find(button).click()
        self.assertTrue(wait_until(lambda: here.run("return window.wentAway")))
        self.assertGreater(self.session_of("anna").last_activity, before)
        self.client().revoke(self.session_of("anna").id, "lunch")
        self.assertTrue(wait_until(lambda: here.find(text).text == "Your session was ended: lunch"))
        self.assertFalse(here.find(button).is_displayed())
        self.assertIn("Your session was ended: lunch", here.get("/page/"))
        self.assertIn("nobody", here.get("/"))

    def test_who_closes_the_browser_and_comes_back_has_the_same_seat(self):
        self.configure(sessions_limit=1)
        with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True):
            here = profiles[0]
            self.assertIn("A page.", here.log_in("anna"))
            here.close()
            here.open()
            self.assertEqual(here.get("/"), "nobody")
            self.assertEqual(self.seats(), 1)
            self.assertIn("A page.", here.log_in("anna"))
        self.assertEqual(self.seats(), 1)

    def test_an_administrator_ends_a_session_and_its_user_is_told_why(self):
        here, boss = profiles
        here.log_in("anna")
        boss.log_in("boss", to="/admin/sessreg/usersession/")
        self.assertTrue(wait_until(lambda: "anna" in boss.text()))
        self.fits_and_is_named(boss)
        boss.find("[aria-label^='End the session of anna']").click()
        boss.find("[name=reason]").send_keys("closing time", Keys.ENTER)
        self.assertTrue(wait_until(lambda: "1 session was ended." in boss.text()))
        self.assertIn("ending: closing time", boss.text())
        self.assertIn("Your session was ended: closing time", here.get("/page/"))
        self.assertEqual(self.seats(), 0)

    def test_other_sessions_are_ended_in_your_sessions(self):
        here, there = profiles
        there.log_in("anna")
        here.log_in("anna", to="/sessions/")
        self.assertIn("This browser", here.text())
        self.fits_and_is_named(here)
        here.find("li button").click()
        self.assertTrue(wait_until(lambda: here.text().count("Chrome") == 1))
        self.assertIn("you ended it from another browser", there.get("/page/"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
