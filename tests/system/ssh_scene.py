"""A real sshd with a PAM stack of its own, and its clients.

Call private_host.enter() first: everything here is written to its private /etc and /run.
"""

import itertools
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import unittest

import private_host
from site_scene import SCENE, SiteTest, wait_until

SERVICE = "sessreg-test"
HERE = pathlib.Path(__file__).resolve().parent

# What a login that stays runs: it says what its environment holds, and ends with its client.
STAY = 'echo "IN $SESSREG_ID $SESSREG_SITE"; exec cat'

ALLOWS_EMPTY_PASSWORDS = "127.0.0.9"  # from there
# From there a key is wanted behind each of the methods.
WANTS_MORE = {"keyboard-interactive": "127.0.0.8", "password": "127.0.0.7"}
METHODS = ("password", "keyboard-interactive", "publickey")


class Sshd:
    """One listener on a free loopback port; its PAM stack is read anew at each login."""

    def __init__(self):
        for key in ("host_key", "client_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", SCENE / key],
                           check=True)
        shutil.copy(SCENE / "client_key.pub", SCENE / "authorized_keys")
        askpass = SCENE / "askpass"
        askpass.write_text('#!/bin/sh\n[ -z "$STALL_FILE" ] || : >"$STALL_FILE"\n'
                           'echo "$SCENE_PASSWORD"\n')
        askpass.chmod(0o755)

        program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        # OpenSSH before 9.9 takes the name it was called by as its PAM service.
        (SCENE / SERVICE).symlink_to(program)
        self._settings = self._settings_of_today(program)
        self.log = SCENE / "sshd.log"
        for _ in range(20):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            if self._start():
                break
        else:
            raise RuntimeError("sshd does not start:\n" + self.log.read_text())
        self._write_ssh_config()

    @staticmethod
    def _settings_of_today(program):
        """Those that OpenSSH needs from 9.9 on, and that are errors before."""
        lines = [f"PAMServiceName {SERVICE}", "PerSourcePenalties no"]
        options = itertools.chain(*(("-o", line.replace(" ", "=")) for line in lines))
        known = subprocess.run([program, "-t", "-f", "/dev/null", "-h", SCENE / "host_key", *options],
                               stderr=subprocess.DEVNULL).returncode == 0
        return "\n".join(lines) if known else ""

    def _start(self):
        config = SCENE / "sshd_config"
        pid_file = SCENE / "sshd.pid"
        config.write_text(f"""
Port {self.port}
ListenAddress 127.0.0.1
HostKey {SCENE}/host_key
PidFile {pid_file}
UsePAM yes
{self._settings}
PasswordAuthentication yes
KbdInteractiveAuthentication yes
PermitRootLogin yes
AuthorizedKeysFile {SCENE}/authorized_keys
StrictModes no
MaxStartups 200
PrintMotd no
UseDNS no
Subsystem sftp internal-sftp
LogLevel VERBOSE
Match Address {ALLOWS_EMPTY_PASSWORDS}
  PermitEmptyPasswords yes
Match Address {WANTS_MORE["keyboard-interactive"]}
  AuthenticationMethods keyboard-interactive,publickey
Match Address {WANTS_MORE["password"]}
  AuthenticationMethods password,publickey
""")
        self._process = subprocess.Popen(
            [SCENE / SERVICE, "-D", "-f", config, "-E", self.log], stdin=subprocess.DEVNULL)
        wait_until(lambda: pid_file.exists() or self._process.poll() is not None)
        return pid_file.exists()

    def _write_ssh_config(self):
        key = (SCENE / "host_key.pub").read_text()
        (SCENE / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")
        (SCENE / "ssh_config").write_text(f"""
Host scene
  HostName 127.0.0.1
  Port {self.port}
  IdentityFile {SCENE}/client_key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {SCENE}/known_hosts
  GlobalKnownHostsFile /dev/null
  NumberOfPasswordPrompts 1
  ConnectTimeout 20
""")

    def restart(self):
        """A new listener on the same port, as after an upgrade of sshd."""
        self.stop()
        (SCENE / "sshd.pid").unlink(missing_ok=True)
        if not self._start():
            raise RuntimeError("sshd does not start again:\n" + self.log.read_text())

    def stop(self):
        self._process.terminate()
        self._process.wait(timeout=20)


class Client:
    """One ssh (or sftp) process."""

    _numbers = itertools.count(1)

    def __init__(self, user, method, *arguments, program="ssh", options=(), stall_file=None,
                 password=private_host.PASSWORD):
        stem = SCENE / f"client{next(self._numbers)}"
        self._out, self._err = stem.with_suffix(".out"), stem.with_suffix(".err")
        command = [program, "-F", SCENE / "ssh_config", "-o", f"User={user}",
                   "-o", f"PreferredAuthentications={method}"]
        for option in options:
            command += ["-o", option]
        environment = os.environ | {"SSH_ASKPASS": str(SCENE / "askpass"),
                                    "SSH_ASKPASS_REQUIRE": "force",
                                    "SCENE_PASSWORD": password,
                                    "STALL_FILE": str(stall_file or "")}
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen([*command, *arguments], env=environment,
                                            stdin=subprocess.PIPE, stdout=out, stderr=err)

    @property
    def out(self):
        return self._out.read_text(errors="replace")

    @property
    def err(self):
        return self._err.read_text(errors="replace").replace("\r", "")

    def ended(self):
        return self.process.poll() is not None

    def wait(self, seconds=40):
        """The exit status; the client is killed if it has none by then."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def greeting(self):
        """The words after IN, once the login is let in; None if the client ended before."""
        def line():
            return next((l for l in self.out.splitlines() if l.startswith("IN")), None)
        wait_until(lambda: line() is not None or self.ended(), 40)
        return None if line() is None else line().split()[1:]

    def log_out(self):
        self.process.stdin.close()
        return self.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if not self.ended():
            self.kill()
        self.process.stdin.close()

    def __str__(self):
        return f"exit status {self.process.poll()}\nstdout: {self.out}\nstderr: {self.err}"


class SceneTest(SiteTest):
    """One site per test, and logins through sshd."""

    service = SERVICE
    sshd = None

    def start(self, *arguments, **options):
        client = Client(*arguments, **options)
        self.clients.append(client)
        return client

    def log_in(self, user="alice", method="publickey", **options):
        """A login that must be let in, and stays. Sets .session_id and .site of the client."""
        client = self.start(user, method, "scene", STAY, **options)
        greeting = client.greeting()
        self.assertIsNotNone(greeting, f"{user} was not let in by {method}: {client}")
        client.session_id, client.site = (greeting + [None, None])[:2]
        return client

    def assert_refused(self, user="alice", method="publickey", *, text=None, arguments=None,
                       **options):
        client = self.start(user, method, *(arguments or ["scene", STAY]), **options)
        client.process.stdin.close()
        self.assertEqual(client.wait(), 255, client)
        self.assertNotIn("IN", client.out)
        if text is not None:
            self.assertIn(text, client.err.splitlines())
        return client


def main(tests_of, prepare=lambda: None):
    """Runs the tests of that module, after prepare() in the private view of this host; exits with
    77 where they cannot run at all."""
    for variable in ("SESSREG_MODULE", "SESSREG_TOOL"):
        if not os.path.exists(os.environ.get(variable, "")):
            sys.exit(f"set {variable} to the built file")
    for program in ("ssh", "ssh-keygen", "sftp"):
        if shutil.which(program) is None:
            private_host.skip(f"no {program} here")
    if shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin") is None:
        private_host.skip("no sshd here")
    private_host.enter()
    SCENE.mkdir(mode=0o755)
    prepare()
    sshd = SceneTest.sshd = Sshd()
    program = unittest.main(tests_of, exit=False, verbosity=2)
    sshd.stop()
    if not program.result.wasSuccessful():
        print("\nThe end of sshd's log:\n" + "\n".join(sshd.log.read_text().splitlines()[-60:]))
    sys.exit(not program.result.wasSuccessful())
