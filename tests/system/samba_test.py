#!/usr/bin/env python3
"""Real SMB logons through a real smbd.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg samba_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import contextlib
import itertools
import os
import subprocess

import private_host
import service_scene
from private_host import PASSWORD
from service_scene import LoginContract, ServiceTest, UseIsNotSeen
from site_scene import SCENE
from terminal import Terminal

REFUSED = "session setup failed: NT_STATUS_ACCESS_DENIED"


class Connection(Terminal):
    """An smbclient that stays, and does what it is told."""

    _numbers = itertools.count(1)

    def __init__(self, user, server):
        super().__init__([service_scene.find_program("smbclient"), "-s", server.conf, "-p",
                          str(server.port), "-U", f"{user}%{PASSWORD}", "//127.0.0.1/scene"],
                         os.environ | {"TERM": "dumb"})
        self.said = self.do()

    def do(self, command=""):
        """What it answers."""
        before = len(self.text)
        number = next(self._numbers)
        # It does one after the other. What is typed is shown, too.
        with contextlib.suppress(OSError):  # it has ended
            self.type(command)
            self.type(f"!echo done:$(({number}))")
        self.expect(f"done:{number}\n", 20)
        return self.text[before:]

    def log_on(self, user):
        return self.do(f'logon {user} "{PASSWORD}"')

    def hung_up(self):
        """Whether the server has."""
        return self.ended() or "NT_STATUS_" in self.do("ls")

    def log_out(self):
        self.type("exit")
        self.wait()


class Server:

    def __init__(self, restrictions):
        program = service_scene.find_program("smbd")

        def command(port):
            directory = SCENE / f"smbd{port}"
            directory.mkdir()
            share = directory / "share"
            share.mkdir()
            share.chmod(0o777)
            self.conf = SCENE / f"smbd{port}.conf"
            self.conf.write_text(f"""[global]
server role = standalone server
obey pam restrictions = {restrictions}
passdb backend = tdbsam:{directory}/passdb.tdb
lock directory = {directory}
state directory = {directory}
cache directory = {directory}
pid directory = {directory}
private dir = {directory}
ncalrpc dir = {directory}/ncalrpc
smb ports = {port}
interfaces = lo
bind interfaces only = yes
disable netbios = yes
disable spoolss = yes
load printers = no
printcap name = /dev/null
[scene]
path = {share}
""")
            for user in private_host.USERS:
                subprocess.run(["smbpasswd", "-c", self.conf, "-s", "-a", user],
                               input=f"{PASSWORD}\n" * 2, text=True, check=True,
                               capture_output=True)
            return [program, "--foreground", "--no-process-group", "--debug-stdout", "-s",
                    self.conf]
        self.process, self.port = service_scene.start_listener(command, SCENE / "smbd.log")

    def stop(self):
        self.process.kill()  # asked to end, it waits for its connections
        self.process.wait()

    @classmethod
    def prepare(cls):
        service_scene.find_program("smbclient")
        os.makedirs("/run/samba")
        Samba.server = cls("yes")


class Samba(LoginContract, UseIsNotSeen, ServiceTest):

    service = "samba"
    leader = "smbd"

    def listed(self, login):
        self.assertRegex(login.session["tty"], "^smb/[0-9]+$")
        return {"host": "127.0.0.1"}

    def enter_service(self, user):
        return Connection(user, self.server)

    def connect(self, user, server=None):
        connection = Connection(user, server or self.server)
        self.clients.append(connection)
        return connection

    def assert_refused(self, user):
        self.assertIn(REFUSED, self.connect(user).said)

    def users(self):
        return [(s["user"], s["state"]) for s in self.sessions()]

    def test_without_its_obedience_it_lets_everybody_in(self):
        server = Server("no")
        self.addCleanup(server.stop)
        self.log_in("alice")
        bob = self.connect("bob", server)
        self.assertFalse(bob.hung_up(), bob)
        self.assertEqual(self.users(), [("alice", "active")])
        self.assertEqual(self.status()["refusals"]["site_full"], 0)

    def test_each_logon_of_one_connection_takes_a_seat_until_its_logoff(self):
        self.configure(sessions_limit=3)
        login = self.log_in("alice")
        for user in ("bob", "alice"):
            self.assertNotIn("NT_STATUS_", login.log_on(user))
        self.assertEqual(self.users(), [("alice", "active"), ("bob", "active"),
                                        ("alice", "active")])
        sessions = self.sessions()
        self.assertEqual({s["pid"] for s in sessions}, {login.session["pid"]})
        self.assertEqual(len({s["tty"] for s in sessions}), 3)
        self.assert_refused("bob")
        # Of the newest, through another PAM handle than that which opened the session.
        self.assertIn("logoff successful", login.do("logoff"))
        self.assertEqual([s["id"] for s in self.sessions()], [s["id"] for s in sessions[:2]])
        self.connect("bob")
        self.assertEqual(self.active(), 3)
        login.log_out()
        self.assert_soon_active(1)
        self.assertEqual(self.status()["reaped"]["sessions"], 0)

    def test_a_logon_that_is_refused_leaves_the_others(self):
        login = self.log_in("alice")
        self.assertIn(REFUSED, login.log_on("bob"))
        self.assertEqual(self.users(), [("alice", "active")])
        login.log_out()
        self.assert_soon_active(0)

    def test_one_of_several_that_is_revoked_yields_its_seat_and_ends_nobody(self):
        self.configure(sessions_limit=2)
        login = self.log_in("alice")
        login.log_on("bob")
        [_, session] = self.sessions()
        self.assertIn(": ending: ", self.tool("revoke", session["id"], status=1))
        self.assertEqual(self.users(), [("alice", "active"), ("bob", "ending")])
        self.assertEqual(self.active(), 1)
        # The process is alice's, too, so bob goes on until the logoff.
        self.assertIn("logoff successful", login.do("logoff"))
        self.assertEqual(self.users(), [("alice", "active")])


if __name__ == "__main__":
    service_scene.main("__main__", Server.prepare)
