"""What sessregd does while its unit confines it; run by systemd_test.py inside its systemd."""

import json
import os
import pathlib
import pty
import signal
import socket
import subprocess
import time
import unittest

import own_systemd
import private_host
from su_login import Login, wait_until

CONF = pathlib.Path("/etc/security/sessreg.conf")
SOCKET = "/run/sessreg/sessregd.sock"
DAEMON = "sessregd.service"
ALICE = private_host.USERS["alice"]


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def sessions():
    """As the registry has them: what is done to them must be the daemon's doing."""
    listed = run(os.environ["SESSREG_TOOL"], "list", "--json")
    return json.loads(listed.stdout)["sessions"]


def journal(identifier):
    return run("journalctl", "--no-pager", "-o", "cat", "-t", identifier).stdout


def property_of(name, unit=DAEMON):
    return run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()


def call_as_alice(method):
    """The daemon's reply to alice."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(15)
    os.seteuid(ALICE)  # whose the connection is, is settled as it is made
    try:
        client.connect(SOCKET)
    finally:
        os.seteuid(0)
    with client:
        client.sendall(json.dumps({"method": method}).encode() + b"\0")
        reply = b""
        while not reply.endswith(b"\0"):
            piece = client.recv(65536)
            if not piece:
                raise ConnectionError(f"the daemon hung up after {reply!r}")
            reply += piece
    return json.loads(reply[:-1])


class UnderSystemd(unittest.TestCase):

    def setUp(self):
        self.configure()
        run("systemctl", "reset-failed")
        self.command("systemctl", "start", "sessregd.socket")
        self.command("systemctl", "restart", DAEMON)

    def tearDown(self):
        # A system call outside the filter, and whatever else would end it.
        self.assertEqual(property_of("ActiveState"), "active", journal("sessregd"))
        self.configure()
        self.assertTrue(wait_until(lambda: not sessions()))

    def configure(self, **keys):
        CONF.write_text("ignore_services =\nreservation_time = 5\n" +
                        "".join(f"{key} = {value}\n" for key, value in keys.items()))

    def command(self, *command):
        done = run(*command)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}{journal('sessregd')}")

    def log_in(self):
        login = Login()
        self.addCleanup(login.clean_up)
        return login

    def assert_logged(self, identifier, *words):
        def is_there():
            return any(all(word in line for word in words)
                       for line in journal(identifier).splitlines())
        self.assertTrue(wait_until(is_there), f"{words} not in:\n{journal(identifier)}")


class AtWork(UnderSystemd):

    def test_a_session_is_told_and_ended_when_its_lifetime_is_over(self):
        self.configure(session_lifetime=2, message_revoked="Time is up.")
        login = self.log_in()
        self.assertTrue(wait_until(lambda: b"Time is up. (its lifetime is over)" in login.screen()),
                        login.screen())
        self.assertTrue(wait_until(login.is_over))
        self.assertTrue(wait_until(lambda: not sessions()))
        self.assert_logged("sessreg", "event=end", f"session={login.id}", "user=alice")

    def test_processes_of_another_user_are_ended_too(self):
        self.configure(session_lifetime=2)
        login = self.log_in()
        login.kill(login.pid)
        self.assertEqual([session["state"] for session in sessions()], ["orphaned"])
        self.assertTrue(wait_until(login.is_over))
        self.assertTrue(wait_until(lambda: not sessions()))

    def test_a_seat_is_freed_when_the_processes_of_its_session_have_gone(self):
        login = self.log_in()
        login.kill(login.pid)  # first, or it would close its session itself
        login.kill(login.shell)
        self.assert_logged("sessregd", "freed the session", login.id)

    def test_it_looks_after_sessions_that_were_made_under_another_boot_id(self):
        pid = property_of("MainPID")
        boot_id = "/proc/sys/kernel/random/boot_id"
        shown = pathlib.Path(f"/proc/{pid}/root{boot_id}").read_text()
        self.assertNotEqual(shown, pathlib.Path(boot_id).read_text(), "its unit is shown the same")
        login = self.log_in()
        listed = call_as_alice("org.sessreg.Sessions.List")
        self.assertEqual([session["id"] for session in listed["parameters"]["sessions"]], [login.id])
        login.kill(login.pid)
        login.kill(login.shell)
        self.assert_logged("sessregd", "freed the session", login.id)

    def test_a_session_whose_terminal_nobody_types_on_expires(self):
        # Without a terminal it would never be called unused: so it was seen, through /proc, though
        # the daemon's mounts are its own.
        self.configure(session_ttl=2)
        login = self.log_in()
        self.assertTrue(wait_until(lambda: b"(it was not used for too long)" in login.screen()),
                        login.screen())
        self.assertTrue(wait_until(login.is_over))

    def test_anybody_may_ask_it(self):
        self.command("systemctl", "stop", DAEMON)
        reply = call_as_alice("org.varlink.service.GetInfo")
        self.assertEqual(reply["parameters"]["product"], "sessregd")
        # It was the socket that started it.
        self.assertEqual(property_of("ActiveState"), "active")
        self.assertEqual(os.stat(SOCKET).st_mode & 0o777, 0o666)

    def test_a_reload_reads_the_configuration_again(self):
        self.command("systemctl", "reload", DAEMON)
        self.assert_logged("sessregd", "reading the configuration again")
        self.configure(sessions_limit="many")
        self.command("systemctl", "reload", DAEMON)
        self.assert_logged("sessregd", f"{CONF}:3:", "goes on with what it had")


class Desktops(UnderSystemd):
    """su as a display manager, on a terminal that alice does not use: the daemon hears from logind
    whether she is idle, as her desktop tells it."""

    def setUp(self):
        self.command("systemctl", "start", "dbus.socket", "systemd-logind.service")
        settings = pathlib.Path("/etc/security/desktop.conf")
        settings.write_text("XDG_SESSION_TYPE DEFAULT=x11\n")
        write_stack(before=f"session required pam_env.so readenv=0 conffile={settings}",
                    after="session required pam_systemd.so")
        self.addCleanup(write_stack)
        super().setUp()

    def tell(self, session, is_idle):
        self.command("busctl", "call", "org.freedesktop.login1", session,
                     "org.freedesktop.login1.Session", "SetIdleHint", "b", is_idle)

    def log_in_to_desktop(self):
        login = self.log_in()
        return login, self.output("busctl", "--json=short", "call", "org.freedesktop.login1",
                                  "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
                                  "GetSessionByPID", "u", login.pid)["data"][0]

    def output(self, *command):
        done = run(*command)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def state_of(self, login):
        return next((session["state"] for session in sessions() if session["id"] == login.id), None)

    def test_that_says_nothing_is_never_unused(self):
        self.configure(session_ttl=2)
        login, _ = self.log_in_to_desktop()
        time.sleep(4)  # twice the time after which its terminal alone would have it ended
        self.assertEqual(self.state_of(login), "active")
        login.clean_up()

    def test_expires_when_it_says_that_its_user_is_idle(self):
        self.configure(session_ttl=10)
        login, desktop = self.log_in_to_desktop()
        self.tell(desktop, "true")
        self.assertTrue(wait_until(lambda: b"(it was not used for too long)" in login.screen(), 40),
                        login.screen())
        self.assertTrue(wait_until(login.is_over))

    def test_a_parked_one_returns_when_its_user_does(self):
        self.configure(sessions_limit=1, idle_after=2)
        login, desktop = self.log_in_to_desktop()
        self.tell(desktop, "true")
        self.assertTrue(wait_until(lambda: self.is_idle(login), 30), sessions())
        other = self.other_login()
        self.assertTrue(other, sessions())
        self.assertEqual(self.state_of(login), "parked")
        other.clean_up()
        self.tell(desktop, "false")
        self.assertTrue(wait_until(lambda: self.state_of(login) == "active"), sessions())
        self.assertIsNone(self.other_login(), "it was not seen that the desktop is used again")
        login.clean_up()

    def test_is_idle_only_as_long_as_somebody_would_see_it_used_again(self):
        self.configure(sessions_limit=1, idle_after=2)
        login, desktop = self.log_in_to_desktop()
        self.tell(desktop, "true")
        self.assertTrue(wait_until(lambda: self.is_idle(login), 30), sessions())
        self.command("systemctl", "stop", DAEMON, "sessregd.socket")
        self.assertTrue(wait_until(lambda: not self.is_idle(login), 30), sessions())
        self.assertIsNone(self.other_login())
        self.command("systemctl", "start", "sessregd.socket", DAEMON)
        self.assertTrue(wait_until(lambda: self.is_idle(login), 30), sessions())
        # Logind forgets it, and does not hear that its user is back.
        self.command("systemctl", "restart", "systemd-logind.service")
        self.assertTrue(wait_until(lambda: not self.is_idle(login), 30), sessions())
        self.tell(desktop, "true")
        self.assertTrue(wait_until(lambda: self.is_idle(login), 30), sessions())
        self.command("systemctl", "stop", "systemd-logind.service")
        self.assertTrue(wait_until(lambda: not self.is_idle(login), 30), sessions())
        login.clean_up()

    def test_one_that_only_logind_knows_of_is_used_until_it_says_otherwise(self):
        write_stack(after="session required pam_systemd.so type=wayland")
        self.configure(sessions_limit=1, idle_after=8)  # longer than between two rounds
        login, desktop = self.log_in_to_desktop()
        time.sleep(12)
        self.assertIsNone(self.other_login(), sessions())
        self.tell(desktop, "true")
        other = wait_until(self.other_login, 40)
        self.assertTrue(other, sessions())
        other.clean_up()
        login.clean_up()

    def test_more_are_asked_after_than_at_once(self):
        self.configure(session_ttl=1000)
        others = [self.log_in() for _ in range(40)]
        login, desktop = self.log_in_to_desktop()
        self.tell(desktop, "true")
        self.assertTrue(wait_until(lambda: self.is_idle(login), 40), sessions())
        for each in (*others, login):
            each.clean_up()

    def is_idle(self, login):
        listed = self.output(os.environ["SESSREG_TOOL"], "list", "--idle", "2s", "--json")
        return login.id in [session["id"] for session in listed["sessions"]]

    def other_login(self):
        """bob's, or None if he is refused."""
        try:
            login = Login("bob")
        except AssertionError:
            return None
        self.addCleanup(login.clean_up)
        return login


