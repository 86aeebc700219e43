#!/usr/bin/env python3
"""Real desktops by a real xrdp-sesman, which xrdp-sesrun asks for them as xrdp does.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg xrdp_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import itertools
import os
import pathlib
import re
import signal
import subprocess

import private_host
import service_scene
from service_scene import STARTS_TERMINAL, DesktopUse, LoginContract, ServiceTest, alive
from site_scene import SCENE, site_full, wait_until

INI = pathlib.Path("/etc/xrdp/sesman.ini")
DESKTOPS = SCENE / "desktops"

# Of 0.9 and of 0.10.
REFUSED = "authentication error|User is not authorized"


class Desktop:
    """One that was asked for, or connected to again: sesman's answer, and what runs there."""

    members = ()

    def __init__(self, user, depth=32):
        self.began = set(DESKTOPS.iterdir())
        asked = subprocess.run(
            [service_scene.find_program("xrdp-sesrun"), "-t", "Xvnc", "-b", str(depth), "-F", "0",
             user], input=f"{private_host.PASSWORD}\n", capture_output=True, text=True, timeout=40)
        self.answer = asked.stdout + asked.stderr
        found = re.search(r"display=:?(\d+)", self.answer)
        self.display = f":{found[1]}" if found else None

    def started(self):
        """The processes that are a desktop's since it was asked for."""
        return [int(path.name) for path in set(DESKTOPS.iterdir()) - self.began
                if path.suffix != ".new"]

    def ended(self):
        return not alive(self.members)

    def log_out(self):
        for pid in self.started():
            os.kill(pid, signal.SIGTERM)

    def close(self):
        service_scene.end(self.members)

    def __str__(self):
        return f"{self.answer}\n" + (SCENE / "sesman.log").read_text(errors="replace")[-3000:]


class Sesman:

    @classmethod
    def prepare(cls):
        cls.program = service_scene.find_program("xrdp-sesman")
        for name in ("xrdp-sesrun", "Xvnc"):
            service_scene.find_program(name)
        service_scene.make_displays_private()
        # sesman listens on ::1, if there is one, and is looked for where localhost is.
        if pathlib.Path("/proc/net/if_inet6").exists():
            hosts = pathlib.Path("/etc/hosts")
            hosts.write_text("::1 localhost\n" + hosts.read_text())
        DESKTOPS.mkdir()
        DESKTOPS.chmod(0o1777)
        desktop = SCENE / "startwm.sh"
        desktop.write_text(f'#!/bin/sh\necho "$SESSREG_ID" >{DESKTOPS}/$$.new\n'
                           f"mv {DESKTOPS}/$$.new {DESKTOPS}/$$\n{STARTS_TERMINAL}exec sleep 1000\n")
        desktop.chmod(0o755)
        wanted = {"EnableUserWindowManager": "false", "DefaultWindowManager": desktop,
                  "LogFile": SCENE / "sesman.log", "EnableSyslog": "false"}
        # On a port of its own before 0.10, and a socket below /run from then on.
        if re.search(r"^ListenPort=\d+$", INI.read_text(), re.MULTILINE):
            wanted["ListenPort"] = service_scene.free_port()
        for key, value in wanted.items():
            INI.write_text(re.sub(f"^{key}=.*$", f"{key}={value}", INI.read_text(),
                                  flags=re.MULTILINE))
        with open(SCENE / "sesman.out.log", "ab") as log:
            cls.process = subprocess.Popen([cls.program, "-n"], stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log)
        if not wait_until(lambda: cls.answers() or cls.process.poll() is not None):
            raise RuntimeError("does not start")

    @staticmethod
    def answers():
        return "[ERROR]" not in subprocess.run(
            [service_scene.find_program("xrdp-sesrun"), "-F", "0", "root"], input="wrong\n",
            capture_output=True, text=True, timeout=40).stderr


class XrdpTest(ServiceTest):

    service = "xrdp-sesman"
    leader = "xrdp-sesman|xrdp-sesexec"

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=1)

    def listed(self, login):
        return {"host": None, "tty": login.display}

    def enter_service(self, user, depth=32):
        desktop = Desktop(user, depth)
        self.assertTrue(wait_until(desktop.started), desktop)
        return desktop

    def ask(self, user, depth=32):
        desktop = Desktop(user, depth)
        self.clients.append(desktop)
        return desktop


