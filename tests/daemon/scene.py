"""A site of its own, its daemon, and sessions in it.

Call private_host.enter() first.
"""

import contextlib
import itertools
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "system"), str(HERE.parent / "support")]

import private_host  # noqa: E402
import side_by_side  # noqa: E402
from varlink import CallFailed, Client  # noqa: E402

ALICE = private_host.USERS["alice"]
BOB = private_host.USERS["bob"]
# No test takes so long unless something hangs.
HANG_S = 30
SCENES = pathlib.Path("/run/scenes")

_numbers = itertools.count(1)


def wait_until(condition, seconds=HANG_S):
    """The first true value of condition(), or the last one after that time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(0.02)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Refused(Exception):
    """A login was refused; its arguments are the PAM code and the texts to the user."""


class LoginService:
    """`within`: the beginning of a command line that runs the rest of it."""

    def __init__(self, within=()):
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [*within, sys.executable, str(HERE / "login_service.py"), str(its.fileno())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[its.fileno()])
        its.close()
        self._socket.settimeout(HANG_S)

    def order(self, **order):
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def connect(self, path, uid, count=1):
        self.order(do="connect", path=str(path), uid=uid, count=count)
        made = []
        while len(made) < count:
            _, descriptors, _, _ = socket.recv_fds(self._socket, 10, 253)
            made += [socket.socket(fileno=fd) for fd in descriptors]
            if not descriptors:
                raise RuntimeError(f"{len(made)} of {count} connections")
        return made

    def stop(self):
        self._process.stdin.close()
        self._process.wait(HANG_S)
        self._process.stdout.close()
        self._socket.close()


class Session:
    def __init__(self, service, answer):
        self._service = service
        self.id, self.token = answer["id"], answer["token"]
        self.pid, self.child = answer["pid"], answer["child"]

    def _tell(self, say):
        return self._service.order(do="tell", pid=self.pid, say=say)

    def close(self):
        return self._tell("close")["code"]

    def exit_unclosed(self):
        self._tell("exit")

    def type(self):
        self._tell("type")

    def kill(self, signal_number=signal.SIGKILL):
        for pid in (self.pid, self.child):
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal_number)


class Site:
    """Its configuration, registry and PAM stack."""

    def __init__(self, name, directory, conf=None, registry=None):
        self.name, self.directory = name, directory
        self.conf = conf or directory / f"{name}.conf"
        self.registry = registry or directory / f"{name}.reg"
        self.service = f"service-{name}"
        arguments = f"site={name} conf={self.conf}"
        (directory / "pam").mkdir(exist_ok=True)
        (directory / "pam" / self.service).write_text("".join(
            f"{phase} required {os.environ['SESSREG_MODULE']} {arguments}\n"
            f"{phase} required pam_permit.so\n" for phase in ("account", "session")))

    def configure(self, **keys):
        lines = {"registry": self.registry, "key_file": self.directory / f"{self.name}.key"} | keys
        self.conf.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))


class Watcher:
    """Collects what Watch says, with the times, in a thread."""

    def __init__(self, client, **parameters):
        self.events = []
        self._client = client
        client.socket.settimeout(None)
        client.send("Watch", more=True, **parameters)
        client.receive()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(EOFError, OSError):
            while True:
                answer = self._client.receive()
                self.events.append((time.monotonic(), answer["parameters"]))

    def of(self, session):
        return [event["event"] for _, event in self.events
                if event["session"]["id"] == session.id]

    def when(self, session, event):
        for at, seen in list(self.events):
            if seen["event"] == event and seen["session"]["id"] == session.id:
                return at
        return None


class Daemon:
    def __init__(self, scene, arguments=None, environment=None, pass_fds=(), wait=True, within=()):
        self.scene, self.socket_path = scene, scene.socket_path
        self.log_path = scene.directory / "daemon.log"
        if arguments is None:
            arguments = ["--site", scene.site.name, "--conf", str(scene.site.conf)]
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                [*within, os.environ["SESSREG_DAEMON"], "--foreground", "--socket",
                 str(self.socket_path), *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=pass_fds,
                env=os.environ | (environment or {}))
        if wait:
            self.wait_ready()

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        def answers():
            if self.process.poll() is not None:
                raise RuntimeError("sessregd has ended:\n" + self.log())
            try:
                with Client.connect(self.socket_path) as client:
                    client.call("org.varlink.service.GetInfo")
                return True
            except (FileNotFoundError, ConnectionRefusedError, TimeoutError):
                return False
        if not wait_until(answers):
            raise RuntimeError("sessregd does not answer:\n" + self.log())

    def log(self):
        return self.log_path.read_text(errors="replace")

    def pause(self):
        """What is done until go_on() it finds all at once."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait(HANG_S)

    def stop(self):
        self.process.terminate()
        return self.process.wait(HANG_S)

    def rss_kb(self):
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def sockets(self):
        """That it listens on, and its connections."""
        folder, count = f"/proc/{self.pid}/fd", 0
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                count += os.readlink(f"{folder}/{name}").startswith("socket:")
        return count