class Units(UnderSystemd):

    def test_the_shell_of_one_with_a_login_ends_long_before_the_grace_is_over(self):
        write_stack("login")
        pid, master = pty.fork()
        if pid == 0:
            # As machinectl's shell is one. It ignores SIGTERM.
            os.execvp("systemd-run", ["systemd-run", "--quiet", "--pty", "--uid=alice",
                                      "--property=PAMName=login", "/bin/sh", "-i"])
        self.addCleanup(os.close, master)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        self.assertTrue(wait_until(sessions), journal("sessreg"))
        [session] = sessions()
        self.assertEqual((session["service"], session["user"]), ("login", "alice"))
        began = time.monotonic()
        self.command(os.environ["SESSREG_TOOL"], "revoke", session["id"], "--grace", "1h")
        self.assertLess(time.monotonic() - began, 60)
        self.assertEqual(sessions(), [])


class Stopped(UnderSystemd):

    def test_sessions_outlive_the_daemon(self):
        login = self.log_in()
        registry = os.stat("/run/sessreg/default.reg").st_ino
        self.command("systemctl", "stop", DAEMON, "sessregd.socket")
        self.assertEqual(os.stat("/run/sessreg/default.reg").st_ino, registry)
        self.assertEqual([session["id"] for session in sessions()], [login.id])
        self.command("systemctl", "start", "sessregd.socket", DAEMON)
        self.assertEqual([session["id"] for session in sessions()], [login.id])
        login.kill(login.pid)  # first, or it would close its session itself
        login.kill(login.shell)
        self.assert_logged("sessregd", "freed the session", login.id)

    def test_daemon_and_socket_can_be_restarted_together(self):
        self.command("systemctl", "restart", DAEMON, "sessregd.socket")
        self.assertEqual(property_of("ActiveState", "sessregd.socket"), "active")
        self.assertEqual(call_as_alice("org.varlink.service.GetInfo")["parameters"]["product"],
                         "sessregd")

    def test_a_crash_is_followed_by_a_start(self):
        before = property_of("MainPID")
        os.kill(int(before), signal.SIGKILL)
        self.assertTrue(wait_until(lambda: property_of("MainPID") not in ("0", before)))
        self.assertTrue(wait_until(lambda: property_of("ActiveState") == "active"))

    def test_a_daemon_that_hangs_is_replaced(self):
        drop_in = own_systemd.UNITS / f"{DAEMON}.d" / "watchdog.conf"
        drop_in.write_text("[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n")
        self.addCleanup(run, "systemctl", "daemon-reload")
        self.addCleanup(drop_in.unlink)
        self.command("systemctl", "daemon-reload")
        self.command("systemctl", "restart", DAEMON)
        before = property_of("MainPID")
        for _ in range(2):
            said = property_of("WatchdogTimestampMonotonic")
            self.assertTrue(wait_until(
                lambda s=said: property_of("WatchdogTimestampMonotonic") != s),
                "it does not say that it is well")
        self.assertEqual(property_of("MainPID"), before)
        os.kill(int(before), signal.SIGSTOP)
        self.assertTrue(wait_until(lambda: property_of("MainPID") not in ("0", before)))
        self.assertTrue(wait_until(lambda: property_of("ActiveState") == "active"))


