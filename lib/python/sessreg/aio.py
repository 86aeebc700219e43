"""A client of sessregd for asyncio: :class:`sessreg.Client`, with calls to be awaited."""

from __future__ import annotations

import asyncio
import os
import socket as sockets
import time
from collections import deque
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, TypeVar

from . import errors
from ._protocol import MOST_ANSWER_BYTES, Call, Calls, NoAnswer
from ._socket import Address, Nobody
from .records import Attempts, Listing, Session, Standing, Used

T = TypeVar("T")

_BUSY_SECONDS = 0.01  # between tries to connect while the daemon's queue is full


class AsyncClient:
    """As :class:`sessreg.Client`, whose arguments and calls it has. Use it in one event loop at a time.

    Any number of tasks may share one. They share one connection, on which the daemon answers in the order
    of the calls; only `revoke`, which may have to wait for processes, has one of its own. The timeout
    begins anew with each answer on it. A task that is cancelled while it waits leaves the others their
    answers. What it asked for may have been done all the same: after an `admit` that was cancelled ask
    again with the same device, or its session stays.
    """

    def __init__(self, service: str, site: str | None = None,
                 socket: str | os.PathLike[str] | None = None, timeout: float = 2.0, *,
                 trusted_uids: Collection[int] = (), revive: Callable[[], None] | None = None) -> None:
        self._calls = Calls(service, site)
        self._address = Address(socket, trusted_uids)
        self._revive = revive  # may block: it is called in a thread
        if not timeout > 0:
            raise errors.Invalid("timeout", f"{timeout!r} is no time; pass a number of seconds above 0")
        self._timeout = float(timeout)
        self._connecting: asyncio.Future[_Connection] | None = None

    @property
    def service(self) -> str:
        return self._calls.service

    @property
    def site(self) -> str:
        return self._calls.site

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close_connections()

    # --- Calls: see sessreg.Client ---

    async def admit(self, user: str, host: str | None = None, label: str | None = None,
                    device: str | None = None, ttl_seconds: int | None = None,
                    take_over: str | None = None, exempt: bool = False) -> Session:
        """Logs a user in. Raises Refused."""
        return await self._run(self._calls.admit(user, host, label, device, ttl_seconds, take_over, exempt))

    async def use(self, user: str, device: str, host: str | None = None, label: str | None = None) -> Used:
        """Marks the session of that device, or opens one. Raises Refused, Revoked."""
        return await self._run(self._calls.use(user, device, host, label))

    async def touch(self, token: str, passive: bool = False) -> Standing:
        """Marks the session as used. Raises Revoked, Expired, Lost, Ended, Refused."""
        return await self._run(self._calls.touch(token, passive))

    async def close(self, token: str) -> None:
        """Logs out."""
        await self._run(self._calls.close(token))

    async def show(self, token: str | None = None, *, id: str | None = None) -> Session:
        """One session. Raises Ended, Lost, Expired."""
        return await self._run(self._calls.show(token, id))

    async def list(self, user: str | None = None, *, every_service: bool = False) -> Listing:
        """The site's sessions."""
        return await self._run(self._calls.list(user, every_service))

    async def attempt(self, host: str, user: str | None = None, failed: bool = False) -> Attempts:
        """Counts a failed login, or asks before one."""
        return await self._run(self._calls.attempt(host, user, failed))

    async def revoke(self, id: str, reason: str | None = None, grace_seconds: int = 10) -> str:
        """Ends a session for its user. Raises Ended."""
        call = self._calls.revoke(id, reason, grace_seconds)
        own = AsyncClient(self.service, self.site, self._address.path, self._timeout,
                          trusted_uids=self._address.trusted_uids, revive=self._revive)
        async with own:
            return await own._run(call)

    async def close_connections(self) -> None:
        """Closes the connection. Tasks that still wait on it get Unavailable, or open another one."""
        connecting, self._connecting = self._connecting, None
        if connecting is None:
            return
        if connecting.done():
            _close(connecting)
        else:
            connecting.add_done_callback(_close)

    # --- The connection ---

    async def _run(self, call: Call[T]) -> T:
        until = time.monotonic() + self._timeout + call.extra_seconds
        while True:
            connection = await self._connect(until)
            answer = connection.send(call)
            try:
                while not await _in_time(answer, until):
                    # Another call's answer, or a part of this one, came since: ours is to come.
                    if (until := max(until, connection.heard + self._timeout)) <= time.monotonic():
                        answer.cancel()
                        connection.close()
                        raise self._address.no_answer_in(self._timeout + call.extra_seconds)
                answer.result()
            except NoAnswer:
                if call.may_begin_again():
                    continue
                raise self._address.gone() from None
            finally:
                answer.cancel()
            return call.result()

    async def _connect(self, until: float) -> _Connection:
        """The connection, which those who want it at once open together."""
        loop = asyncio.get_running_loop()
        while True:
            connecting = self._connecting
            if connecting is None or connecting.get_loop() is not loop or (
                    connecting.done() and not _is_usable(connecting)):
                connecting = self._connecting = loop.create_task(self._open(until))
            if connecting.done():
                return connecting.result()
            if not await _in_time(connecting, until):
                raise self._address.no_answer_in(self._timeout)
            if connecting.exception():
                return connecting.result()  # raises that

    async def _open(self, until: float) -> _Connection:
        try:
            return await _open(self._address, until)
        except Nobody:
            if self._revive is None:
                raise
        await asyncio.get_running_loop().run_in_executor(None, self._revive)
        return await _open(self._address, until)


