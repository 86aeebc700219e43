#!/usr/bin/env python3
"""Real IMAP logins through a real dovecot, which has PAM sessions closed before IMAP begins.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg dovecot_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import contextlib
import imaplib
import os
import subprocess
import time

import private_host
import service_scene
from site_scene import SCENE, SiteTest


# What each version says in its own way.
OF_2_3 = """protocols = imap
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
passdb {
  driver = pam
  args = SESSION dovecot
}
userdb {
  driver = passwd
}
"""
OF_2_4 = """dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = ~/Maildir
passdb pam {
  session = SESSION
  service_name = dovecot
}
userdb passwd {
}
"""


class Server:

    @classmethod
    def prepare(cls):
        cls.process, cls.port = cls.start(has_session=True)

    @staticmethod
    def start(has_session):
        program = service_scene.find_program("dovecot")
        if not os.path.exists("/usr/lib/dovecot/imap"):
            private_host.skip("no dovecot-imapd here: tools/install-deps test installs it")

        version = subprocess.check_output([program, "--version"], text=True)
        if version.startswith("2.4"):
            head = OF_2_4.replace("SESSION", "yes" if has_session else "no")
        else:
            head = OF_2_3.replace("SESSION", "session=yes" if has_session else "")

        def command(port):
            conf = SCENE / f"dovecot{port}.conf"
            conf.write_text(head + f"""listen = 127.0.0.1
base_dir = {SCENE}/dovecot{port}
state_dir = {SCENE}/dovecot-state{port}
log_path = {SCENE}/dovecot.log
ssl = no
auth_failure_delay = 0
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
""")
            return [program, "-F", "-c", conf]
        return service_scene.start_listener(command, SCENE / "dovecot.out.log")


class ImapTest(SiteTest):

    service = "dovecot"

    @contextlib.contextmanager
    def log_in(self, user="alice", password=private_host.PASSWORD, port=None):
        client = imaplib.IMAP4("127.0.0.1", port or Server.port, timeout=20)
        try:
            client.login(user, password)
            client.select()  # IMAP itself has begun
            yield client
        finally:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                client.logout()

    def assert_refused(self, user, port=None):
        with self.assertRaises(imaplib.IMAP4.error) as refused:
            with self.log_in(user, port=port):
                pass
        self.assertIn("[AUTHENTICATIONFAILED] Authentication failed.", str(refused.exception))


class Dovecot(ImapTest):

    def test_a_login_is_admitted_and_its_session_is_over_before_imap_begins(self):
        self.configure(sessions_limit=1)
        with self.log_in("alice") as alice:
            self.assertEqual(self.sessions(), [])
            status = self.status()
            self.assertEqual((status["admissions"], status["high_water_mark"]), (1, 1))
            self.assertEqual(status["reaped"], {"sessions": 0, "reservations": 0, "claims": 0})
            # So one seat is enough for any number of mailboxes.
            with self.log_in("bob") as bob:
                for client in (alice, bob):
                    self.assertEqual(client.noop()[0], "OK")
        self.assertEqual(self.status()["admissions"], 2)

    @contextlib.contextmanager
    def full_by_another_service(self):
        self.configure(sessions_limit=1, ignore_services="")
        self.write_stack("runuser")
        other = subprocess.Popen([service_scene.find_program("runuser"), "bob", "-c", "cat"],
                                 stdin=subprocess.PIPE)
        try:
            self.assert_soon_active(1)
            yield
        finally:
            other.stdin.close()
            other.wait()

    def test_a_site_that_admits_nobody_refuses(self):
        self.configure(sessions_limit=0)
        self.assert_refused("alice")
        self.assertEqual(self.status()["refusals"]["drain"], 1)

    def test_a_site_that_another_service_has_filled_refuses(self):
        with self.full_by_another_service():
            self.assert_refused("alice")
            self.assertEqual(self.status()["refusals"]["site_full"], 1)
        with self.log_in("alice"):
            self.assertEqual(self.sessions(), [])

    def test_there_is_no_session_to_revoke(self):
        self.configure(sessions_limit=1)
        with self.log_in("alice") as alice:
            self.tool("revoke", "--user", "alice", "--yes", status=3)
            self.assertEqual(alice.noop()[0], "OK")

    def test_without_sessions_a_login_needs_a_free_seat_and_keeps_none(self):
        server, port = Server.start(has_session=False)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        with self.full_by_another_service():
            self.assert_refused("alice", port)
        # The same worker asks for both, and keeps no reservation.
        with self.log_in("alice", port=port), self.log_in("bob", port=port):
            self.assertEqual(self.sessions(), [])
        self.assertEqual(self.status()["reaped"], {"sessions": 0, "reservations": 0, "claims": 0})

    def test_an_ignored_dovecot_lets_users_in_though_the_site_admits_nobody(self):
        self.configure(sessions_limit=0, ignore_services="dovecot")
        with self.log_in("alice"):
            self.assertEqual(self.sessions(), [])


class Kept(ImapTest):
    """With `keep`."""

    def configure_kept(self, keep="1h", **keys):
        self.write_conf("".join(f"{key} = {value}\n" for key, value in keys.items()) +
                        f"[service dovecot]\nkeep = {keep}\n")

    def test_the_connections_of_a_mail_client_are_one_seat(self):
        self.configure_kept(sessions_limit=1)
        with contextlib.ExitStack() as connections:
            mine = [connections.enter_context(self.log_in("alice")) for _ in range(5)]
            self.assertEqual([(s["user"], s["service"], s["host"], s["process"], s["state"])
                              for s in self.sessions()],
                             [("alice", "dovecot", "127.0.0.1", False, "active")])
            self.assert_refused("bob")
            for client in mine:
                self.assertEqual(client.noop()[0], "OK")
        # Whose client is gone may come back.
        self.assertEqual(self.active(), 1)
        self.assert_refused("bob")
        with self.log_in("alice"):
            self.assertEqual(self.active(), 1)
        self.assertEqual(self.status()["admissions"], 1)

    def test_the_seat_is_free_when_there_was_no_login_for_so_long(self):
        self.configure_kept(sessions_limit=1, keep="1s")
        with self.log_in("alice") as alice:
            time.sleep(1.5)
            with self.log_in("bob"):
                self.assertEqual([s["user"] for s in self.sessions()], ["bob"])
            self.assertEqual(alice.noop()[0], "OK")  # the seat is lost, the connection is not

    def test_a_client_that_was_revoked_does_not_come_back(self):
        self.configure_kept(sessions_limit=1)
        with self.log_in("alice"):
            self.tool("revoke", "--user", "alice", "--yes")
            self.assertEqual(self.active(), 0)
            self.assert_refused("alice")
            with self.log_in("bob"):
                self.assertEqual(self.active(), 1)

    def test_without_sessions_of_pam_it_is_the_same(self):
        server, port = Server.start(has_session=False)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        self.configure_kept(sessions_limit=1)
        with self.log_in("alice", port=port), self.log_in("alice", port=port):
            self.assertEqual(self.active(), 1)
            self.assert_refused("bob", port)


if __name__ == "__main__":
    service_scene.main("__main__", Server.prepare)
