"""What holds for the sessions of every login service, whatever it is.

A service's test module has a ServiceTest with the questions of LoginContract answered for it.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

import private_host
from site_scene import SCENE, SiteTest, site_full, wait_until

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def find_program(*names):
    """The first of these programs or paths that is there; the tests are skipped if none is."""
    for name in names:
        found = shutil.which(name, path=PATH)
        if found:
            return found
    private_host.skip(f"no {names[0]} here: tools/install-deps test installs it")


def make_displays_private():
    """X's sockets are files in /tmp, and names and ports of the network."""
    # What is tested may lie there, too.
    for variable in ("SESSREG_MODULE", "SESSREG_TOOL"):
        os.environ[variable] = shutil.copy(os.environ[variable], SCENE)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp"], check=True)
    private_host.leave_network()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_listener(command_for, log):
    """A server on a free loopback port: command_for(port) is its command. Its process, and the
    port."""
    for _ in range(20):
        port = free_port()
        with open(log, "ab") as file:
            process = subprocess.Popen(command_for(port), stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=file)

        def answers():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return True
            return process.poll() is not None
        # Another test's listener may have taken the port since.
        if wait_until(answers) and process.poll() is None:
            return process, port
        process.kill()
        process.wait()
    raise RuntimeError("does not start:\n" + pathlib.Path(log).read_text(errors="replace"))


