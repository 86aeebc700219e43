"""The protocol, without any input or output: what is sent for each call, and what the answers mean.

`client` and `aio` move the bytes. A call is sent once more if its connection ended before its answer
(the daemon was restarted), and then what was asked for may have been done already. That is safe, so
`is_repeatable` is true, for:

- admit: it always has a device key, and of a user, a service and a device there is one session, so the
  second login takes the first one's place and seat. A session that `take_over` names has given its seat
  away by then, and is not asked for a second one.
- use: it finds the session that the first one opened. (`opened` is then false.)
- touch, show, list, and attempt without a failure: they open and count nothing.
- close and revoke: the second one finds nothing to end, which is what was wanted.

It is not for an attempt that failed: it would count twice. That is only sent again if it was never sent.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from . import errors
from ._answers import INTERFACE, decode, error_of, invalid, listing, nonsense, session, shown
from ._fields import Fields, Malformed
from .records import Attempts, Listing, Session, Standing, Used

T = TypeVar("T")

# The bounds of what is taken for an answer. The largest table is listed in less of each.
MOST_ANSWER_BYTES = 16 << 20
MOST_ANSWERS = 100_000


class NoAnswer(Exception):
    """The connection ended before the answer was whole."""


class Call(Generic[T]):
    """One call on its way. begin(), send `message`, feed() until it is true, then result()."""

    def __init__(self, method: str, parameters: dict[str, Any], read: Callable[[list[Fields]], T], *,
                 more: bool = False, is_repeatable: bool = True, extra_seconds: float = 0,
                 over: tuple[type[errors.Error], ...] = (), over_again: bool = False) -> None:
        """over: errors that mean for this call that it is done, with what `read` makes of no answer at
        all; over_again: only when it is sent for the second time."""
        self.parameters = {name: value for name, value in parameters.items() if value is not None}
        self.message = _encode(method, self.parameters, more)
        self.more = more
        self.is_repeatable = is_repeatable
        self.extra_seconds = extra_seconds
        self._read = read
        self._over, self._over_again = over, over_again
        self._times_begun = 0
        self._answers: list[Fields] = []
        self._error: errors.Error | None = None

    def begin(self) -> None:
        self._times_begun += 1
        self._answers = []

    def may_begin_again(self) -> bool:
        return self.is_repeatable and self._times_begun < 2

    def feed(self, message: bytes) -> bool:
        """Takes one answer, without the NUL. True if it is the last one. Raises Unavailable if it is
        none: the connection must be given up then."""
        try:
            answer = decode(message)
            error = answer.text_or_none("error")
            continues = bool(answer.flag_or_none("continues")) and error is None
            parameters = (Fields({}, "the answer") if error and not answer.has("parameters")
                          else answer.object("parameters"))
            if continues and not self.more:
                raise Malformed("it is said to go on, and one answer was asked for")
            if error is not None:
                self._error = error_of(error, parameters, self.parameters)
            self._answers.append(parameters)
            if len(self._answers) > MOST_ANSWERS:
                raise Malformed("it has no end")
        except Malformed as fault:
            raise nonsense(fault) from None
        return not continues

    def result(self) -> T:
        answers = self._answers
        if self._error is not None:
            if not isinstance(self._error, self._over) or (self._over_again and self._times_begun < 2):
                raise self._error
            answers = []
        try:
            return self._read(answers)
        except Malformed as fault:
            raise nonsense(fault) from None


# --- What is sent ---


def _encode(method: str, parameters: dict[str, Any], more: bool) -> bytes:
    call: dict[str, Any] = {"method": INTERFACE + method, "parameters": parameters}
    if more:
        call["more"] = True
    return json.dumps(call, ensure_ascii=False).encode() + b"\0"


def _text(name: str, value: object, most_bytes: int) -> str:
    try:
        # The daemon looks closer; this is what cannot even be sent.
        if isinstance(value, str) and "\0" not in value and 1 <= len(value.encode()) <= most_bytes:
            return str(value)
    except UnicodeEncodeError:
        pass
    raise invalid(name, value)


def _text_or_none(name: str, value: object, most_bytes: int) -> str | None:
    return None if value is None or value == "" else _text(name, value, most_bytes)


def _seconds(name: str, value: object, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 32:
        return value
    raise invalid(name, value)


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise errors.Invalid(name, f"{shown(value)} is neither True nor False")


class Calls:
    """The calls of one service on one site. Their arguments are described at `client.Client`."""

    def __init__(self, service: str, site: str | None) -> None:
        self.service = _text("service", service, 255)
        self.site = "default" if site is None else _text("site", site, 64)

    def _login(self, user: str, host: str | None, label: str | None, device: str) -> dict[str, Any]:
        return {"site": self.site, "service": self.service, "user": _text("user", user, 512),
                "host": _text_or_none("host", host, 255), "label": _text_or_none("label", label, 255),
                "device": _text("device", device, 255)}

    def admit(self, user: str, host: str | None, label: str | None, device: str | None,
              ttl_seconds: int | None, take_over: str | None, exempt: bool) -> Call[Session]:
        # Without a key of its own a login whose answer got lost would leave a seat taken.
        login = self._login(user, host, label,
                            "once-" + secrets.token_hex(16) if device is None else device)
        if ttl_seconds is not None:
            login["ttl_seconds"] = _seconds("ttl_seconds", ttl_seconds, 1)
        login["take_over"] = _text_or_none("take_over", take_over, 255)
        login["exempt"] = _flag("exempt", exempt)
        return Call("Admit", login, lambda answers: session(
            answers[0].object("session"), answers[0].text_or_none("token")))

    def use(self, user: str, device: str, host: str | None, label: str | None) -> Call[Used]:
        return Call("Use", self._login(user, host, label, device), lambda answers: Used(
            session(answers[0].object("session")), answers[0].flag("opened")))

    def touch(self, token: str, passive: bool) -> Call[Standing]:
        return Call("Touch", {"token": _text("token", token, 1 << 16), "passive": _flag("passive", passive)},
                    lambda answers: Standing(answers[0].number_or_none("idle_seconds"),
                                             answers[0].number_or_none("yields_in"),
                                             answers[0].number_or_none("expires_in"),
                                             answers[0].text_or_none("state")))

    def close(self, token: str) -> Call[None]:
        return Call("Close", {"token": _text("token", token, 1 << 16)}, lambda _: None,
                    over=(errors.Ended, errors.Lost, errors.Expired))

    def show(self, token: str | None, id: str | None) -> Call[Session]:
        if (token is None) == (id is None):
            raise errors.Invalid("id" if token is None else "token",
                                 "a session is shown by one of the two; pass token= or id=")
        return Call("Show", {"token": None if token is None else _text("token", token, 1 << 16),
                             "id": None if id is None else _text("id", id, 255)},
                    lambda answers: session(answers[0].object("session")))

    def list(self, user: str | None, every_service: bool) -> Call[Listing]:
        return Call("List", {"site": self.site, "user": None if user is None else _text("user", user, 512),
                             "service": None if _flag("every_service", every_service) else self.service},
                    listing, more=True)

    def attempt(self, host: str, user: str | None, failed: bool) -> Call[Attempts]:
        return Call("Attempt", {"site": self.site, "service": self.service,
                                "user": _text_or_none("user", user, 512), "host": _text("host", host, 255),
                                "failed": _flag("failed", failed)},
                    lambda answers: Attempts(answers[0].number("failures"),
                                             answers[0].number("blacklisted_seconds")),
                    is_repeatable=not failed)

    def revoke(self, id: str, reason: str | None, grace_seconds: int) -> Call[str]:
        return Call("Revoke", {"id": _text("id", id, 255),
                               "reason": _text_or_none("reason", reason, 1000),
                               "grace_seconds": _seconds("grace_seconds", grace_seconds, 0)},
                    lambda answers: answers[0].text("result") if answers else "ended",
                    extra_seconds=grace_seconds, over=(errors.Ended,), over_again=True)
