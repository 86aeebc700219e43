#!/usr/bin/env python3
"""HTTP passwords checked by a real nginx (auth_pam) and a real Apache (authnz_pam), whose workers are not
root: with `keep`, one seat a browser, asked for at sessregd's socket at each request.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       web_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import base64
import concurrent.futures
import http.client
import os
import pathlib
import signal
import subprocess
import time

import private_host
import service_scene
from auth_log import AuthLog
from private_host import PASSWORD
from site_scene import SCENE, SITE, SiteTest, wait_until

SERVICE = "web"
ROOT = SCENE / "htdocs"

NGINX = f"""load_module /usr/lib/nginx/modules/ngx_http_auth_pam_module.so;
daemon off;
user www-data;
worker_processes 2;
pid {SCENE}/nginx.pid;
events {{}}
http {{
  access_log off;
  client_body_temp_path {SCENE}/nginx-body;
  fastcgi_temp_path {SCENE}/nginx-fastcgi;
  proxy_temp_path {SCENE}/nginx-proxy;
  scgi_temp_path {SCENE}/nginx-scgi;
  uwsgi_temp_path {SCENE}/nginx-uwsgi;
  server {{
    listen 127.0.0.1:PORT;
    root {ROOT};
    auth_pam "sessreg";
    auth_pam_service_name "{SERVICE}";
  }}
}}
"""
APACHE = f"""LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule auth_basic_module /usr/lib/apache2/modules/mod_auth_basic.so
LoadModule authnz_pam_module /usr/lib/apache2/modules/mod_authnz_pam.so
ServerName localhost
Listen 127.0.0.1:PORT
PidFile {SCENE}/apache.pid
DefaultRuntimeDir {SCENE}
Mutex file:{SCENE}
ErrorLog {SCENE}/apache.log
User www-data
Group www-data
StartServers 2
DocumentRoot {ROOT}
<Directory {ROOT}>
  AuthType Basic
  AuthName sessreg
  AuthBasicProvider PAM
  AuthPAMService {SERVICE}
  Require valid-user
