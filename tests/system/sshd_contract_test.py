#!/usr/bin/env python3
"""What holds for the logins of every service, for each way into a real sshd and each use of it.

usage: SESSREG_MODULE=…/pam_sessreg.so SESSREG_TOOL=…/sessreg sshd_contract_test.py [TestClass[.test]]…
Needs root; exits with 77 where it cannot run.
"""

import contextlib
import os

import service_scene
import ssh_scene
from service_scene import LoginContract, ServiceTest, UseIsNotSeen, alive
from site_scene import site_full, wait_until
from ssh_scene import STAY

# A login that stays until something is typed.
UNTIL_TYPED = "echo IN; exec head -c 1"


class Client(ssh_scene.Client):

    def type(self, text):
        with contextlib.suppress(BrokenPipeError):
            os.write(self.process.stdin.fileno(), text.encode())

    def is_in(self):
        return self.greeting() is not None

    @property
    def text(self):
        return self.out


class OnTerminal(Client):

    def log_out(self):
        self.type("\n")
        return self.wait()


class Sftp(Client):

    def is_in(self):
        self.type("pwd\n")
        return wait_until(lambda: "Remote working directory" in self.out, 40)

    def ended(self):
        if not super().ended():
            self.type("ls\n")  # it sees only so that it was cut off
        return super().ended()

    def log_out(self):
        self.type("bye\n")
        return self.wait()


class Tunnel(Client):

    def is_in(self):
        return wait_until(lambda: "Allocated port" in self.err, 40)

    def log_out(self):
        self.process.terminate()
        self.wait()
        return 0  # it has no other end


class TwoTerminals:
    """Channels of one connection."""

    def __init__(self, *arguments, options, **more):
        def channel(master):
            return OnTerminal(*arguments, options=[*options, f"ControlMaster={master}"], **more)
        self._first = channel("yes")
        self._second = channel("no") if self._first.is_in() else None

    def is_in(self):
        return self._second is not None and self._second.is_in()

    @property
    def text(self):
        """What was shown on both."""
        shown = self._second.out.splitlines()
        return "\n".join(line for line in self._first.out.splitlines() if line in shown)

    def ended(self):
        return self._first.ended() and self._second.ended()

    def log_out(self):
        return self._second.log_out() or self._first.log_out()

    def close(self):
        for channel in (self._second, self._first):
            if channel is not None:
                channel.close()

    # The refusal is that of the connection.

    def wait(self):
        return self._first.wait()

    @property
    def out(self):
        return self._first.out

    @property
    def err(self):
        return self._first.err

    def __str__(self):
        return f"{self._first}\n{self._second}"


class SshContract(LoginContract):
    """Mixed into a ServiceTest, which may say how its ssh differs."""

    service = ssh_scene.SERVICE
    leader = "sshd|sshd-session"  # since OpenSSH 9.8
    method = "publickey"
    kind = Client
    client = "ssh"
    arguments = ["scene", STAY]

    def options(self):
        return []

    def connect(self, user):
        client = self.kind(user, self.method, *self.arguments, program=self.client,
                           options=self.options())
        self.clients.append(client)
        return client

    def listed(self, login):
        # On a terminal too: sshd names it so whatever is to follow.
        return {"host": "127.0.0.1", "tty": "ssh"}

    def enter_service(self, user):
        client = self.connect(user)
        self.assertTrue(client.is_in(), client)
        log_out = client.log_out
        client.log_out = lambda: self.assertEqual(log_out(), 0, client)
        return client

    def assert_refused(self, user):
        client = self.connect(user)
        self.assertEqual(client.wait(), 255, client)
        self.assertIn(site_full(1), client.err.splitlines())
        self.assertNotIn("IN", client.out)

    def let_the_rest_end(self, login):
        # The sshd that serves the user goes on, with the sid that it had.
        self.assert_orphaned(login)
        self.assertFalse(login.ended(), login)
        self.assert_refused("bob")
        login.close()
        self.assertTrue(wait_until(lambda: not alive(login.members)), alive(login.members))


class ByPassword(SshContract, ServiceTest):
    method = "password"


class ByKeyboardInteractive(SshContract, ServiceTest):
    method = "keyboard-interactive"


class ByKey(SshContract, ServiceTest):
    pass


class ShellOnATerminal(SshContract, ServiceTest):
    kind = OnTerminal
    arguments = ["scene", UNTIL_TYPED]
    says_reason = True

    def options(self):
        return ["RequestTTY=force"]


class SeveralChannels(SshContract, ServiceTest):
    kind = TwoTerminals
    arguments = ["scene", UNTIL_TYPED]
    says_reason = True

    def options(self):
        return ["RequestTTY=force", f"ControlPath={self.directory}/control{len(self.clients)}"]


class ForwardingAlone(SshContract, UseIsNotSeen, ServiceTest):
    kind = Tunnel
    arguments = ["-N", "-R", "0:127.0.0.1:9", "scene"]


class FilesAlone(SshContract, UseIsNotSeen, ServiceTest):
    kind = Sftp
    client = "sftp"
    arguments = ["scene"]


class OlderThanTheListener(SshContract, ServiceTest):
    """As after an upgrade of sshd."""
    server = None

    def enter_service(self, user):
        login = super().enter_service(user)
        self.server.restart()
        return login


def prepare():
    for program in ("ssh", "ssh-keygen", "sftp", "sshd"):
        service_scene.find_program(program)
    OlderThanTheListener.server = ssh_scene.Sshd()


if __name__ == "__main__":
    service_scene.main("__main__", prepare)
