#!/usr/bin/env python3
"""Real desktops by a real LightDM, which logs in by itself (autologin).

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg lightdm_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import contextlib
import itertools
import os
import signal
import subprocess

import service_scene
from service_scene import STARTS_TERMINAL, DesktopUse, LoginContract, ServiceTest, alive
from site_scene import SCENE, wait_until

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


class Display:
    """A LightDM with one seat, whose user is logged in when it starts."""

    _numbers = itertools.count(1)

    def __init__(self, user):
        self.directory = SCENE / f"lightdm{next(self._numbers)}"
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
logind-check-graphical=false
[Seat:*]
xserver-command={self.directory}/X
session-wrapper={self.directory}/wrapper
user-session=scene
autologin-user={user}
greeter-session=none
""")
        bus = f"unix:path={self.directory}/bus"
        self._log = SCENE / "lightdm.log"
        with open(self._log, "ab") as log:
            self._bus = subprocess.Popen(
                [service_scene.find_program("dbus-daemon"), "--session", "--nofork", "--nopidfile",
                 f"--address={bus}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_until((self.directory / "bus").exists)
            self._process = subprocess.Popen(
                [service_scene.find_program("lightdm"), "--debug", "--config", conf, "--pid-file",
                 self.directory / "pid"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus})
        wait_until(lambda: self._desktop.exists() or self.gave_up(), 30)

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


def prepare():
    for name in ("lightdm", "Xvfb", "dbus-daemon"):
        service_scene.find_program(name)
    service_scene.make_displays_private()
    # It keeps a directory for each user.
    with contextlib.suppress(FileExistsError):
        os.mkdir("/var/lib/lightdm-data")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib/lightdm-data"], check=True)


class Autologin(LoginContract, DesktopUse, ServiceTest):

    service = "lightdm-autologin"
    leader = "lightdm"

    def write_stack(self, **options):
        super().write_stack(first="auth sufficient pam_permit.so", **options)

    def listed(self, login):
        self.assertRegex(login.session["tty"], "^:[0-9]+$")
        self.assertEqual(login.shown()[1], login.session["id"])
        return {"host": None}

    def enter_service(self, user):
        display = Display(user)
        self.assertTrue(display.shown(), display)
        return display

    def assert_refused(self, user):
        display = Display(user)
        self.clients.append(display)
        self.assertTrue(display.gave_up(), display)
        self.assertEqual(display.shown(), [])

    def test_what_its_user_runs_keeps_no_seat_when_the_session_was_killed(self):
        # It has a sid of its own, by which nobody can tell whose it is.
        login = self.log_in("alice")
        os.kill(login.session["pid"], signal.SIGKILL)
        self.assert_purged(login)
        self.assertIn(int(login.shown()[0]), [pid for pid, _ in alive(login.members)])


if __name__ == "__main__":
    service_scene.main("__main__", prepare)