class SessionLineAlone(XrdpTest):

    def write_stack(self, **options):
        super().write_stack(**options)
        stack = pathlib.Path("/etc/pam.d", self.service)
        stack.write_text("".join(line for line in stack.read_text().splitlines(True)
                                 if not (line.startswith("account") and self.module in line)))

    def test_a_desktop_is_a_session(self):
        desktop = self.log_in("alice")
        for key, value in {"user": "alice", "service": self.service, "seat": True,
                           **self.listed(desktop)}.items():
            self.assertEqual(desktop.session[key], value, key)
        program = os.path.basename(os.readlink(f"/proc/{desktop.session['pid']}/exe"))
        self.assertRegex(program, f"^({self.leader})$")
        [pid] = desktop.started()
        self.assertEqual((DESKTOPS / str(pid)).read_text(), f"{desktop.session['id']}\n")
        self.assertIn(pid, [member for member, _ in desktop.members])

    def test_a_refused_session_starts_no_desktop(self):
        self.log_in("alice")
        for user, depth in (("bob", 32), ("alice", 24)):
            with self.subTest(user):
                asked = self.ask(user, depth)
                self.assertFalse(wait_until(asked.started, 2), asked)
        self.assertEqual([s["user"] for s in self.sessions()], ["alice"])
        self.assertEqual(self.status()["refusals"]["site_full"], 2)
        # Whoever asked has been told that all is well: only the log says why.
        log = (SCENE / "sesman.log").read_text()
        self.assertIn(f"PAM: {site_full(1)}", log)

    def test_the_end_of_the_desktop_gives_the_seat_back(self):
        self.log_in("alice").log_out()
        self.assert_soon_active(0)
        self.log_in("bob")
        self.assertEqual(self.status()["reaped"]["sessions"], 0)

    def test_a_desktop_that_outlives_its_killed_main_process_keeps_no_seat(self):
        # It has sesman's sid, by which nobody can tell whose it is.
        desktop = self.log_in("alice")
        os.kill(desktop.session["pid"], signal.SIGKILL)
        self.assert_purged(desktop)
        self.assertFalse(desktop.ended())

    def test_a_revoked_desktop_ends_whole_long_before_its_grace_is_over(self):
        desktop = self.log_in("alice")
        self.assertRegex(self.tool("revoke", desktop.session["id"], "--grace", "1h"), r": ended\n$")
        self.assert_gone(desktop.members, desktop.session["pid"])
        self.assertEqual((self.active(), self.sessions()), (0, []))


class Xrdp(LoginContract, DesktopUse, XrdpTest):
    """With both lines: sesman goes through the account phase, its child opens."""

    _depths = itertools.cycle((24, 32))  # so that each login of a user is another desktop

    def enter_service(self, user):
        return super().enter_service(user, next(self._depths))

    def assert_refused(self, user):
        asked = self.ask(user)
        self.assertRegex(asked.answer, REFUSED)
        self.assertFalse(wait_until(asked.started, 0.5), asked)

    def test_one_desktop_takes_one_seat_of_its_user(self):
        self.configure(sessions_limit=5, user_sessions_limit=1)
        desktop = self.log_in("alice")
        self.assertEqual([s["id"] for s in self.sessions()], [desktop.session["id"]])
        self.assertFalse(wait_until(self.ask("alice", 16).started, 2))
        self.log_in("bob")
        self.assertEqual(self.active(), 2)

    def test_killed_it_counts_on_where_it_has_an_audit_session(self):
        self.begin_audit_sessions()
        desktop = self.log_in("alice")
        os.kill(desktop.session["pid"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.sessions()[0]["state"] == "orphaned"))
        self.assertEqual(self.active(), 1)
        self.assertRegex(self.tool("revoke", desktop.session["id"], "--grace", "1s"), r": ended\n$")
        self.assertTrue(wait_until(desktop.ended))


class ConnectingAgain(XrdpTest):

    def assert_refused(self, user, depth=32):
        asked = self.ask(user, depth)
        self.assertRegex(asked.answer, REFUSED)
        self.assertFalse(wait_until(asked.started, 0.5), asked)

    def test_to_a_desktop_needs_no_seat(self):
        desktop = self.log_in("alice")
        again = self.ask("alice")
        self.assertEqual(again.display, desktop.display, again)
        self.assertEqual([s["id"] for s in self.sessions()], [desktop.session["id"]])
        self.assertEqual(self.status()["refusals"]["site_full"], 0)
        self.assert_refused("bob")

    def test_but_for_another_desktop_there_is_no_way_past_the_limit(self):
        self.log_in("alice")
        another = self.ask("alice", depth=24)
        self.assertFalse(wait_until(another.started, 2), another)
        self.assertEqual(self.active(), 1)
        self.assertEqual(self.status()["refusals"]["site_full"], 1)

    def test_needs_a_seat_where_it_is_not_known_to_lead_back(self):
        self.log_in("alice")
        self.configure(sessions_limit=1, reattach_services="")
        self.assert_refused("alice")


if __name__ == "__main__":
    service_scene.main("__main__", Sesman.prepare)
