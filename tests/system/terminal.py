"""A program on a pseudo-terminal of its own, as somebody sits before it."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import termios
import threading

from site_scene import wait_until


class Terminal:

    def __init__(self, command, environment=None, user=None):
        """Runs it as that uid, which the terminal then belongs to."""
        self._master, slave = pty.openpty()
        self.tty = os.ttyname(slave)
        if user is not None:
            os.chown(slave, user, user)
        self._output = bytearray()
        self._is_read = False  # all that was written by those who had it open
        self.status = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for descriptor in (0, 1, 2):
                    os.dup2(slave, descriptor)
                os.closerange(3, 256)
                if user is not None:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                os.chdir("/")
                os.execvpe(command[0], command, environment or os.environ)
            finally:
                os._exit(127)
        os.close(slave)
        self._stop, self._stopped = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        # A program that writes to a terminal that nobody reads would stop in the end.
        while True:
            ready, _, _ = select.select([self._master, self._stop], [], [])
            if self._stop in ready:
                return
            try:
                self._output += os.read(self._master, 65536)
                self._is_read = False
            except OSError:
                self._is_read = True
                # Nobody has it open: any more, or for the moment in which login(1) hangs it up and
                # opens it again.
                if select.select([self._stop], [], [], 0.01)[0]:
                    return

    @property
    def text(self):
        return self._output.decode(errors="replace").replace("\r", "")

    def type(self, line):
        os.write(self._master, line.encode() + b"\n")

    def expect(self, text, seconds=10):
        """Whether that text is shown, by now or soon."""
        wait_until(lambda: text in self.text or self.ended(), seconds)
        return wait_until(lambda: text in self.text, 0.3)

    def ended(self):
        if self.status is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid != 0:
                    self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self, seconds=30):
        """The exit status; None if it still runs."""
        if wait_until(self.ended, seconds):
            wait_until(lambda: self._is_read, 1)  # unless somebody else has it open still
        return self.status

    def hang_up(self):
        if self._master is None:
            return
        # Whoever waits for it keeps the terminal open.
        os.close(self._stopped)
        self._reader.join()
        os.close(self._stop)
        os.close(self._master)
        self._master = None

    def close(self):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.hang_up()

    def __str__(self):
        return f"exit status {self.status}\n{self.text}"