def _is_usable(connecting: asyncio.Future[_Connection]) -> bool:
    return not connecting.cancelled() and not connecting.exception() and connecting.result().is_usable()


def _close(connecting: asyncio.Future[_Connection]) -> None:
    if not connecting.cancelled() and not connecting.exception():
        connecting.result().close()


async def _in_time(future: asyncio.Future[Any], until: float) -> bool:
    """Whether it is done by then; it goes on if not, and if who waits is cancelled."""
    left = until - time.monotonic()
    return bool(left > 0 and (await asyncio.wait([future], timeout=left))[0]) or future.done()


async def _open(address: Address, until: float) -> _Connection:
    try:
        connected = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    except OSError as error:
        raise address.failed(error) from None
    try:
        connected.setblocking(False)
        while True:
            try:
                # A unix socket connects at once or not at all.
                connected.connect(address.path)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise
                await asyncio.sleep(_BUSY_SECONDS)
        address.check_listener(connected)
        return _Connection(address, *await asyncio.open_unix_connection(sock=connected,
                                                                        limit=MOST_ANSWER_BYTES))
    except OSError as error:
        connected.close()
        raise address.failed(error) from None
    except BaseException:
        connected.close()
        raise


class _Connection:
    """Calls on their way, in the order in which they were sent and are answered."""

    def __init__(self, address: Address, reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter) -> None:
        self.heard = time.monotonic()
        self._address = address
        self._reader, self._writer = reader, writer
        self._pid = os.getpid()
        self._is_open = True
        self._waiting: deque[tuple[Call[Any], asyncio.Future[None]]] = deque()
        self._task = asyncio.get_running_loop().create_task(self._receive())

    def is_usable(self) -> bool:
        return self._is_open and self._pid == os.getpid()

    def close(self) -> None:
        self._task.cancel()
        self._end(NoAnswer())

    def send(self, call: Call[Any]) -> asyncio.Future[None]:
        """Done when the call has its answer. If it is cancelled, the answer is taken for it all the
        same. The call is small and its sender waits: nothing piles up that would need draining."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call.begin()
        self._waiting.append((call, answer))
        self._writer.write(call.message)
        return answer

    async def _receive(self) -> None:
        try:
            while True:
                message = await self._reader.readuntil(b"\0")
                self.heard = time.monotonic()
                if not self._waiting:
                    return  # nobody asked for that: it would be taken for the answer to the next call
                call, answer = self._waiting[0]
                if call.feed(message[:-1]):
                    self._waiting.popleft()
                    if not answer.done():
                        answer.set_result(None)
        except asyncio.LimitOverrunError:
            self._end(self._address.too_long(MOST_ANSWER_BYTES))
        except errors.Error as nonsense:
            self._end(nonsense)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._end(NoAnswer())

    def _end(self, why: Exception) -> None:
        """Who waits first is told why, and the others that they have no answer."""
        self._is_open = False
        self._writer.close()
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(why)
            why = NoAnswer()