class Confined(UnderSystemd):

    def test_it_can_write_nowhere_but_to_the_registry_and_beside_the_key(self):
        daemon = property_of("MainPID")
        for directory, is_writable in {"/run/sessreg": True, "/run": False, "/etc": False,
                                       "/usr": False, "/var/lib/sessreg": True,
                                       "/var/lib": False, "/var/log": False}.items():
            with self.subTest(directory):
                written = run("nsenter", "--mount", "--target", daemon, "touch",
                              f"{directory}/.sessreg-test")
                self.assertEqual(written.returncode == 0, is_writable, written.stderr)
        for directory in "/run/sessreg", "/var/lib/sessreg":
            os.unlink(f"{directory}/.sessreg-test")

    def test_it_sees_no_secrets_of_others(self):
        daemon = property_of("MainPID")
        for command in (["cat", "/etc/shadow"], ["cat", "/etc/gshadow"], ["ls", "-A", "/etc/ssh"],
                        ["ls", "-A", "/root"]):
            with self.subTest(command):
                self.assertNotEqual(run(*command).stdout, "")
                self.assertEqual(run("nsenter", "--mount", "--target", daemon, *command).stdout, "")

    def test_it_has_three_capabilities_and_gets_no_others(self):
        status = dict(line.split(":\t", 1) for line in
                      pathlib.Path(f"/proc/{property_of('MainPID')}/status").read_text()
                      .splitlines() if ":\t" in line)
        dac_override, kill, sys_ptrace = 1, 5, 19
        few = (1 << dac_override) | (1 << kill) | (1 << sys_ptrace)
        for name, value in {"CapBnd": few, "CapPrm": few, "CapAmb": 0}.items():
            self.assertEqual(int(status[name], 16), value, name)
        self.assertEqual((status["NoNewPrivs"].strip(), status["Seccomp"].strip()), ("1", "2"))


def write_stack(service="su", before="", after=""):
    """That service's, with these lines around that of the module's session."""
    module = os.environ["SESSREG_MODULE"]
    pathlib.Path("/etc/pam.d", service).write_text("\n".join((
        "auth sufficient pam_rootok.so",
        f"account required {module}", "account required pam_permit.so",
        before, f"session required {module}", after, "session required pam_permit.so", "")))


def main():
    write_stack()
    result = unittest.main(module="under_systemd", exit=False, verbosity=2).result
    return 0 if result.wasSuccessful() and result.testsRun > 0 else 1
