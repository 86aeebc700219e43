#!/usr/bin/env python3
"""Real FTP logins through a real proftpd.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg proftpd_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import ftplib
import shutil

import private_host
import service_scene
import vsftpd_test
from auth_log import AuthLog
from service_scene import LoginContract, ServiceTest, UseIsNotSeen
from site_scene import SCENE

PAM_HAS_THE_LAST_WORD = "AuthOrder mod_auth_pam.c* mod_auth_unix.c"


class Server:

    @classmethod
    def prepare(cls):
        if shutil.which("proftpd", path=service_scene.PATH) is None:
            private_host.skip("no proftpd here: tests/system/proftpd-beside has it beside vsftpd")
        cls.log = AuthLog()
        cls.process, cls.port = cls.start(PAM_HAS_THE_LAST_WORD)

    @staticmethod
    def start(settings):
        program = service_scene.find_program("proftpd")

        def command(port):
            conf = SCENE / f"proftpd{port}.conf"
            conf.write_text(f"""ServerType standalone
DefaultAddress 127.0.0.1
UseIPv6 off
Port {port}
User nobody
Group nogroup
AuthPAMConfig proftpd
{settings}
UseReverseDNS off
RequireValidShell off
WtmpLog off
TransferLog none
PidFile {SCENE}/proftpd{port}.pid
ScoreboardFile {SCENE}/proftpd{port}.scoreboard
<IfModule mod_delay.c>
  DelayEngine off
</IfModule>
""")
            return [program, "--nodaemon", "--config", conf]
        return service_scene.start_listener(command, SCENE / "proftpd.log")


class Proftpd(LoginContract, UseIsNotSeen, ServiceTest):

    service = "proftpd"
    leader = "proftpd"
    closes = False

    def listed(self, login):
        return {"host": "127.0.0.1", "tty": f"/dev/ftpd{login.session['pid']}"}

    def enter_service(self, user):
        return vsftpd_test.Login(user, Server.port)

    def start(self, settings):
        server, port = Server.start(settings)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        return port

    def assert_refused(self, user, port=None):
        with self.assertRaises(ftplib.error_perm) as refused:
            vsftpd_test.Login(user, port or Server.port)
        self.assertEqual(str(refused.exception), "530 Login incorrect.")

    def test_where_pam_has_not_the_last_word_the_refused_are_let_in(self):
        # mod_auth_unix is asked next, which finds the password right.
        port = self.start("")
        self.log_in("alice")
        bob = vsftpd_test.Login("bob", port)
        self.clients.append(bob)
        self.assertFalse(bob.ended())
        self.assertEqual(self.status()["refusals"]["site_full"], 1)
        self.assertEqual([s["user"] for s in self.sessions()], ["alice"])
        self.assert_refused("bob")

    def test_a_logout_without_rights_writes_no_error(self):
        for name, settings in {"as usual": PAM_HAS_THE_LAST_WORD,
                               "chrooted": f"{PAM_HAS_THE_LAST_WORD}\nDefaultRoot ~"}.items():
            with self.case(name):
                port = self.start(settings)
                Server.log.clear()
                alice = vsftpd_test.Login("alice", port)
                self.clients.append(alice)
                self.assertEqual([s["user"] for s in self.sessions()], ["alice"])
                self.assert_refused("bob", port)
                alice.log_out()
                self.assert_soon_active(0)
                [line] = Server.log.lines
                self.assertIn("pam_sessreg(proftpd:account): refused: ", line)


if __name__ == "__main__":
    service_scene.main("__main__", Server.prepare)
