"""A client of sessregd for programs with threads, forks or neither. :mod:`sessreg.aio` has the same for
asyncio, :mod:`sessreg._protocol` says which calls may be sent twice, and why."""

from __future__ import annotations

import os
import socket as sockets
import struct
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import TypeVar

from . import errors
from ._protocol import MOST_ANSWER_BYTES, Call, Calls, NoAnswer
from ._socket import Address, Nobody
from .records import Attempts, Listing, Session, Standing, Used

T = TypeVar("T")

_READ_BYTES = 1 << 16
_MOST_IDLE = 64  # connections: of a moment with more calls at once the rest is closed


class Client:
    """Logs the users of one service of a site in and out.

    service: of sessreg.conf; its `clients` must name the user that this process runs as. site: None for
    ``default``. socket: the daemon's; None for ``$SESSREG_SOCKET``, else ``/run/sessreg/sessregd.sock``.
    timeout: seconds that a call may take in all (of a list, each part of its answer). trusted_uids:
    whose daemon is believed besides root's and one's own, as where root has another number outside a
    container.

    Any number of threads may share a client: a connection is used by one call at a time, and there are
    never more than there were calls at once. They are opened when they are needed, again in a process
    that was forked, and again when the daemon was restarted: a call that got no answer for that is sent
    once more, where that takes no second seat. Closing only frees descriptors; a client that was closed
    can be used again.

    Every call raises :class:`~sessreg.Unavailable`, :class:`~sessreg.Denied` and
    :class:`~sessreg.Invalid`; what else, it says.
    """

    def __init__(self, service: str, site: str | None = None,
                 socket: str | os.PathLike[str] | None = None, timeout: float = 2.0, *,
                 trusted_uids: Collection[int] = (), revive: Callable[[], None] | None = None) -> None:
        """revive: called when nobody listens, to start a daemon of one's own; see sessreg.embedded."""
        self._calls = Calls(service, site)
        self._address = Address(socket, trusted_uids)
        self._revive = revive
        if not timeout > 0:
            raise errors.Invalid("timeout", f"{timeout!r} is no time; pass a number of seconds above 0")
        self._timeout = float(timeout)
        self._idle: tuple[int, list[_Connection]] = (os.getpid(), [])

    @property
    def service(self) -> str:
        return self._calls.service

    @property
    def site(self) -> str:
        return self._calls.site

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close_connections()

    # --- Calls ---

    def admit(self, user: str, host: str | None = None, label: str | None = None,
              device: str | None = None, ttl_seconds: int | None = None, take_over: str | None = None,
              exempt: bool = False) -> Session:
        """Logs a user in: behind the check of the password. The session's `token` is for touch and close.

        host: the address that the user comes from. label: of the device, for lists; 16 bytes are kept.
        device: a text that names the browser. It has one session of this user and service at most: one
        that it has gives its seat to the new one, and its token is void. Without, the client makes one up,
        so that a lost answer takes no second seat; but a call that fails or is interrupted may then leave
        a session behind that nobody knows of until its time is up. ttl_seconds: if the session shall live
        shorter without use than it is configured. take_over: the id of a session of the same user, which
        gives way. exempt: listed, and neither counted nor refused.

        Raises Refused.
        """
        return self._run(self._calls.admit(user, host, label, device, ttl_seconds, take_over, exempt))

    def use(self, user: str, device: str, host: str | None = None, label: str | None = None) -> Used:
        """Marks the session that the user has by that device as used, or opens one: for services that are
        told the user at each request. There is no token, and nothing to close.

        Raises Refused, Revoked.
        """
        return self._run(self._calls.use(user, device, host, label))

    def touch(self, token: str, passive: bool = False) -> Standing:
        """Marks the session as used now. One that was parked takes a seat again. passive: marks nothing,
        and tells how it stands: for what a page asks by itself.

        Raises Revoked, Expired, Lost, Ended, and Refused where it was parked and there is no seat.
        """
        return self._run(self._calls.touch(token, passive))

    def close(self, token: str) -> None:
        """Logs out: the seat is free at once. Nothing happens if the session is over already."""
        self._run(self._calls.close(token))

    def show(self, token: str | None = None, *, id: str | None = None) -> Session:
        """The session of a token or of an id. Raises Ended, and of a token Lost, Expired."""
        return self._run(self._calls.show(token, id))

    def list(self, user: str | None = None, *, every_service: bool = False) -> Listing:
        """The site's sessions of this service, or of every service that this process may see; of one
        user or of all. However many there are."""
        return self._run(self._calls.list(user, every_service))

    def attempt(self, host: str, user: str | None = None, failed: bool = False) -> Attempts:
        """Counts a failed login from a host (failed), or asks before one whether the host may try, which
        renews a blacklisting. Hosts are counted for each service apart."""
        return self._run(self._calls.attempt(host, user, failed))

    def revoke(self, id: str, reason: str | None = None, grace_seconds: int = 10) -> str:
        """Ends a session for its user, who is told the reason. One without a process, as all that
        `admit` opens, is over at once, and the answer is ``ended``. grace_seconds is for the processes of
        others, and so much longer the call may take; see sessregd(8) for ``survived`` and ``ending``.

        Raises Ended if there is none.
        """
        return self._run(self._calls.revoke(id, reason, grace_seconds))

    def close_connections(self) -> None:
        """Closes those that are not in use now."""
        _, idle = self._idle
        self._idle = (os.getpid(), [])
        for connection in idle:
            connection.close()

    # --- Connections ---

    def _run(self, call: Call[T]) -> T:
        until = time.monotonic() + self._timeout + call.extra_seconds
        while True:
            try:
                connection = self._take(until)
            except Nobody:
                if self._revive is None:
                    raise
                self._revive()
                until = time.monotonic() + self._timeout + call.extra_seconds
                connection = self._take(until)
            try:
                call.begin()
                connection.send(call.message, until)
                while not call.feed(connection.receive(until)):
                    until = time.monotonic() + self._timeout
            except NoAnswer:
                connection.close()
                if call.may_begin_again():
                    continue
                raise self._address.gone() from None
            except sockets.timeout:
                connection.close()
                raise self._address.no_answer_in(self._timeout + call.extra_seconds) from None
            except BaseException:  # an interrupt as well: the answer may come yet
                connection.close()
                raise
            self._give_back(connection)
            return call.result()

    def _take(self, until: float) -> _Connection:
        pid, idle = self._idle
        if pid != os.getpid():  # those are the parent's
            self.close_connections()
            _, idle = self._idle
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was quicker
                break
            if connection.is_in_step():
                return connection
            connection.close()
        return _Connection(self._address, until)

    def _give_back(self, connection: _Connection) -> None:
        pid, idle = self._idle
        if pid == connection.pid and len(idle) < _MOST_IDLE:
            idle.append(connection)
        else:
            connection.close()


