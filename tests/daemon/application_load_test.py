#!/usr/bin/env python3
"""A web application at work while its daemon is killed: nobody is over the limit, no seat is lost.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg SESSREG_DAEMON=…/sessregd
       application_load_test.py [TestClass[.test]]…
Some seconds; with SESSREG_THOROUGH=1 a minute. Needs root; exits with 77 where it cannot run.
"""

import collections
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import scene
from scene import ALICE, DaemonTest, wait_until

CLIENTS, DEVICES, LIMIT = 30, 100, 40
WORKERS, REQUESTS_A_WORKER = 6, 4
IS_THOROUGH = os.environ.get("SESSREG_THOROUGH") == "1"
SECONDS, KILLS = (60, 10) if IS_THOROUGH else (5, 3)


class Ledger:
    """Who was let in and has not begun to leave, by what the clients were told: they are in, whatever
    daemon and registry say."""

    def __init__(self):
        self._lock = threading.Lock()
        self._in = set()
        self.highest = 0

    def enter(self, device):
        with self._lock:
            self._in.add(device)
            self.highest = max(self.highest, len(self._in))

    def leave(self, device):
        with self._lock:
            self._in.discard(device)


class Web:
    """The application as its clients see it."""

    def __init__(self, test):
        self.site = test.site.name
        self._path = test.directory / "web.sock"
        self._process = subprocess.Popen(
            [sys.executable, scene.HERE / "web_application.py", self._path, test.socket_path,
             str(ALICE), str(WORKERS), str(REQUESTS_A_WORKER)], start_new_session=True)
        self._lock = threading.Lock()
        self.counts = collections.Counter()
        self.served = set()
        if not wait_until(self._path.exists):
            raise RuntimeError("the application does not start")

    def request(self, method, **parameters):
        with socket.socket(socket.AF_UNIX) as connected:
            connected.settimeout(scene.HANG_S)
            connected.connect(str(self._path))
            with connected.makefile("rw") as stream:
                stream.write(json.dumps({"method": method, "parameters": parameters}) + "\n")
                stream.flush()
                told = json.loads(stream.readline())
        with self._lock:
            self.counts[method] += 1
            self.counts[told.get("error", "gone" if "gone" in told else "answered")] += 1
            self.counts["asked again"] += told.get("again", False)
            self.served.add(told["served"])
        return told

    def stop(self):
        """False: it had ended, as a worker had failed."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        return self._process.wait(scene.HANG_S) == -signal.SIGTERM


class Device:
    """A browser: what it asks for, and what may come of that by what it was told before."""

    def __init__(self, number, web, ledger):
        self.label, self.user = f"device{number}", f"user{number % CLIENTS}"
        self._web, self._ledger = web, ledger
        self.standing = "out"  # or in; or unknown: what would have changed it was not answered
        self._id = self.token = None  # None: not known
        self._is_revoked = False  # its next use says so; None: not known

    def step(self, choice):
        """A request; `choice` is in [0, 1)."""
        if self.standing != "in" or self._id is None:
            self._log_in() if choice < 0.5 else self._use()
        elif choice < 0.1:
            self._leave("Revoke", id=self._id)
        elif choice < 0.2 and self.token:
            self._leave("Close", token=self.token)
        elif choice < 0.4:
            self._log_in()
        elif choice < 0.7 and self.token:
            told = self._web.request("Touch", token=self.token)
            self._must("error" not in told, told)
        else:
            self._use()

    def _must(self, is_right, told=None):
        if not is_right:
            raise AssertionError(f"{self.label}, {self.standing}, session {self._id}, "
                                 f"revoked: {self._is_revoked}, was told {told}")

    def _ask(self, method):
        return self._web.request(method, site=self._web.site, service="shop", user=self.user,
                                 device=self.label, label=self.label)

    def _log_in(self):
        told = self._ask("Admit")
        if "gone" in told:
            if self._is_revoked:
                self._is_revoked = None
            self._not_answered()
        elif "error" in told:
            self._must(told["error"] == "Refused" and self.standing != "in", told)
            self.standing = "out"
        else:
            self._let_in(told["answer"]["session"]["id"], told["answer"]["token"])

    def _use(self):
        told = self._ask("Use")
        if "gone" in told:
            self._not_answered()
        elif "error" in told:
            self._must(self.standing != "in", told)
            self._must(told["error"] in ("Refused", "SessionRevoked"), told)
            is_revoked = told["error"] == "SessionRevoked"
            self._must(self._is_revoked in (is_revoked, None), told)
            self.standing, self._is_revoked = "out", is_revoked
        else:
            session = told["answer"]["session"]["id"]
            self._must(not self._is_revoked and self._id in (session, None), told)
            self._let_in(session, self.token)

    def _let_in(self, session, token):
        self.standing, self._id, self.token, self._is_revoked = "in", session, token, False
        self._ledger.enter(self.label)

    def _not_answered(self):
        """Who was in stays in, by the session there was or by a new one."""
        self._id = self.token = None
        if self.standing != "in":
            self.standing = "unknown"

    def _leave(self, method, **parameters):
        self._ledger.leave(self.label)
        told = self._web.request(method, **parameters)
        # Of two calls the first may have been heard.
        was_heard = told.get("error") == "NoSuchSession" and told["again"]
        self._must("error" not in told or was_heard, told)
        self.standing = "unknown" if "gone" in told else "out"
        self._id = self.token = None
        if method == "Revoke":
            self._is_revoked = True if "answer" in told else None


class Observer:
    """Reads the registry again and again, beside the daemon. A session that holds a seat in two looks
    has held it in between, so those that do held theirs at once."""

    def __init__(self, look):
        self._look = look
        self.highest = self.looks = 0

    def watch(self, until):
        before = {}
        while not until.wait(0.05):
            now = {s["id"]: s["tty"] for s in self._look()["sessions"] if s["seat"]}
            at_once = [now[session] for session in now.keys() & before.keys()]
            self.highest = max(self.highest, len(at_once))
            self.looks += 1
            if len(set(at_once)) != len(at_once):
                raise AssertionError(f"two sessions of a device: {sorted(at_once)}")
            before = now


class UnderLoad(DaemonTest):

    def setUp(self):
        super().setUp()
        self.site.configure(sessions_limit=LIMIT)
        with self.site.conf.open("a") as file:
            file.write("[service shop]\nclients = alice\n")
        self.start_daemon()
        self.web = Web(self)
        self.addCleanup(self.web.stop)

    def look(self):
        done = self.tool("list", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    @staticmethod
    def client(number, devices, until):
        chance = random.Random(number)
        while not until.is_set():
            chance.choice(devices).step(chance.random())

    def play(self):
        """Returns the devices as they are when all clients have stopped."""
        ledger, observer, faults = Ledger(), Observer(self.look), []
        devices = [Device(number, self.web, ledger) for number in range(DEVICES)]
        for device in devices:
            device.step(0)  # all log in, and the last are refused
        stop = threading.Event()

        def start(run, *arguments):
            def noting_faults():
                try:
                    run(*arguments, stop)
                except Exception as fault:
                    faults.append(repr(fault))
            threads.append(threading.Thread(target=noting_faults))
            threads[-1].start()
        threads = []
        start(observer.watch)
        for number in range(CLIENTS):
            start(self.client, number, devices[number::CLIENTS])
        ends = time.monotonic() + SECONDS
        try:
            for left in range(KILLS, 0, -1):
                time.sleep(max(0, (ends - time.monotonic()) / (left + 1)))
                self.daemon.kill()
                self.start_daemon()
            time.sleep(max(0, ends - time.monotonic()))
        finally:
            stop.set()
            for thread in threads:
                thread.join(2 * scene.HANG_S)
        counts = self.web.counts
        print(f"{sum(counts[m] for m in ('Admit', 'Use', 'Touch', 'Close', 'Revoke'))} requests: "
              f"{dict(counts)}; at most {ledger.highest} of {LIMIT} in by what clients were told, "
              f"{observer.highest} by {observer.looks} looks at the registry", flush=True)
        self.assertEqual(faults, [])
        self.assertFalse(any(thread.is_alive() for thread in threads))
        self.assertEqual(ledger.highest, LIMIT)
        self.assertLessEqual(observer.highest, LIMIT)
        self.assertGreaterEqual(counts["Refused"], DEVICES - LIMIT)
        self.assertGreater(counts["asked again"] + counts["gone"], 0)
        self.assertEqual(self.web.served, set(range(1, REQUESTS_A_WORKER + 1)))
        return devices

    def test_nobody_is_over_the_limit_and_no_seat_is_lost(self):
        devices = self.play()
        self.assertTrue(self.web.stop())
        seated = [s for s in self.look()["sessions"] if s["seat"]]
        labels = [s["tty"] for s in seated]
        self.assertEqual(len(set(labels)), len(labels), "one session a device")
        for device in devices:
            if device.standing != "unknown":
                self.assertEqual(device.label in labels, device.standing == "in", device.label)

        with self.connect(ALICE) as client:
            tokens = {device.label: device.token for device in devices if device.token}
            for session in seated:
                if session["tty"] in tokens:
                    client.call("Close", token=tokens[session["tty"]])
                else:
                    client.call("Revoke", id=session["id"])
            self.assertEqual(self.look()["active"], 0)
            later = {"site": self.site.name, "service": "shop", "user": "later"}
            for number in range(LIMIT):
                client.call("Admit", device=f"later{number}", **later)
            self.assert_fails("Refused", "Admit", ALICE, device="one more", **later)
        self.assertEqual(self.look()["active"], LIMIT)


if __name__ == "__main__":
    scene.private_host.enter()
    scene.main()
