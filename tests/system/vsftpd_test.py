#!/usr/bin/env python3
"""Real FTP logins through a real vsftpd.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg vsftpd_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import ftplib
import os
import signal

import private_host
import service_scene
from service_scene import LoginContract, ServiceTest, UseIsNotSeen
from site_scene import SCENE, wait_until


class Login:

    def __init__(self, user, port=None):
        self.ftp = ftplib.FTP()
        self.ftp.connect("127.0.0.1", port or Server.port, timeout=20)
        try:
            self.ftp.login(user, private_host.PASSWORD)
        except ftplib.error_perm:
            self.close()
            raise

    def ended(self):
        """Whether the server has hung up."""
        try:
            self.ftp.voidcmd("NOOP")
        except (EOFError, OSError, ftplib.error_temp):
            return True
        return False

    def log_out(self):
        self.ftp.quit()

    def close(self):
        self.ftp.close()


class Server:

    @classmethod
    def prepare(cls):
        (SCENE / "empty").mkdir(mode=0o755)
        cls.process, cls.port = cls.start("YES")

    @staticmethod
    def start(session_support):
        program = service_scene.find_program("vsftpd")

        def command(port):
            conf = SCENE / f"vsftpd{port}.conf"
            conf.write_text(f"""listen=YES
listen_ipv6=NO
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=NO
local_enable=YES
session_support={session_support}
pam_service_name=vsftpd
secure_chroot_dir={SCENE}/empty
vsftpd_log_file={SCENE}/vsftpd.log
""")
            return [program, conf]
        return service_scene.start_listener(command, SCENE / "vsftpd.log")


class Vsftpd(LoginContract, UseIsNotSeen, ServiceTest):

    service = "vsftpd"
    leader = "vsftpd"

    def listed(self, login):
        return {"host": "127.0.0.1", "tty": "ftp"}

    def enter_service(self, user):
        return Login(user)

    def let_the_rest_end(self, login):
        # Its child goes on answering, with the sid that it had.
        self.assert_orphaned(login)
        self.assertFalse(login.ended())
        self.assert_refused("bob")
        login.log_out()

    def assert_refused(self, user):
        with self.assertRaises(ftplib.error_perm) as refused:
            Login(user)
        self.assertEqual(str(refused.exception), "530 Login incorrect.")

    def test_what_answers_on_after_its_main_process_was_killed_can_be_revoked(self):
        login = self.log_in("alice")
        os.kill(login.session["pid"], signal.SIGKILL)
        self.assert_orphaned(login)
        self.assertRegex(self.tool("revoke", login.session["id"], "--grace", "1s"),
                         r": ended\n$")
        self.assert_gone(login.members, login.session["pid"])
        self.assertTrue(login.ended())
        self.log_in("bob")

    def test_what_answers_killed_closes_the_session(self):
        login = self.log_in("alice")
        [child] = login.members - {m for m in login.members if m[0] == login.session["pid"]}
        os.kill(child[0], signal.SIGKILL)
        self.assert_soon_active(0)
        with self.assertRaisesRegex(ftplib.error_perm, "^500 OOPS"):
            login.ended()
        self.assertEqual(self.status()["reaped"]["sessions"], 0)

    def test_without_session_support_a_login_needs_a_free_seat_and_keeps_none(self):
        server, port = Server.start("NO")
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        login = Login("bob", port)
        self.clients.append(login)
        self.assertFalse(login.ended())
        self.assertEqual(self.sessions(), [])
        self.log_in("alice")
        with self.assertRaises(ftplib.error_perm):
            Login("bob", port)


if __name__ == "__main__":
    service_scene.main("__main__", Server.prepare)