def processes():
    """pid -> (parent, sid, state, start time) of all."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            stat = pathlib.Path("/proc", pid, "stat").read_text(errors="replace")
            fields = stat[stat.rindex(")") + 2:].split()
            found[int(pid)] = (int(fields[1]), int(fields[3]), fields[0], int(fields[19]))
    return found


def tree(leader):
    """The (pid, start time) of that process, of its descendants, and of those with its sid."""
    table = processes()
    members = {leader} & table.keys()
    while True:
        more = {pid for pid, (parent, sid, _, _) in table.items()
                if parent in members or sid == leader} - members
        if not more:
            return {(pid, table[pid][3]) for pid in members}
        members |= more


def alive(members):
    """Those of them that still run."""
    table = processes()
    return {(pid, start) for pid, start in members
            if pid in table and table[pid][3] == start and table[pid][2] not in "ZX"}


def end(members):
    for pid, _ in alive(members):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class ServiceTest(SiteTest):

    def log_in(self, user="alice"):
        """A login that must be let in, with its session in .session."""
        login = self.enter_service(user)
        self.clients.append(login)
        found = wait_until(lambda: [s for s in self.sessions()
                                    if s["user"] == self.listed_user(user)
                                    and s["state"] == "active"])
        self.assertEqual(len(found), 1, f"{self.listing()}\n{login}")
        login.session = found[0]
        login.members = tree(login.session["pid"])
        self.addCleanup(end, login.members)
        return login

    def listed_user(self, user):
        return user

    def assert_orphaned(self, login):
        orphaned = wait_until(lambda: self.session(login.session["id"])["state"] == "orphaned")
        self.assertTrue(orphaned, self.listing())

    def assert_purged(self, login):
        """By `purge`, soon: its process may be about to exit."""
        said = []

        def purged():
            said.append(self.tool("purge"))
            return "1 dead session" in said[-1]
        self.assertTrue(wait_until(purged), f"{said[:3]} {self.listing()} {login.session}")
        self.assertEqual((self.active(), self.sessions()), (0, []))

    def assert_gone(self, members, leader):
        """None of them runs; the one that has closed the session may still be about to exit."""
        self.assertEqual({(pid, start) for pid, start in alive(members) if pid != leader}, set())
        self.assertTrue(wait_until(lambda: not alive(members)), alive(members))

    def assert_ended(self, login, seconds=15):
        self.assertTrue(wait_until(login.ended, seconds), f"still there: {login}")


class ShellOnATerminal:
    """A login is a shell on a terminal, which knock(user, …) has asked for."""

    def enter_service(self, user, *options):
        login = self.knock(user, *options)
        login.log_out = lambda: self.leave(login)
        self.assertTrue(login.expect("$ "), login)  # what is typed before that is thrown away
        login.type("echo IN:$((6*7)):$SESSREG_ID")
        self.assertTrue(login.expect("IN:42:"), login)
        return login

    def leave(self, login):
        login.type("exit")
        self.assertEqual(login.wait(), 0, login)


class LoginContract:
    """Mixed into a ServiceTest, which says how its service is used:

    enter_service(user)   starts a login; what it gives has ended(), log_out(), close()
    assert_refused(user)  one that must be refused, and told so as this service does
    listed                what `list` must say of a login of alice
    """

    settings = {}
    says_reason = False  # whether the user sees why a session was revoked
    closes = True  # False: it has no rights left by then, and its session ends with its processes

    def setUp(self):
        super().setUp()
        self.configure(sessions_limit=1, **self.settings)

    def test_a_login_is_admitted_and_listed(self):
        login = self.log_in("alice")
        self.assertRegex(login.session["id"], "^[0-9a-f]{32}$")
        for key, value in {"uid": private_host.USERS["alice"], "site": "test", "seat": True,
                           "service": self.service, **self.listed(login)}.items():
            self.assertEqual(login.session[key], value, key)
        program = os.path.basename(os.readlink(f"/proc/{login.session['pid']}/exe"))
        self.assertRegex(program, f"^({self.leader})$")
        self.assertEqual(self.active(), 1)
        self.assertEqual([s["id"] for s in self.sessions()], [login.session["id"]])

    def test_a_full_site_refuses_and_says_so(self):
        self.log_in("alice")
        self.assert_refused("bob")
        self.assertEqual(self.active(), 1)
        self.assertEqual([s["user"] for s in self.sessions()], [self.listed_user("alice")])
        self.assertEqual(self.status()["refusals"]["site_full"], 1)

    def test_a_normal_end_gives_the_seat_back(self):
        login = self.log_in("alice")
        login.log_out()
        self.assert_soon_active(0, 30)
        self.log_in("bob")
        # Closed, not found dead.
        self.assertEqual(self.status()["reaped"]["sessions"], 0 if self.closes else 1)

    def test_a_session_whose_main_process_was_killed_gives_its_seat_to_the_next(self):
        login = self.log_in("alice")
        os.kill(login.session["pid"], signal.SIGKILL)
        wait_until(lambda: not alive({(login.session["pid"], m[1]) for m in login.members
                                      if m[0] == login.session["pid"]}))
        self.let_the_rest_end(login)
        time.sleep(1.1)  # a search of the last second may be believed
        self.log_in("bob")
        self.assertEqual(self.active(), 1)

    def test_purge_reaps_a_session_whose_main_process_was_killed(self):
        login = self.log_in("alice")
        os.kill(login.session["pid"], signal.SIGKILL)
        self.let_the_rest_end(login)
        self.assert_purged(login)

    def let_the_rest_end(self, login):
        """For services whose user goes on without the main process."""

    def test_a_revoked_session_ends_whole_and_gives_the_seat_back(self):
        login = self.log_in("alice")
        self.assertIn(login.session["pid"], [pid for pid, _ in login.members])
        # Long before the grace is over: by itself, at the signal that its service understands.
        said = self.tool("revoke", login.session["id"][:8], "--reason", "maintenance at noon",
                         "--grace", "1h")
        self.assertRegex(said, r": ended\n$")
        self.assert_gone(login.members, login.session["pid"])
        self.assertEqual(self.active(), 0)
        self.assertEqual(self.sessions(), [])
        self.assert_ended(login)
        if self.says_reason:
            self.assertIn("(maintenance at noon)", login.text)
        self.log_in("bob")

    def test_a_session_that_is_evicted_by_a_newer_one_of_its_user_ends_whole(self):
        self.configure(user_sessions_limit=1, user_limit_policy="evict", **self.settings)
        victim = self.log_in("alice")
        newer = self.log_in("alice")
        self.assert_ended(victim)
        self.assertTrue(wait_until(lambda: not alive(victim.members)), alive(victim.members))
        self.assertTrue(wait_until(
            lambda: [s["id"] for s in self.sessions()] == [newer.session["id"]]), self.listing())
        self.assertFalse(newer.ended())
        if self.says_reason:
            self.assertIn("(a newer login of the same user took its place)", victim.text)


class UseIsNotSeen:
    """Mixed in with the LoginContract of a service whose sessions have no terminal."""

    def test_a_session_without_a_terminal_never_yields_its_seat(self):
        self.configure(sessions_limit=1, idle_after="1s", **self.settings)
        self.log_in("alice")
        time.sleep(1.5)
        self.assert_refused("bob")
        self.assertEqual([s["state"] for s in self.sessions()], ["active"])


class DesktopUse(UseIsNotSeen):
    """The same for desktops, which run STARTS_TERMINAL."""

    def test_an_unused_terminal_on_it_does_not_make_it_idle(self):
        for path in (_TERMINAL_WANTED, _TERMINAL_THERE):
            self.addCleanup(path.unlink, missing_ok=True)
        _TERMINAL_WANTED.touch()
        self.configure(sessions_limit=1, idle_after="1s", **self.settings)
        self.log_in("alice")
        self.assertTrue(wait_until(_TERMINAL_THERE.exists))
        time.sleep(1.5)
        self.assert_refused("bob")
        self.assertEqual([s["state"] for s in self.sessions()], ["active"])


# What the shell script of a desktop has in it; make_displays_private() has been called.
_TERMINAL_WANTED = pathlib.Path("/tmp/terminal-wanted")
_TERMINAL_THERE = pathlib.Path("/tmp/terminal-there")
STARTS_TERMINAL = f"""if [ -e {_TERMINAL_WANTED} ]; then
  script -qc 'tty >{_TERMINAL_THERE} && exec sleep 1000' /dev/null </dev/null >/dev/null &
fi
"""


def main(tests_of, prepare=lambda: None):
    """Runs the tests of that module in a private view of this host; prepare() is run in it."""
    for variable in ("SESSREG_MODULE", "SESSREG_TOOL"):
        if not os.path.exists(os.environ.get(variable, "")):
            sys.exit(f"set {variable} to the built file")
    private_host.enter()
    SCENE.mkdir(mode=0o755)
    prepare()
    program = unittest.main(tests_of, exit=False, verbosity=2)
    if not program.result.wasSuccessful():
        for log in sorted(SCENE.glob("*.log")):
            print(f"\nThe end of {log.name}:")
            print("\n".join(log.read_text(errors="replace").splitlines()[-60:]))
    sys.exit(not program.result.wasSuccessful())
