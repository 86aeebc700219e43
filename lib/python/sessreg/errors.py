"""What a call can raise. Each is an :class:`Error`, and its text one line that names the mend."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category

if TYPE_CHECKING:
    from .records import Own


def one_line(text: str) -> str:
    """The text without what moves a terminal's cursor or ends a line."""
    return "".join(c if c.isprintable() or category(c) == "Zs" else f"\\x{ord(c):02x}" for c in text)


class Error(Exception):
    """The base of all that this package raises."""


class Refused(Error):
    """There is no seat.

    reason: ``site_full``, ``drain``, ``user_full``, ``locked``, ``group_full``, ``table_full`` or
    ``blacklisted``. message: for the user, as it is configured. limit: the one that refused. count: the
    seats that are taken under it. seconds: until another try may succeed; 0 if that is not known.
    own: sessions of the same user that ``admit(take_over=…)`` may name.

    A :meth:`Client.touch` raises it for a session that was parked and finds no seat on its return.
    """

    def __init__(self, reason: str, message: str, limit: int = 0, count: int = 0, seconds: int = 0,
                 own: tuple[Own, ...] = ()) -> None:
        super().__init__(reason, message, limit, count, seconds, own)
        self.reason = reason
        self.message = message
        self.limit = limit
        self.count = count
        self.seconds = seconds
        self.own = own

    def __str__(self) -> str:
        return one_line(f"no seat ({self.reason}): {self.message}")


class Revoked(Error):
    """Somebody ended the session, or a newer login took its place. reason: for the user; may be empty."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return one_line(f"the session was revoked{why}; let its user log in again")


class Expired(Error):
    """The session, or its token, is out of time."""

    def __str__(self) -> str:
        return "the session is out of time; let its user log in again"


class Lost(Error):
    """The token is good, and the registry that knew its session is gone, as after a reboot.

    Nobody ended this session: its user may be admitted again without being asked for a password.
    """

    def __str__(self) -> str:
        return "the session was lost with its registry, as by a reboot; admit its user again"


class Ended(Error):
    """The session is over, or there never was one of that id."""

    def __str__(self) -> str:
        return "there is no such session any more; let its user log in again"


class Denied(Error):
    """The daemon may not do this for the user whom this process runs as."""


class Invalid(Error, ValueError):
    """A value that was passed cannot be; parameter: its name."""

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(parameter, why)
        self.parameter = parameter
        self.why = why

    def __str__(self) -> str:
        return one_line(f"{self.parameter}: {self.why}")


class Unavailable(Error):
    """It cannot be told: no daemon, no answer in time, an answer that is none, no usable configuration.

    let_through: the daemon could not decide, and the configuration (``on_error = allow``) lets the user
    in all the same.
    """

    def __init__(self, why: str, let_through: bool = False) -> None:
        super().__init__(why, let_through)
        self.let_through = let_through

    def __str__(self) -> str:
        return one_line(str(self.args[0]))
