"""Logins by su: a real service with a terminal, whose leader is root's and whose shell the user's.

The PAM stack of su must have the module, and its configuration must not ignore su.
"""

import os
import pty
import signal
import time

import private_host


def wait_until(condition, seconds=15):
    """The first true value of condition(), or the last one after that time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(0.05)


class Login:
    """By su, on a terminal that is the user's alone: not even its group may write to it."""

    def __init__(self, user="alice"):
        self.seen = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.fchown(0, private_host.USERS[user], -1)
            os.fchmod(0, 0o600)
            os.execvp("su", ["su", user, "--session-command",  # -c would leave the session
                             'trap "" HUP; echo "IN $SESSREG_ID $$"; exec sleep 1000'])
        os.set_blocking(self.master, False)
        wait_until(lambda: self._is_in() or not is_running(self.pid))
        if not self._is_in():
            screen = self.screen()
            os.close(self.master)
            raise AssertionError(f"{user} was not let in: {screen}")
        _, self.id, shell = self.screen().decode().split()
        self.shell = int(shell)

    def _is_in(self):
        return b"IN " in self.screen() and b"\n" in self.screen()

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
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def is_running(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    return os.path.exists(f"/proc/{pid}")
