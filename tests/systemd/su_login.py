"""Logins by su: a real service with a terminal, whose leader is root's and whose shell the user's.

The PAM stack of su must have the module, and its configuration must not ignore su.
"""

import os
import pty
import signal
import time

import private_host

ALICE = private_host.USERS["alice"]


def wait_until(condition, seconds=15):
    """The first true value of condition(), or the last one after that time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(0.05)


class Login:
    """alice, by su on a terminal that is hers alone: not even its group may write to it."""

    def __init__(self):
        self.seen = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.fchown(0, ALICE, -1)
            os.fchmod(0, 0o600)
            os.execvp("su", ["su", "alice", "--session-command",  # -c would leave the session
                             'trap "" HUP; echo "IN $SESSREG_ID $$"; exec sleep 1000'])
        os.set_blocking(self.master, False)
        if not wait_until(lambda: b"IN " in self.screen() and b"\n" in self.screen()):
            raise AssertionError(f"alice was not let in: {self.screen()}")
        _, self.id, shell = self.screen().decode().split()
        self.shell = int(shell)

    def screen(self):
        try:
            self.seen += os.read(self.master, 65536)
        except OSError:  # nothing to read, or nobody has it open any more
            pass
        return self.seen

    def is_over(self):
        return not is_running(self.pid) and not is_running(self.shell)

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))

    def clean_up(self):
        for pid in (self.pid, self.shell):
            if is_running(pid):
                self.kill(pid)
        os.close(self.master)


def is_running(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    return os.path.exists(f"/proc/{pid}")