</Directory>
"""


def prepare():
    WebService.log = AuthLog()
    if not os.path.exists(os.environ.get("SESSREG_DAEMON", "")):
        private_host.skip("set SESSREG_DAEMON to the built file")
    # What an administrator does so that workers can check the passwords of Unix.
    group = pathlib.Path("/etc/group")
    group.write_text(group.read_text().replace("\nshadow:x:42:", "\nshadow:x:42:www-data", 1))
    ROOT.mkdir()
    (ROOT / "index.html").write_text("hello\n")
    for server in (Nginx, Apache):
        server.start()


class WebService:
    """Mixed in with the SiteTest of a server."""

    service = SERVICE
    refused = 401  # as for a wrong password

    @classmethod
    def start_server(cls, name, program, text, *arguments):
        service_scene.find_program(program)
        conf = SCENE / f"{name}.conf"

        def command(port):
            conf.write_text(text.replace("PORT", str(port)))
            return [service_scene.find_program(program), *arguments, conf]
        _, cls.port = service_scene.start_listener(command, SCENE / f"{name}.log")

    def setUp(self):
        super().setUp()
        self.socket = self.directory / "daemon.sock"
        self.write_stack(arguments=f"socket={self.socket}")
        self.daemon = None
        self.log.clear()

    def assert_logged(self, *words):
        """Some line has them all."""
        self.assertTrue(wait_until(lambda: any(all(word in line for word in words)
                                               for line in self.log.lines), 5), self.log.lines)

    def write_web(self, *, top="", clients="www-data", keep="1h", section=""):
        self.write_conf(f"{top}\n[service {SERVICE}]\nkeep = {keep}\nclients = {clients}\n{section}\n")

    def start_daemon(self):
        with open(SCENE / "sessregd.log", "ab") as log:
            self.daemon = subprocess.Popen(
                [os.environ["SESSREG_DAEMON"], "--foreground", "--site", SITE, "--conf", self.conf,
                 "--socket", self.socket], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.stop_daemon)
        self.assertTrue(wait_until(self.socket.is_socket))

    def stop_daemon(self):
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait()
        self.daemon = None

    def get(self, user, host="127.0.0.2", password=PASSWORD):
        """The status of a request from that address."""
        # Who is turned away may be made to wait, as a guesser of passwords is.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30,
                                                source_address=(host, 0))
        key = base64.b64encode(f"{user}:{password}".encode()).decode()
        connection.request("GET", "/index.html", headers={"Authorization": f"Basic {key}"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def test_a_browser_holds_one_seat_however_often_it_asks(self):
        self.write_web(top="sessions_limit = 1")
        self.start_daemon()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.get("alice"), range(40)))
        self.assertEqual(set(answers), {200})
        sessions = self.sessions()
        self.assertEqual([(s["user"], s["service"], s["uid"], s["process"], s["pid"], s["state"], s["seat"])
                          for s in sessions],
                         [("alice", SERVICE, private_host.USERS["alice"], False, 0, "active", True)])
        self.assertEqual(self.status()["admissions"], 1)

    def test_at_the_limit_it_is_refused_and_gets_in_when_the_other_was_not_used_for_keep(self):
        self.write_web(top="sessions_limit = 1", keep="2s")
        self.start_daemon()
        self.assertEqual(self.get("alice"), 200)
        self.assertEqual(self.get("bob", "127.0.0.3"), self.refused)
        self.assertEqual(self.status()["refusals"]["site_full"], 1)
        self.assert_logged("refused", "reason=site_full", "limit=1", "user=bob")
        used = time.monotonic()
        self.assertEqual(self.get("alice"), 200)  # its two seconds begin anew
        time.sleep(1.2)
        self.assertEqual(self.get("bob", "127.0.0.3"), self.refused)
        self.assertLess(time.monotonic() - used, 30)
        self.assertTrue(wait_until(lambda: self.get("bob", "127.0.0.3") == 200))
        self.assertEqual([s["user"] for s in self.sessions()], ["bob"])

    def test_another_user_or_another_address_is_another_device(self):
        self.write_web(top="sessions_limit = 9")
        self.start_daemon()
        self.assertEqual([self.get("alice"), self.get("bob"), self.get("alice")], [200] * 3)
        self.assertEqual(self.active(), 2)
        self.assertEqual(self.get("alice", "127.0.0.3"), 200)
        self.assertEqual(sorted(s["host"] for s in self.sessions()),
                         ["127.0.0.2", "127.0.0.2", "127.0.0.3"])

    def test_a_wrong_password_takes_no_seat(self):
        self.write_web(top="sessions_limit = 1")
        self.start_daemon()
        self.assertEqual(self.get("alice", password="wrong"), 401)
        self.assertEqual(self.active(), 0)

    def test_a_revoked_browser_is_refused(self):
        self.write_web(top="sessions_limit = 1")
        self.start_daemon()
        self.assertEqual(self.get("alice"), 200)
        self.tool("revoke", "--user", "alice", "--yes", "--reason", "go home")
        self.assertEqual(self.get("alice"), self.refused)
        self.assert_logged("reason=revoked", 'why="go home"', "user=alice")
        self.assertEqual(self.active(), 0)
        self.assertEqual(self.get("bob", "127.0.0.3"), 200)

    def test_exempt_users_get_in_and_are_listed(self):
        self.write_web(top="sessions_limit = 0\nexempt = alice")
        self.start_daemon()
        self.assertEqual(self.get("alice"), 200)
        self.assertEqual(self.get("bob"), self.refused)
        self.assertEqual([(s["user"], s["state"]) for s in self.sessions()], [("alice", "exempt")])
        self.stop_daemon()
        self.assertEqual(self.get("alice"), 200)

    def test_groups_of_the_host_limit_it(self):
        group = pathlib.Path("/etc/group")
        group.write_text(group.read_text() + "students:x:52050:alice,bob\n")
        self.write_web(section="[group students]\nsessions_limit = 1")
        self.start_daemon()
        self.assertEqual(self.get("alice"), 200)
        self.assertEqual(self.get("bob", "127.0.0.3"), self.refused)
        self.assertEqual(self.status()["refusals"]["group_full"], 1)

    def test_without_the_daemon_on_error_decides(self):
        self.write_web(top="sessions_limit = 1")
        self.assertEqual(self.get("alice"), self.refused)
        self.assert_logged("cannot work, refused", "cannot ask sessregd")
        self.write_web(top="sessions_limit = 1\non_error = allow")
        self.assertEqual(self.get("alice"), 200)

    def test_a_worker_that_is_no_client_is_refused_and_the_log_says_so(self):
        self.write_web(top="sessions_limit = 1", clients="alice")
        self.start_daemon()
        self.assertEqual(self.get("alice"), self.refused)
        self.assert_logged("is no client of the service web")
        self.assertEqual(self.sessions(), [])

    def test_a_daemon_that_stands_still_is_waited_for_two_seconds(self):
        self.write_web(top="sessions_limit = 1")
        self.start_daemon()
        self.daemon.send_signal(signal.SIGSTOP)
        try:
            self.assertEqual(self.get("alice"), self.refused)
            self.assert_logged("sessregd does not answer in time")
        finally:
            self.daemon.send_signal(signal.SIGCONT)


class Nginx(WebService, SiteTest):

    @classmethod
    def start(cls):
        if not os.path.exists("/usr/lib/nginx/modules/ngx_http_auth_pam_module.so"):
            private_host.skip("no libnginx-mod-http-auth-pam here: tools/install-deps test installs it")
        cls.start_server("nginx", "nginx", NGINX, "-e", SCENE / "nginx.log", "-c")


class Apache(WebService, SiteTest):

    @classmethod
    def start(cls):
        if not os.path.exists("/usr/lib/apache2/modules/mod_authnz_pam.so"):
            private_host.skip("no libapache2-mod-authnz-pam here: tools/install-deps test installs it")
        cls.start_server("apache", "apache2", APACHE, "-D", "FOREGROUND", "-f")


if __name__ == "__main__":
    service_scene.main("__main__", prepare)