class DaemonTest(unittest.TestCase):
    """A test with a site, a login service and, once start_daemon() was called, a daemon."""

    def setUp(self):
        name = f"s{next(_numbers)}"
        self.directory = SCENES / name
        self.directory.mkdir(mode=0o755, parents=True)
        self.socket_path = self.directory / "daemon.sock"
        self.site = Site(name, self.directory)
        self.service = LoginService()
        self.daemon = None
        self._clients = []
        self._sessions = []

    def tearDown(self):
        for client in self._clients:
            client.close()
        if self.daemon and self.daemon.process.poll() is None:
            self.daemon.kill()
        for session in self._sessions:
            session.kill()
        self.service.stop()
        if self.daemon:
            for word in ("Sanitizer", "runtime error", "left without an answer"):
                self.assertNotIn(word, self.daemon.log())

    def start_daemon(self, *arguments, **options):
        self.daemon = Daemon(self, list(arguments) or None, **options)
        return self.daemon

    def log_in(self, user="alice", site=None, service=None, **order):
        service = service or self.service
        answer = service.order(do="open", user=user, confdir=str(self.directory / "pam"),
                               service=(site or self.site).service, **order)
        if answer["code"] != 0:
            raise Refused(answer["code"], answer["texts"])
        self._sessions.append(Session(service, answer))
        return self._sessions[-1]

    def connect(self, uid=0):
        [connected] = self.service.connect(self.socket_path, uid)
        self._clients.append(Client(connected))
        return self._clients[-1]

    def call(self, method, uid=0, **parameters):
        with Client(self.service.connect(self.socket_path, uid)[0]) as client:
            return client.call(method, **parameters)

    def assert_fails(self, error, method, uid=0, **parameters):
        with self.assertRaises(CallFailed) as caught:
            self.call(method, uid, **parameters)
        self.assertEqual(caught.exception.name, error, caught.exception.parameters)
        return caught.exception.parameters

    def watch(self, uid=0, **parameters):
        return Watcher(self.connect(uid), **parameters)

    def list(self, uid=0):
        return self.call("List", uid, site=self.site.name)

    def listed(self, session):
        return next((s for s in self.list()["sessions"] if s["id"] == session.id), None)

    def assert_seats(self, seats):
        """Now or soon."""
        wait_until(lambda: self.list()["active"] == seats)
        self.assertEqual(self.list()["active"], seats, self.list())

    def assert_soon(self, condition, message=None):
        self.assertTrue(wait_until(condition), message)

    def assert_seen(self, watcher, session, *events):
        wait_until(lambda: len(watcher.of(session)) >= len(events))
        self.assertEqual(watcher.of(session), list(events))

    def tool(self, *arguments, within=(), **options):
        return subprocess.run(
            [*within, os.environ["SESSREG_TOOL"], "--site", self.site.name, "--conf", self.site.conf,
             *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=HANG_S, **options)

    def heartbeat(self):
        """When the daemon last said so (CLOCK_BOOTTIME, ms), and its pid; see lib/registry/layout.h."""
        with open(self.site.registry, "rb") as file:
            file.seek(640)
            return struct.unpack("=QQ", file.read(16))


def main(workers=12):
    """Runs the tests of the calling script. Arguments are the tests' names."""
    def log_of(test):
        daemon = getattr(test, "daemon", None)
        return "log of the daemon, its end:\n" + daemon.log()[-3000:] if daemon else ""

    side_by_side.main(workers, log_of)
