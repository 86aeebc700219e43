#!/usr/bin/env python3
"""Real cockpit logins over HTTP.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg cockpit_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import struct
import threading

import private_host
import service_scene
from service_scene import LoginContract, ServiceTest, UseIsNotSeen, processes, tree
from site_scene import SCENE, site_full, wait_until

WS = "/usr/lib/cockpit/cockpit-ws"


class Refused(Exception):
    pass


class Browser:
    """A user whose browser has logged in and holds a WebSocket open, as cockpit's pages do."""

    def __init__(self, user, password=private_host.PASSWORD):
        request = http.client.HTTPConnection("127.0.0.1", Server.port, timeout=30)
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        with contextlib.closing(request):
            request.request("GET", "/cockpit/login", headers={"Authorization": f"Basic {basic}"})
            answer = request.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise Refused(f"{answer.status} {answer.reason}")
            self.cookie = answer.getheader("Set-Cookie").split(";")[0]
            self.told = json.loads(body)
        self._hung_up = threading.Event()
        self._frames = []
        self._socket = socket.create_connection(("127.0.0.1", Server.port), timeout=30)
        self._socket.sendall(
            f"GET /cockpit/socket HTTP/1.1\r\nHost: 127.0.0.1:{Server.port}\r\n"
            f"Origin: http://127.0.0.1:{Server.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nCookie: {self.cookie}\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            "Sec-WebSocket-Protocol: cockpit1\r\n\r\n".encode())
        self._stream = self._socket.makefile("rb")
        status = self._stream.readline()
        if b" 101 " not in status:
            raise Refused(status.decode())
        while self._stream.readline().strip():
            pass
        self._socket.settimeout(None)
        threading.Thread(target=self._read, daemon=True).start()
        self._send({"command": "init", "version": 1})
        if not wait_until(lambda: any('"init"' in frame for frame in self._frames)):
            raise Refused(f"no init of the bridge: {self._frames}")

    def _send(self, control):
        self._send_text("\n" + json.dumps(control))

    def _send_text(self, text):
        payload = text.encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._socket.sendall(struct.pack("!BBH", 0x81, 0x80 | 126, len(payload)) + mask + masked)

    def _read(self):
        with contextlib.suppress(OSError, struct.error, ValueError):
            while True:
                first, size = struct.unpack("!BB", self._stream.read(2))
                if size == 126:
                    [size] = struct.unpack("!H", self._stream.read(2))
                elif size == 127:
                    [size] = struct.unpack("!Q", self._stream.read(8))
                payload = self._stream.read(size)
                if first & 0xF == 8:
                    break
                self._frames.append(payload.decode(errors="replace"))
        self._hung_up.set()

    def open_terminal(self):
        """As the page "Terminal" does."""
        self._send({"command": "open", "channel": "t", "payload": "stream", "pty": True,
                    "spawn": ["/bin/sh", "-i"], "environ": ["PS1=$ "]})
        self.expect("$ ")

    def type(self, line):
        self._send_text(f"t\n{line}\n")

    @property
    def text(self):
        """What was shown on the terminal."""
        return "".join(frame[2:] for frame in self._frames if frame.startswith("t\n"))

    def expect(self, text):
        if not wait_until(lambda: text in self.text):
            raise Refused(f"no {text} on the terminal: {self}")

    def ended(self):
        """Whether cockpit has hung up."""
        return self._hung_up.is_set()

    def log_out(self):
        self._send({"command": "logout", "disconnect": True})

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __str__(self):
        return "\n".join(self._frames)


class Server:

    @classmethod
    def prepare(cls):
        program = service_scene.find_program(WS)
        service_scene.find_program("cockpit-bridge")
        cls.process, cls.port = cls.start(program)

    @staticmethod
    def start(program):
        session = service_scene.find_program("/usr/lib/cockpit/cockpit-session")
        # As without it before cockpit 330; since then systemd is asked to start one.
        pathlib.Path("/etc/cockpit/cockpit.conf").write_text(f"[basic]\nCommand = {session}\n")
        return service_scene.start_listener(
            lambda port: [program, "--no-tls", "--port", str(port), "--address", "127.0.0.1"],
            SCENE / "cockpit.log")


class Cockpit(LoginContract, UseIsNotSeen, ServiceTest):

    service = "cockpit"
    leader = "cockpit-session"

    def listed(self, login):
        return {"host": "127.0.0.1", "tty": None}

    def enter_service(self, user):
        return Browser(user)

    def assert_refused(self, user):
        with self.assertRaisesRegex(Refused, f"^403 {site_full(1)}$"):
            Browser(user)

    def let_the_rest_end(self, login):
        self.assert_ended(login)  # the bridge ends without it

    def test_a_terminal_in_the_browser_is_told_why_it_ends(self):
        login = self.log_in("alice")
        login.open_terminal()
        login.type("echo IN:$((6*7)):$SESSREG_ID")
        login.expect(f"IN:42:{login.session['id']}")
        members = tree(login.session["pid"])
        self.assertGreater(len(members), len(login.members))
        self.tool("revoke", login.session["id"], "--reason", "maintenance at noon")
        login.expect("(maintenance at noon)")
        self.assert_gone(members, login.session["pid"])
        self.assertEqual(self.active(), 0)

    def test_a_killed_bridge_closes_the_session(self):
        login = self.log_in("alice")
        bridges = [pid for pid, (parent, _, _, _) in processes().items()
                   if parent == login.session["pid"]]
        self.assertEqual(len(bridges), 1)
        os.kill(bridges[0], signal.SIGKILL)
        self.assert_soon_active(0, 30)
        self.assert_ended(login)
        self.assertEqual(self.status()["reaped"]["sessions"], 0)

    def test_a_wrong_password_takes_no_seat(self):
        with self.assertRaisesRegex(Refused, "^401 "):
            Browser("alice", "wrong")
        self.assertEqual(self.sessions(), [])

    def test_a_browser_that_goes_away_gives_its_seat_back_in_seconds(self):
        login = self.log_in("alice")
        login.close()
        self.assert_soon_active(0, 40)


if __name__ == "__main__":
    service_scene.main("__main__", Server.prepare)
