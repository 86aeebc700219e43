#!/usr/bin/env python3
"""Real desktops by a real LightDM, which logs in by itself (autologin), or through a greeter.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg lightdm_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

import service_scene
from private_host import PASSWORD
from service_scene import STARTS_TERMINAL, DesktopUse, LoginContract, ServiceTest, alive
from site_scene import SCENE, site_full, wait_until

# LightDM gives the X server a virtual terminal and a seat, which Xvfb does not know.
X = """#!/bin/sh
for argument; do
  shift
  case $argument in
    vt* | seat* | -seat | -novtswitch) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec Xvfb "$@"
"""


# Debian's Python has the library for greeters.
PYTHON = "/usr/bin/python3"


def has_greeter():
    asked = subprocess.run(
        [PYTHON, "-c", "import gi; gi.require_version('LightDM', '1')"], stderr=subprocess.DEVNULL)
    return asked.returncode == 0


class Display:
    """A LightDM with one seat, whose user is logged in when it starts."""

    _numbers = itertools.count(1)

    seat = "autologin-user={user}\ngreeter-session=none"

    def __init__(self, user):
        number = next(self._numbers)
        self.directory = SCENE / f"lightdm{number}"
        self.directory.mkdir(mode=0o755)
        shown = self.directory / "shown"
        shown.mkdir()
        shown.chmod(0o1777)
        self._desktop = shown / "desktop"
        for name, text in {
                "X": X,
                "wrapper": '#!/bin/sh\nexec "$@"\n',
                "desktop": f'#!/bin/sh\necho "$$ $SESSREG_ID" >{shown}/new\n'
                           f"mv {shown}/new {self._desktop}\n{STARTS_TERMINAL}exec sleep 1000\n"}.items():
            (self.directory / name).write_text(text)
            (self.directory / name).chmod(0o755)
        (self.directory / "scene.desktop").write_text(
            f"[Desktop Entry]\nType=Application\nName=Scene\nExec={self.directory}/desktop\n")
        conf = self.directory / "lightdm.conf"
        conf.write_text(f"""[LightDM]
