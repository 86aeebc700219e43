#!/usr/bin/env python3
"""sessreg.wsgi, as functions and behind real servers: gunicorn, nginx, and Flask's example.

usage: SESSREG_DAEMON=…/sessregd wsgi_test.py [TestClass[.test]]…
"""

import base64
import concurrent.futures
import http.client
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest
import urllib.parse
import wsgiref.util
import wsgiref.validate

import scene
from scene import HANG_S, LIBRARY, FakeDaemon, Folder, WithDaemon, sessreg, wait_until
from sessreg.embedded import Site
from sessreg.wsgi import AuthRequest, Middleware, Visitor, by_address

EXAMPLES = LIBRARY / "examples"
GUNICORN = shutil.which("gunicorn")
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
# Its own log lines would stand between those of the tests.
logging.getLogger("sessreg.wsgi").addHandler(logging.NullHandler())
logging.getLogger("sessreg.wsgi").propagate = False


def request(application, **environ):
    """What the application answers: status, headers, text. It is held to PEP 3333."""
    answer = {}
    environ = {"QUERY_STRING": ""} | environ
    wsgiref.util.setup_testing_defaults(environ)

    def start_response(status, headers, exc_info=None):
        answer.update(status=status, headers=dict(headers))
    parts = wsgiref.validate.validator(application)(environ, start_response)
    try:
        text = b"".join(parts).decode()
    finally:
        parts.close()
    return answer["status"], answer["headers"], text


class OverSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=HANG_S)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(path, url="/", method="GET", body=None, **headers):
    """Status, headers and text of a server on a unix socket."""
    connection = OverSocket(path)
    try:
        connection.request(method, url, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


class Functions(WithDaemon):

    def application(self, **options):
        def hello(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            session = environ.get("sessreg.session")
            return [(session.user if session else "nobody").encode()]
        return Middleware(hello, self.client(), **options)

    def test_each_user_and_address_has_a_seat_and_no_more_than_there_are(self):
        application = self.application()
        for _ in range(2):
            for address in "192.0.2.1", "192.0.2.2":
                self.assertEqual(request(application, REMOTE_USER="anna", REMOTE_ADDR=address)[::2],
                                 ("200 OK", "anna"))
        self.assertEqual(sorted(session.host for session in self.client().list()), ["192.0.2.1", "192.0.2.2"])
        status, headers, text = request(application, REMOTE_USER="otto", REMOTE_ADDR="192.0.2.1")
        self.assertEqual((status, headers["Retry-After"], text),
                         ("503 Service Unavailable", "30", "There are more than 2 active user sessions. "
                                                           "Please try again later.\n"))
        self.assertEqual(headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(request(application, REMOTE_USER="otto", REQUEST_METHOD="HEAD")[2], "")

    def test_who_is_nobody_needs_no_seat(self):
        self.assertEqual(request(self.application())[::2], ("200 OK", "nobody"))
        self.assertEqual(self.seats(), 0)

    def test_who_was_revoked_is_told_why(self):
        application = self.application()
        request(application, REMOTE_USER="anna")
        [session] = self.client().list()
        self.client().revoke(session.id, "gestohlen: ünïcode")
        self.assertEqual(request(application, REMOTE_USER="anna")[::2],
                         ("403 Forbidden", "Your session was ended: gestohlen: ünïcode\n"))
        status, headers, _ = request(AuthRequest(self.client(), by_address), REMOTE_USER="anna")
        self.assertEqual((status, headers["X-Sessreg-Reason"]), ("403 Forbidden", "revoked"))
        self.assertEqual(headers["X-Sessreg-Message"],
                         "Your session was ended: gestohlen: %C3%BCn%C3%AFcode")

    def test_visitors_are_told_by_a_function(self):
        application = self.application(
            identify=lambda environ: Visitor(environ["HTTP_X_USER"], environ["HTTP_X_BROWSER"], label="browser"))
        request(application, HTTP_X_USER="anna", HTTP_X_BROWSER="one")
        request(application, HTTP_X_USER="anna", HTTP_X_BROWSER="one", REMOTE_ADDR="192.0.2.9")
        self.assertEqual([session.label for session in self.client().list()], ["browser"])

    def test_names_are_utf8_whatever_wsgi_has_of_them(self):
        for name, meant in (("Jürgen".encode().decode("latin-1"), "Jürgen"), ("J\xfcrgen", "Jürgen")):
            self.assertEqual(request(self.application(), REMOTE_USER=name)[2], meant)
        self.assertEqual(self.seats(), 1)

    def test_what_cannot_be_a_name_is_a_bad_request(self):
        for user in "a\nb", "a\rSet-Cookie: x=y", "\x1b[2J", "a" * 513:
            for environ in {"REMOTE_USER": user}, {"REMOTE_USER": "anna", "REMOTE_ADDR": user}:
                with self.subTest(environ):
                    status, _, text = request(self.application(), **environ)
                    self.assertEqual((status, text), ("400 Bad Request",
                                                      "Your name or address cannot be one.\n"))
        self.assertEqual(self.seats(), 0)

    def test_the_endpoint_answers_as_nginx_takes_it(self):
        endpoint = AuthRequest(self.client())

        def ask(**headers):
            status, headers, text = request(endpoint, **headers)
            return status, headers.get("X-Sessreg-Reason"), text
        self.assertEqual(ask(HTTP_X_SESSREG_USER="anna", HTTP_X_SESSREG_ADDRESS="192.0.2.1"),
                         ("204 No Content", None, ""))
        self.assertEqual(ask(HTTP_X_SESSREG_ADDRESS="192.0.2.1")[:2], ("403 Forbidden", "nobody"))
        self.assertEqual(ask(HTTP_X_SESSREG_USER="a\nb")[:2], ("403 Forbidden", "invalid"))
        ask(HTTP_X_SESSREG_USER="emma")
        self.assertEqual(ask(HTTP_X_SESSREG_USER="otto")[:2], ("403 Forbidden", "site_full"))

    def test_without_a_daemon_it_is_denied_or_allowed(self):
        self.kill_daemon()
        for on_error, status in (("deny", "503 Service Unavailable"), ("allow", "200 OK")):
            self.assertEqual(request(self.application(on_error=on_error), REMOTE_USER="anna")[0], status)
        for on_error, status in (("deny", "403 Forbidden"), ("allow", "204 No Content")):
            endpoint = AuthRequest(self.client(), on_error=on_error)
            self.assertEqual(request(endpoint, HTTP_X_SESSREG_USER="anna")[0], status)
        with self.assertRaises(sessreg.Invalid):
            self.application(on_error="perhaps")


class Injection(Folder):

    def test_no_message_becomes_a_header_or_markup(self):
        message = "a\r\nSet-Cookie: x=y\r\n\r\n<script>\"'%41\0\x7f\u2028\U0001f600"
        refusal = {"error": "org.sessreg.Sessions.Refused", "parameters": {
            "reason": "drain\r\nX-Bad: 1", "message": message, "limit": 0, "count": 0, "seconds": 7, "own": []}}

        def say(connected, _):
            connected.sendall(scene.json.dumps(refusal).encode() + b"\0")
        with FakeDaemon(self.folder / "fake", say) as fake:
            endpoint = AuthRequest(sessreg.Client("web", "t", fake.path, timeout=HANG_S))
            status, headers, text = request(endpoint, HTTP_X_SESSREG_USER="anna")
        self.assertEqual((status, headers["Retry-After"]), ("403 Forbidden", "7"))
        for value in headers.values():
            self.assertRegex(value, r"^[\x20-\x7e]*\Z")
            self.assertNotRegex(value, r"""[<>"']""")
        self.assertEqual(urllib.parse.unquote(headers["X-Sessreg-Message"]), message)
        self.assertEqual(text, message + "\n")


class WithServer(WithDaemon):
    """Each server is ended by its process."""

    def setUp(self):
        super().setUp()
        self.web = self.folder / "web"

    def start(self, *command, **environ):
        """Until it answers on `web`."""
        log = open(self.folder / "server.log", "a+")
        self.addCleanup(log.close)
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, cwd=self.folder,
                                   env=scene.environment(**environ))

        def stop():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(HANG_S)
        self.addCleanup(stop)

        def answers():
            self.assertIsNone(process.poll(), self.log())
            try:
                return get(self.web, "/ready")[0]
            except OSError:
                return None
        self.assertTrue(wait_until(answers), self.log())
        return process

    def log(self):
        return (self.folder / "server.log").read_text()

    def start_gunicorn(self, application, *options, **environ):
        return self.start(GUNICORN, "--workers", 3, "--bind", f"unix:{self.web}", *options, application,
                          **environ)


class Servers(WithServer):

    @unittest.skipUnless(GUNICORN, "there is no gunicorn")
    def test_workers_of_gunicorn_that_come_and_go_lose_no_seat(self):
        self.configure(sessions_limit=5)
        (self.folder / "shop.py").write_text(
            "import os, sessreg.wsgi\n"
            "client = sessreg.Client('shop', 't', os.environ['SOCKET'], timeout=60)\n"
            "client.list()  # a connection that the workers inherit\n"
            "def hello(environ, start_response):\n"
            "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
            "    session = environ.get('sessreg.session')\n"
            "    return [(session.user if session else 'nobody').encode(), b' %d' % os.getpid()]\n"
            "application = sessreg.wsgi.Middleware(hello, client, sessreg.wsgi.by_headers)\n")
        self.start_gunicorn("shop:application", "--preload", "--max-requests", 20, SOCKET=str(self.socket_path))

        def browser(number):
            for _ in range(30):
                status, headers, text = get(self.web, X_Sessreg_User=f"u{number}",
                                            X_Sessreg_Address="192.0.2.1")
                yield status, text
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda number: list(browser(number)), range(12)))
        inside = [number for number, its in enumerate(answers) if {status for status, _ in its} == {200}]
        outside = [number for number, its in enumerate(answers) if {status for status, _ in its} == {503}]
        self.assertEqual((len(inside), len(outside)), (5, 7), self.log())
        self.assertEqual(self.seats(), 5)
        served = [text.split() for number in inside for _, text in answers[number]]
        self.assertEqual({user for user, _ in served}, {f"u{number}" for number in inside})
        self.assertGreater(len({pid for _, pid in served}), 3, "no worker was replaced")

    @unittest.skipUnless(GUNICORN and importlib.util.find_spec("flask"), "there is no gunicorn or no Flask")
    def test_the_example_for_flask(self):
        home = self.folder / "home"
        example = (EXAMPLES / "flask_app.py").read_text()
        self.assertIn('client(service="flask")', example)
        (self.folder / "flask_app.py").write_text(example.replace(
            'client(service="flask")', f'client(service="flask", timeout={HANG_S})'))  # for a slow machine
        gunicorn = self.start_gunicorn("flask_app:app", SECRET_KEY="x", SESSREG_FOLDER=str(home))

        def log_in(user):
            status, headers, text = get(self.web, "/login", "POST", f"user={user}",
                                        Content_Type="application/x-www-form-urlencoded")
            return status, text, (headers["Set-Cookie"] or "").split(";")[0]
        cookies = []
        for user in "anna", "otto", "emma":
            status, text, cookie = log_in(user)
            self.assertEqual((status, text), (200, f"Welcome, {user}."), self.log())
            cookies.append(cookie)
        self.assertEqual(log_in("hugo")[:2], (503, "There are more than 3 active user sessions. "
                                                   "Please try again later."))
        self.assertEqual(get(self.web, Cookie=cookies[0])[2], "Hello, anna.")
        self.assertEqual(get(self.web, "/logout", "POST", Cookie=cookies[0])[2], "Good bye.")
        self.assertEqual(log_in("hugo")[0], 200)
        site = Site(home, sessions_limit=3)
        seats = site.client("flask", timeout=HANG_S)
        [otto] = seats.list("otto")
        seats.revoke(otto.id, "stolen")
        self.assertEqual(get(self.web, Cookie=cookies[1])[::2],
                         (403, "You are logged out: the session was revoked (stolen); let its user log in again."))
        self.assertEqual(get(self.web)[2], "Please log in.")
        gunicorn.send_signal(signal.SIGTERM)
        gunicorn.wait(HANG_S)
        self.assertFalse(site.socket.exists(), "the last worker left the daemon behind")

    @unittest.skipUnless(NGINX, "there is no nginx")
    def test_nginx_lets_in_who_has_a_password_and_a_seat(self):
        self.configure(sessions_limit=1)
        said = self.folder / "endpoint.log"
        with open(said, "w") as out:
            endpoint = subprocess.Popen([sys.executable, "-m", "sessreg.wsgi", "--socket", self.socket_path,
                                         "--site", "t", "--service", "shop", "--port", "0",
                                         "--timeout", str(HANG_S)],
                                        stdout=out, stderr=out, env=scene.environment())
        self.addCleanup(endpoint.wait, HANG_S)
        self.addCleanup(endpoint.terminate)
        self.assertTrue(wait_until(said.read_text))
        self.assertRegex(said.read_text(), r"^http://127\.0\.0\.1:\d+/\n\Z")
        (self.folder / "index.html").write_text("the wiki\n")
        (self.folder / "passwd").write_text("".join(f"{user}:{{PLAIN}}secret\n" for user in ("anna", "otto")))
        example = (EXAMPLES / "nginx.conf").read_text()
        for theirs, ours in (("http://127.0.0.1:9180", said.read_text().strip().rstrip("/")),
                             ("/etc/nginx/passwd", self.folder / "passwd"), ("/srv/wiki", self.folder)):
            self.assertIn(theirs, example)
            example = example.replace(theirs, str(ours))
        (self.folder / "example.conf").write_text(example)
        paths = "".join(f"{kind}_temp_path {self.folder}/{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {self.folder}/pid; error_log stderr;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{paths}server {{ listen unix:{self.web};\n"
            f"include {self.folder}/example.conf; }} }}\n")
        self.start(NGINX, "-e", "stderr", "-p", self.folder, "-c", self.folder / "nginx.conf")

        def ask(user, password="secret", **headers):
            basic = base64.b64encode(f"{user}:{password}".encode()).decode()
            status, headers, text = get(self.web, Authorization=f"Basic {basic}", **headers)
            return status, headers["Retry-After"], text
        for guess in range(5):
            self.assertEqual(ask("anna", f"wrong{guess}")[0], 401)
        self.assertEqual(get(self.web)[0], 401)
        self.assertEqual(self.seats(), 0)
        for _ in range(3):
            self.assertEqual(ask("anna"), (200, None, "the wiki\n"))
        self.assertEqual(self.seats(), 1)
        full = (503, "30", "There are more than 1 active user sessions. Please try again later.")
        self.assertEqual(ask("otto"), full)
        # What a browser says of itself is not passed on.
        self.assertEqual(ask("otto", X_Sessreg_User="anna"), full)
        [session] = self.client().list()
        self.assertEqual((session.user, session.service, session.host), ("anna", "shop", "unix:"))
        self.client().revoke(session.id, "ümläut")
        self.assertEqual(ask("anna")[2], "Your session was ended: %C3%BCml%C3%A4ut")
        self.assertEqual(ask("otto")[0], 200)

    def test_the_endpoint_says_why_it_does_not_start(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            for arguments, code, why in ((["--service", ""], 1, "service: '' cannot be"),
                                         (["--service", "shop", "--port", str(taken.getsockname()[1])], 1,
                                          "pass another --port"),
                                         (["--service", "shop", "--port", "70000"], 1, "65535"),
                                         ([], 2, "--service")):
                done = subprocess.run([sys.executable, "-m", "sessreg.wsgi", *arguments], capture_output=True,
                                      text=True, timeout=HANG_S, env=scene.environment())
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(why, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
