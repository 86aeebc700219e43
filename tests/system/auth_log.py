"""What is sent to syslog(3) in the private view of the host, as the administrator reads it.

Call private_host.enter() first: /dev becomes one of this view's own.
"""

import os
import pathlib
import socket
import subprocess
import threading

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
_FOLDERS = ("pts", "shm")


class AuthLog:

    def __init__(self):
        self._lines = []
        self._furnish_dev()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        threading.Thread(target=self._read, daemon=True).start()

    @staticmethod
    def _furnish_dev():
        """The host's with all that is mounted on it would get a socket that others see."""
        def mount(*arguments):
            subprocess.run(["mount", *arguments], check=True)
        old, new = pathlib.Path("/dev"), pathlib.Path("/run/dev")
        new.mkdir()
        mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", new)
        for name in _DEVICES:
            (new / name).touch()
            mount("--bind", old / name, new / name)
        for name in _FOLDERS:
            (new / name).mkdir()
            mount("--rbind", old / name, new / name)
        for name, target in {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1",
                             "stderr": "fd/2"}.items():
            (new / name).symlink_to(target)
        mount("--rbind", new, old)

    def _read(self):
        while True:
            self._lines.append(self._socket.recv(65536).decode(errors="replace"))

    def clear(self):
        self._lines.clear()

    @property
    def lines(self):
        """Those of the module."""
        return [line for line in self._lines if "pam_sessreg" in line]