log-directory={self.directory}/log
run-directory={self.directory}/run
cache-directory={self.directory}/cache
sessions-directory={self.directory}
greeters-directory={self.directory}
logind-check-graphical=false
# So that no other takes the number of the X server that it starts for its next greeter.
minimum-display-number={10 * number}
[Seat:*]
xserver-command={self.directory}/X
session-wrapper={self.directory}/wrapper
user-session=scene
{self.seat.format(user=user)}
""")
        self.write_greeter(user, shown)
        self.bus = f"unix:path={self.directory}/bus"
        self._log = SCENE / "lightdm.log"
        with open(self._log, "ab") as log:
            self._bus = subprocess.Popen(
                [service_scene.find_program("dbus-daemon"), "--session", "--nofork", "--nopidfile",
                 f"--address={self.bus}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_until((self.directory / "bus").exists)
            self._process = subprocess.Popen(
                [service_scene.find_program("lightdm"), "--debug", "--config", conf, "--pid-file",
                 self.directory / "pid"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": self.bus})
        wait_until(lambda: self._desktop.exists() or self.gave_up(), 30)

    def write_greeter(self, user, shown):
        pass

    def shown(self):
        """Process and session id of the desktop; nothing if there is none."""
        return self._desktop.read_text().split() if self._desktop.exists() else []

    def gave_up(self):
        """Whether it wants to ask who else might log in."""
        return self._process.poll() is not None or any(
            "starting greeter" in log.read_text(errors="replace")
            for log in self.directory.glob("log/lightdm.log"))

    def ended(self):
        return self.gave_up()

    def log_out(self):
        os.kill(int(self.shown()[0]), signal.SIGTERM)

    def close(self):
        service_scene.end(service_scene.tree(self._process.pid))
        self._process.wait()
        self._bus.kill()
        self._bus.wait()

    def __str__(self):
        return self._log.read_text(errors="replace")[-3000:]


class ByGreeter(Display):
    """The same, whose user logs in through a greeter."""

    seat = "greeter-session=greeter"

    def write_greeter(self, user, shown):
        self.said = shown / "said"
        # The tree may be in what LightDM's user cannot see.
        program = shutil.copy(pathlib.Path(__file__).with_name("greeter.py"), self.directory)
        (self.directory / "greeter.desktop").write_text(
            "[Desktop Entry]\nType=Application\nName=Greeter\n"
            f"Exec={PYTHON} {program} {user} '{PASSWORD}' {self.said}\n")

    def gave_up(self):
        return self._process.poll() is not None or (
            self.said.exists() and "out" in self.said.read_text().splitlines())

    def ended(self):
        return not os.path.exists(f"/proc/{self.shown()[0]}")

    def lock(self):
        subprocess.run([service_scene.find_program("dm-tool"), "lock"], check=True, timeout=30,
                       env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": self.bus,
                                         "XDG_SEAT_PATH": "/org/freedesktop/DisplayManager/Seat0"})


def prepare():
    for name in ("lightdm", "Xvfb", "dbus-daemon"):
        service_scene.find_program(name)
    service_scene.make_displays_private()
    # It keeps a directory for each user.
    with contextlib.suppress(FileExistsError):
        os.mkdir("/var/lib/lightdm-data")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib/lightdm-data"], check=True)


class OnDisplay:
    """Mixed in with the contract: each login is at a LightDM of its own, a `display`."""

    leader = "lightdm"

    def listed(self, login):
        self.assertRegex(login.session["tty"], "^:[0-9]+$")
        self.assertEqual(login.shown()[1], login.session["id"])
        return {"host": None}

    def enter_service(self, user):
        display = self.display(user)
        self.assertTrue(display.shown(), display)
        return display

    def assert_refused(self, user):
        display = self.display(user)
        self.clients.append(display)
        self.assertTrue(display.gave_up(), display)
        self.assertEqual(display.shown(), [])
        return display


class Autologin(LoginContract, DesktopUse, OnDisplay, ServiceTest):

    service = "lightdm-autologin"
    display = Display

    def write_stack(self, **options):
        super().write_stack(first="auth sufficient pam_permit.so", **options)

    def test_what_its_user_runs_keeps_no_seat_when_the_session_was_killed(self):
        # It has a sid of its own, by which nobody can tell whose it is.
        login = self.log_in("alice")
        os.kill(login.session["pid"], signal.SIGKILL)
        self.assert_purged(login)
        self.assertIn(int(login.shown()[0]), [pid for pid, _ in alive(login.members)])


@unittest.skipUnless(has_greeter(), "no gir1.2-lightdm-1 here: tools/install-deps test installs it")
class Greeter(LoginContract, DesktopUse, OnDisplay, ServiceTest):

    service = "lightdm"
    display = ByGreeter

    def assert_refused(self, user):
        said = super().assert_refused(user).said.read_text().splitlines()
        self.assertEqual(said[-2:], [f"info {site_full(1)}", "out"])

    def test_who_unlocks_the_screen_of_a_running_session_needs_no_seat(self):
        self.configure(sessions_limit=1, user_sessions_limit=1)
        login = self.log_in("alice")
        login.lock()
        self.assertTrue(wait_until(
            lambda: login.said.read_text().splitlines().count("in") == 2, 30), login)
        self.assertEqual([s["id"] for s in self.sessions()], [login.session["id"]])
        self.assertFalse(login.ended())
        self.assertEqual(self.active(), 1)

    def test_without_reattach_services_who_unlocks_the_screen_is_refused(self):
        self.configure(sessions_limit=1, reattach_services="")
        login = self.log_in("alice")
        login.lock()
        self.assertTrue(wait_until(lambda: "out" in login.said.read_text().splitlines(), 30), login)


if __name__ == "__main__":
    service_scene.main("__main__", prepare)
