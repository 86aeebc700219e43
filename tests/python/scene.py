"""A daemon with a registry of its own in a private folder, and servers on unix sockets that are none.

Runs as anybody: who starts a sessregd has all rights there.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HANG_S = 60  # no step of a test takes so long unless it hangs
NOBODY = 65534
LIBRARY = pathlib.Path(__file__).resolve().parents[2] / "lib" / "python"
sys.path.insert(0, str(LIBRARY))

import sessreg  # noqa: E402


def wait_until(condition, seconds=HANG_S):
    """The first true value of condition(), or the last one after that time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(0.02)


def environment(**more):
    """For processes that import the package."""
    return os.environ | {"PYTHONPATH": str(LIBRARY), "PYTHONDONTWRITEBYTECODE": "1"} | more


class Folder(unittest.TestCase):
    """A test with a private folder, in a path that is short enough for sockets."""

    def setUp(self):
        made = tempfile.TemporaryDirectory(prefix="srpy")
        self.addCleanup(made.cleanup)
        self.folder = pathlib.Path(made.name)
        self.folder.chmod(0o755)  # for the sockets in it

    def run_python(self, code, *arguments, uid=None, **environ):
        """What the code printed, run as that uid."""
        done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True,
                              text=True, timeout=HANG_S, env=environment(**environ), cwd="/",
                              **({} if uid is None else {"user": uid, "group": uid, "extra_groups": []}))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class WithDaemon(Folder):
    SECTIONS = ""

    def setUp(self):
        super().setUp()
        self.socket_path = self.folder / "sock"
        self.process = None
        self.configure(sessions_limit=2)
        self.start_daemon()
        self.addCleanup(self.kill_daemon)

    def configure(self, **keys):
        keys = {"registry": f"{self.folder}/t.reg", "key_file": f"{self.folder}/t.key"} | keys
        conf = self.folder / "t.conf"
        conf.write_text("".join(f"{key} = {value}\n" for key, value in keys.items()) + self.SECTIONS)
        conf.chmod(0o644)

    def start_daemon(self):
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                [os.environ["SESSREG_DAEMON"], "--foreground", "--site", "t", "--conf",
                 str(self.folder / "t.conf"), "--socket", str(self.socket_path)], stdout=log, stderr=log)

        def listens():
            self.assertIsNone(self.process.poll(), (self.folder / "log").read_text())
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(str(self.socket_path))
                return True
        self.assertTrue(wait_until(listens))

    def kill_daemon(self):
        self.process.kill()
        self.process.wait(HANG_S)

    def client(self, service="shop", **options):
        client = sessreg.Client(service, "t", options.pop("socket", self.socket_path),
                                **{"timeout": HANG_S} | options)
        self.addCleanup(client.close_connections)
        return client

    def seats(self):
        return self.client().list(every_service=True).active


class FakeDaemon:
    """Answers as it is told: answer(connected, message) gets each call, whole."""

    def __init__(self, path, answer):
        self.path, self._answer = path, answer
        self.calls = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listening.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected):
        read = b""
        with connected, contextlib.suppress(OSError, ValueError):  # it may be closed by the answer
            while got := connected.recv(1 << 16):
                read += got
                while b"\0" in read:
                    message, read = read.split(b"\0", 1)
                    self.calls.append(json.loads(message))
                    self._answer(connected, message)


class Relay(FakeDaemon):
    """Passes calls on to the real daemon, and loses the first answers, with their connections."""

    def __init__(self, path, daemon_path, lose=1):
        self.daemon_path, self.to_lose = str(daemon_path), lose
        super().__init__(path, self._pass_on)

    def _pass_on(self, connected, message):
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.settimeout(HANG_S)
            daemon.connect(self.daemon_path)
            daemon.sendall(message + b"\0")
            answer = b""
            while not answer.endswith(b"\0"):
                answer += daemon.recv(1 << 16)
        if self.to_lose > 0:
            self.to_lose -= 1
            connected.close()
        else:
            connected.sendall(answer)
