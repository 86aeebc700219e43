#!/usr/bin/env python3
"""The demo, played: `python3 -m sessreg.demo`, by itself and by tools/webdemo.

usage: SESSREG_DAEMON=…/sessregd demo_test.py [TestClass[.test]]…
"""

import contextlib
import html
import http.cookiejar
import importlib.util
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import unittest
import urllib.error
import urllib.parse
import urllib.request

from scene import HANG_S, LIBRARY, Folder, environment

if not importlib.util.find_spec("django"):
    print("there is no python3-django")
    sys.exit(77)

TREE = LIBRARY.parents[1]
FULL = "There are more than 3 active user sessions. Please try again later."


class Browser:
    """Keeps its cookies, and knows the page that it shows."""

    def __init__(self, url):
        self.url = url
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def get(self, path="/", **form):
        request = urllib.request.Request(urllib.parse.urljoin(self.url, path), headers={"Accept": "text/html"},
                                         data=urllib.parse.urlencode(form).encode() if form else None)
        try:
            response = self._opener.open(request, timeout=HANG_S)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            self.status, self.page = response.status, html.unescape(response.read().decode())
        return self.page

    def send(self, path, **values):
        """The form of the page."""
        [csrf, *_] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', self.page)
        return self.get(path, csrfmiddlewaretoken=csrf, **values)

    def log_in(self, user):
        self.get("/login/")
        return self.send("/login/", username=user, password="demo")


def processes_of(folder):
    """Those whose command line names it."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in path.read_bytes():
                found.append(path.parent.name)
    return found


class Demo(Folder):

    def start(self, *command):
        process = subprocess.Popen(command or [sys.executable, "-m", "sessreg.demo"], stdout=subprocess.PIPE, text=True,
                                   env=environment(TMPDIR=str(self.folder)), cwd=self.folder)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.said = []
        for line in process.stdout:
            self.said.append(line)
            if "Ctrl-C" in line:
                break
        self.assertIsNone(process.poll())
        self.urls = re.findall(r"^ +(http://\S+/)$", "".join(self.said), re.M)
        return process

    def stop(self, process, number):
        self.assertEqual(len(processes_of(self.folder)), 1)  # sessregd
        process.send_signal(number)
        self.assertEqual(process.wait(HANG_S), 0)
        self.assertEqual((os.listdir(self.folder), processes_of(self.folder)), ([], []))

    def fails(self, why, code="", **environ):
        """It says so in one line, and leaves nothing."""
        done = subprocess.run([sys.executable, "-c", f"{code}\nimport runpy\n"
                               "runpy.run_module('sessreg.demo', run_name='__main__', alter_sys=True)"],
                              env=environment(TMPDIR=str(self.folder), **environ), cwd="/", capture_output=True,
                              text=True, timeout=HANG_S)
        self.assertRegex(done.stderr, rf"\Asessreg\.demo: .*{why}.*\n\Z")
        self.assertEqual((done.returncode, done.stdout, os.listdir(self.folder)), (1, "", []))

    def test_three_get_in_the_fourth_is_refused_and_may_end_a_session_of_its_own(self):
        process = self.start()
        self.assertEqual([line for line in self.said if len(line.rstrip("\n")) > 80], [])
        self.assertIn("/admin/sessreg/usersession/", self.urls[-1])
        first, second = (urllib.parse.urlsplit(url) for url in self.urls[:2])
        self.assertEqual((first.hostname, second.hostname, second.port), ("127.0.0.1", "127.0.0.2", first.port))
        *three, fourth = (Browser(f"http://127.0.0.{number}:{first.port}/") for number in range(1, 5))
        for browser, user in zip(three, ("anna", "otto", "emma")):
            browser.log_in(user)
            self.assertEqual(browser.status, 200)
            self.assertIn(f"You are <strong>{user}</strong>", browser.page)
        self.assertIn("3 of 3 are taken", fourth.get())
        self.assertIn(FULL, fourth.log_in("anna"))
        self.assertEqual(fourth.status, 503)
        [id] = re.findall(r'name="id" value="(\w+)"', fourth.page)
        self.assertIn("You are <strong>anna</strong>", fourth.send("/sessions/take-over/", id=id))
        self.assertIn("3 of 3 are taken", fourth.page)
        self.assertIn("Your session was ended", three[0].get())
        self.assertIn("You are <strong>otto</strong>", three[1].get())
        # The administrator is not counted, and ends one.
        boss = Browser(self.urls[-1])
        boss.log_in("boss")
        table = boss.get("/admin/sessreg/usersession/")
        [id] = re.findall(r'value="(\w+)" aria-label="End the session of otto', table)
        boss.send("/admin/sessreg/usersession/", id=id, reason="closing time")
        self.assertIn("closing time", three[1].get())
        self.assertIn("2 of 3 are taken", fourth.get())
        self.stop(process, signal.SIGINT)

    def test_what_the_warning_needs_is_served(self):
        process = self.start()
        browser = Browser(self.urls[0])
        browser.log_in("anna")
        [script] = re.findall(r'<script src="(.*?)"', browser.page)
        self.assertIn("sessreg-idle", browser.get(script))
        self.assertIn('"what": "seat"', browser.get("/sessions/standing/"))
        self.stop(process, signal.SIGTERM)

    def test_in_the_tree(self):
        build = self.folder / "build"
        (build / "tools" / "sessregd").mkdir(parents=True)
        (build / "tools" / "sessregd" / "sessregd").symlink_to(os.environ["SESSREG_DAEMON"])
        process = self.start(TREE / "tools" / "webdemo", "--build", build)
        self.assertIn("0 of 3 are taken", Browser(self.urls[0]).get())
        (build / "tools" / "sessregd" / "sessregd").unlink()
        for folder in build / "tools" / "sessregd", build / "tools", build:
            folder.rmdir()
        self.stop(process, signal.SIGTERM)

    def test_what_is_missing_is_named_with_its_package(self):
        self.fails("install the package python3-django", "import sys; sys.modules['django'] = None")
        self.fails("install the package sessreg", "import sessreg._daemon; sessreg._daemon._SBIN = '/none'",
                   SESSREG_DAEMON="", PATH="/none")

    def test_a_port_that_is_taken_is_named(self):
        with socket.create_server(("127.0.0.3", 0)) as taken:
            port = taken.getsockname()[1]
            self.fails(rf"127\.0\.0\.3:{port}: .*choose another --port",
                       f"import sys; sys.argv[1:] = ['--port', '{port}']")


if __name__ == "__main__":
    unittest.main(verbosity=2)
