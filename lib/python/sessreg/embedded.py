"""A site of an application's own: configuration, registry, key and sessregd in one folder.

    site = sessreg.embedded.Site(".sessreg", sessions_limit=3, idle_after="15m").start()
    seats = site.client(service="web")

Nothing of it needs root, or is shared with other applications of the host. All processes of the
application, such as a web server's workers, start the same site and share its daemon:

1. Who starts the site and finds no daemon starts one. So does a client's call that finds none: a daemon
   that was killed is back at the next call, and no session is lost by it, as the registry is a file.
2. The last process to leave the site stops the daemon. A process is in it from start() to stop() or its
   end, and so are those that it forks meanwhile.
3. Who is killed, or ends by os._exit(), cannot stop anything: if that was the last one, the daemon stays,
   and the next to start the site has it.

Each process has a shared lock of the file `users` while it is in the site; who starts or stops the daemon
has an exclusive one of `starting`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import stat
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _conf, errors
from ._daemon import Daemon
from ._socket import Address
from .client import Client

if TYPE_CHECKING:
    from .aio import AsyncClient

_ANSWER_SECONDS = 10.0


class Site:
    """folder: made if it is not there, for its owner alone; its path may have some 100 bytes. name: of the
    site, for lists and messages. daemon: the program; None for `$SESSREG_DAEMON`, else the `sessregd` in
    PATH, /usr/sbin, /usr/local/sbin or /usr/libexec. sections: such as
    {("user", "anna"): {"user_sessions_limit": 2}}. keys: of sessreg.conf(5). A value is a text as in the
    file, a number, True or False, a timedelta, or a list of names, which are quoted where they must be.

    Threads may share it, and its clients.
    """

    def __init__(self, folder: str | os.PathLike[str], *, name: str = "app",
                 daemon: str | os.PathLike[str] | None = None,
                 sections: Mapping[tuple[str, str], _conf.Keys] | None = None,
                 **keys: _conf.Value) -> None:
        self.folder = Path(folder).absolute()
        self.name = name
        self.socket = self.folder / "sock"
        self.log = self.folder / "sessregd.log"
        for key in ("registry", "key_file"):
            if key in keys:
                raise errors.Invalid(key, "is in the folder of an embedded site; leave it out")
        Address(self.socket, ())  # refuses a path that is too long
        self._daemon = Daemon(daemon, name, self.folder / "sessreg.conf", self.socket, self.log)
        self._conf = _conf.text_of({"registry": str(self.folder / f"{name}.reg"),
                                    "key_file": str(self.folder / f"{name}.key"), **keys}, sections or {})
        self._users: int | None = None

    def __enter__(self) -> Site:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def client(self, service: str, **options: Any) -> Client:
        """A client of this site; options as of :class:`~sessreg.Client`."""
        return Client(service, self.name, self.socket, revive=self._revive, **options)

    def async_client(self, service: str, **options: Any) -> AsyncClient:
        """A client of this site for asyncio."""
        from .aio import AsyncClient  # asyncio takes a while to import

        return AsyncClient(service, self.name, self.socket, revive=self._revive, **options)

    def start(self) -> Site:
        """Enters the site until stop(), or the end of the process, and starts its daemon unless one is at
        work. Raises Unavailable if that cannot be, also for a key or value that sessregd does not take."""
        if self._users is not None:
            return self
        self._make_folder()
        with self._starting():
            if self._users is not None:  # another thread was quicker
                return self
            before = self._write_conf(self._conf.encode())
            self._users = self._open_lock("users")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            try:
                self._daemon.start()
                self._check_conf()
            except BaseException:
                if before is not None:  # which the others go on with
                    self._write_conf(before)
                self._leave()
                raise
        _started.add(self)
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Leaves the site; if nobody else is in it, stops its daemon. Its sessions stay."""
        if self._users is None:
            return
        atexit.unregister(self.stop)
        _started.discard(self)
        with contextlib.suppress(FileNotFoundError), self._starting():  # unless the folder was removed
            self._leave()

    # --- Who is in it ---

    def _leave(self) -> None:
        users, self._users = self._users, None
        if users is None:
            return
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._daemon.stop()
        except BlockingIOError:
            pass  # others are in it
        finally:
            os.close(users)

    def _revive(self) -> None:
        with self._starting():
            self._daemon.start()

    # --- The folder ---

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            status = self.folder.stat()
        except OSError as error:
            raise errors.Unavailable(f"cannot make the folder {self.folder}: {error.strerror}; make it "
                                     "yourself, or choose another one") from None
        if status.st_uid != os.geteuid():
            raise errors.Unavailable(f"{self.folder} belongs to uid {status.st_uid}, and this process runs as "
                                     f"{os.geteuid()}: choose another folder, or run as its owner")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise errors.Unavailable(f"{self.folder} is open to others, and holds a secret key: run chmod 700 "
                                     "on it")

    def _open_lock(self, name: str) -> int:
        return os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        lock = self._open_lock("starting")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # also for who was forked meanwhile
            os.close(lock)

    def _write_conf(self, text: bytes) -> bytes | None:
        """What stood there before."""
        path, new = self._path("sessreg.conf"), self._path("sessreg.conf.new")
        before = path.read_bytes() if path.exists() else None
        if before != text:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(text)
            os.replace(new, path)  # logins find the old one or the new one, whole
        return before

    def _check_conf(self) -> None:
        """A daemon that is at work reads it at each login, and goes on with one that it cannot use."""
        with Client("start", self.name, self.socket, timeout=_ANSWER_SECONDS) as asking:
            session = asking.admit("start", device="start", exempt=True)
            if session.token is None:
                asking.revoke(session.id)
            else:
                asking.close(session.token)

    def _forked(self) -> None:
        """In the child: has a lock of its own, since that of the parent ends with the parent's stop()."""
        inherited, self._users = self._users, None
        if inherited is None:
            return
        with contextlib.suppress(OSError):
            self._users = self._open_lock("users")
            fcntl.flock(self._users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.close(inherited)


_started: weakref.WeakSet[Site] = weakref.WeakSet()


def _after_fork() -> None:
    for site in list(_started):
        site._forked()


os.register_at_fork(after_in_child=_after_fork)