def _connect(address: Address, until: float) -> sockets.socket:
    try:
        connected = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    except OSError as error:
        raise address.failed(error) from None
    try:
        # Of a socket that does not block connect() would fail where the daemon's queue is full.
        left_us = int(max(until - time.monotonic(), 0.001) * 1e6)
        connected.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDTIMEO,
                             struct.pack("ll", *divmod(left_us, 1_000_000)))
        connected.connect(address.path)
        address.check_listener(connected)
        return connected
    except OSError as error:
        connected.close()
        raise address.failed(error) from None
    except BaseException:
        connected.close()
        raise


class _Connection:
    """Belongs to one call at a time. Times are of time.monotonic(); what takes longer is socket.timeout."""

    def __init__(self, address: Address, until: float) -> None:
        self.pid = os.getpid()
        self._address = address
        self._read = bytearray()
        self._socket = _connect(address, until)

    def __del__(self) -> None:
        # A client lives as long as its program as a rule: nothing to be warned of.
        if hasattr(self, "_socket"):
            self._socket.close()

    def close(self) -> None:
        self._socket.close()

    def is_in_step(self) -> bool:
        """Whether it is open, and nothing came that nobody asked for."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, sockets.MSG_PEEK)
        except BlockingIOError:
            return not self._read
        except OSError:
            pass
        return False

    def send(self, message: bytes, until: float) -> None:
        self._wait_until(until)
        try:
            self._socket.sendall(message)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have said why: receive() finds that

    def receive(self, until: float) -> bytes:
        """The next message, without the NUL."""
        searched = 0
        while (end := self._read.find(b"\0", searched)) < 0:
            searched = len(self._read)
            if searched > MOST_ANSWER_BYTES:
                raise self._address.too_long(MOST_ANSWER_BYTES)
            self._wait_until(until)
            try:
                got = self._socket.recv(_READ_BYTES)
            except ConnectionResetError:
                got = b""
            if not got:
                raise NoAnswer
            self._read += got
        message = bytes(self._read[:end])
        del self._read[:end + 1]
        return message

    def _wait_until(self, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise sockets.timeout
        self._socket.settimeout(left)
