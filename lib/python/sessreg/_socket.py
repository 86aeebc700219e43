"""Where the daemon listens, and whether to believe who does. For `client` and `aio`."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection

from . import errors

_DEFAULT = "/run/sessreg/sessregd.sock"
_MOST_PATH_BYTES = 107


class Nobody(errors.Unavailable):
    """No daemon is there."""


class Address:
    """A socket's path, and the uids whose daemon is believed there besides root's and one's own."""

    def __init__(self, path: str | os.PathLike[str] | None, trusted_uids: Collection[int]) -> None:
        self.path = os.fspath(path) if path else os.environ.get("SESSREG_SOCKET") or _DEFAULT
        self.shown = errors.one_line(self.path)
        self.trusted_uids = frozenset(trusted_uids)
        if len(os.fsencode(self.path)) > _MOST_PATH_BYTES or "\0" in self.path:
            raise errors.Invalid("socket", f"{self.shown} cannot be a socket's path; pass one of "
                                           f"{_MOST_PATH_BYTES} bytes at most")

    def failed(self, error: OSError) -> errors.Unavailable:
        """Why there is no connection."""
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED):
            return Nobody(f"nobody listens on {self.shown}: start sessregd "
                          "(systemctl enable --now sessregd.socket), or pass the socket= of yours")
        if error.errno in (errno.EACCES, errno.EPERM):
            return errors.Unavailable(f"may not connect to {self.shown}: let the user that this process "
                                      "runs as into its folder, and write to it")
        if error.errno == errno.EAGAIN or isinstance(error, socket.timeout):
            return errors.Unavailable(f"{self.shown} accepts no connection in time: look whether sessregd "
                                      "is stuck")
        return errors.Unavailable(f"cannot connect to {self.shown}: {error.strerror or error}")

    def check_listener(self, connected: socket.socket) -> None:
        """Raises Unavailable if anybody else has put a socket there."""
        size = struct.calcsize("iII")
        _, uid, _ = struct.unpack("iII", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        if uid not in (0, os.geteuid()) and uid not in self.trusted_uids:
            raise errors.Unavailable(f"uid {uid} listens on {self.shown}, and is neither root nor you: find "
                                     "out who put it there, or pass trusted_uids= if that is right")

    def no_answer_in(self, seconds: float) -> errors.Unavailable:
        return errors.Unavailable(f"{self.shown}: no answer in {seconds:g} seconds; look whether sessregd "
                                  "is stuck, or pass a longer timeout=")

    def gone(self) -> errors.Unavailable:
        return errors.Unavailable(f"{self.shown}: the daemon went away before it answered; its log says "
                                  "why, and whether it has come back")

    def too_long(self, most_bytes: int) -> errors.Unavailable:
        return errors.Unavailable(f"{self.shown}: an answer is longer than {most_bytes} bytes; look who "
                                  "listens there")
