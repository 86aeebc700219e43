"""What the daemon tells. All of it is immutable; times are aware, in UTC; numbers of seconds are whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True)
class Session:
    """A session as it was when the daemon answered.

    state: ``active``, ``parked`` (idle, and without a seat since another login needed one), ``exempt``
    (listed, not counted), ``ending``, or for sessions with a process ``reserved``, ``orphaned``, ``left``.
    label: the device, or the terminal. uid: of an account of the host. pid: 0 without a process.
    can_idle: whether it can be told that it is used. reason: why it is ending. token: of
    :meth:`Client.admit` alone; a secret of the browser's session.
    """

    id: str
    site: str
    user: str
    uid: int | None
    service: str
    host: str | None
    label: str | None
    state: str
    opened: datetime | None
    last_activity: datetime | None
    expires: datetime | None
    idle_seconds: int
    pid: int
    process: bool
    seat: bool
    reason: str | None
    can_idle: bool
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Own:
    """A session of the user who was refused, which ``admit(take_over=own.id)`` may take the seat of."""

    id: str
    service: str
    host: str | None
    label: str | None
    opened: datetime | None
    idle_seconds: int


@dataclass(frozen=True)
class Standing:
    """How a session stands; all None unless :meth:`Client.touch` was passive.

    yields_in: seconds until it may lose its seat for being idle; expires_in: until it is over. None:
    never.
    """

    idle_seconds: int | None
    yields_in: int | None
    expires_in: int | None
    state: str | None


@dataclass(frozen=True)
class Listing:
    """The sessions of a site, to iterate over. active: seats taken, of all services; limit: -1 is none."""

    site: str
    limit: int
    active: int
    sessions: tuple[Session, ...]

    def __iter__(self) -> Iterator[Session]:
        return iter(self.sessions)

    def __len__(self) -> int:
        return len(self.sessions)


@dataclass(frozen=True)
class Attempts:
    """What is known of a host's failed logins. blacklisted_seconds: 0 if it is not blacklisted."""

    failures: int
    blacklisted_seconds: int


class Used(NamedTuple):
    """The session of a device, and whether it was opened just now."""

    session: Session
    opened: bool
