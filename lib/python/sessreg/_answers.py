"""What the daemon's answers mean, and which of them are none."""

from __future__ import annotations

import json
from typing import Any

from . import errors
from ._fields import Fields, Malformed
from .records import Listing, Own, Session

INTERFACE = "org.sessreg.Sessions."

_MOST_SESSIONS = 2_000_000  # more than the largest table has
_MOST_DIGITS = 20  # of 64 bits
_MENDS = {
    "site": "pass the name of a site, as in sessreg.conf(5)",
    "service": "pass a name of 1 to 255 bytes, without control characters",
    "user": "pass a name of 1 to 512 bytes, without control characters",
    "host": "pass an address of 1 to 255 bytes, without control characters",
    "label": "pass 255 bytes of text at most, without control characters",
    "device": "pass 1 to 255 bytes of text, without control characters",
    "ttl_seconds": "pass a whole number of seconds, from 1 to 4294967295",
    "take_over": "pass the id of a session, as a refusal's own sessions have it",
    "token": "pass the token that admit() returned, as it was",
    "id": "pass the id of a session",
    "reason": "pass 1000 bytes of text at most",
    "grace_seconds": "pass a whole number of seconds, from 0 to 86400 (300 unless you are root)",
}


def nonsense(fault: Malformed) -> errors.Unavailable:
    return errors.Unavailable(f"the daemon's answer cannot be used: {fault}; look who listens there, and "
                              "whether this package and sessregd are of the same version")


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def invalid(parameter: str, value: object) -> errors.Invalid:
    # A token is a secret: errors are logged.
    what = "this" if parameter == "token" else shown(value)
    mend = _MENDS.get(parameter, "this daemon does not know it; use the same version of both")
    return errors.Invalid(parameter, f"{what} cannot be; {mend}")


def _short_int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:  # which takes for ever to read
        raise Malformed("it has a number of more than 64 bits")
    return int(digits)


def _no_constant(name: str) -> None:
    raise Malformed(f"it has the number {name}")


def decode(message: bytes) -> Fields:
    try:
        return Fields(json.loads(message.decode(), parse_int=_short_int, parse_constant=_no_constant),
                      "the answer")
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8") from None
    except ValueError:
        raise Malformed("it is not JSON") from None
    except RecursionError:
        raise Malformed("it is nested too deeply") from None


def session(its: Fields, token: str | None = None) -> Session:
    return Session(
        id=its.text("id"), site=its.text("site"), user=its.text("user"), uid=its.number_or_none("uid"),
        service=its.text("service"), host=its.text_or_none("host"), label=its.text_or_none("tty"),
        state=its.text("state"), opened=its.time_or_none("opened"),
        last_activity=its.time_or_none("last_activity"), expires=its.time_or_none("expires"),
        idle_seconds=its.number("idle_seconds"), pid=its.number("pid"),
        process=its.flag_or_none("process") is not False, seat=its.flag("seat"),
        reason=its.text_or_none("reason"), can_idle=its.flag("can_idle"), token=token)


def _own(its: Fields) -> Own:
    return Own(id=its.text("id"), service=its.text("service"), host=its.text_or_none("host"),
               label=its.text_or_none("label"), opened=its.time_or_none("opened"),
               idle_seconds=its.number("idle_seconds"))


def listing(answers: list[Fields]) -> Listing:
    sessions: list[Session] = []
    for answer in answers:
        sessions += [session(each) for each in answer.objects("sessions")]
        if len(sessions) > _MOST_SESSIONS:
            raise Malformed("it lists more sessions than a table can have")
    last = answers[-1]
    return Listing(last.text("site"), last.number("limit", -1), last.number("active"), tuple(sessions))


def error_of(name: str, its: Fields, sent: dict[str, Any]) -> errors.Error:
    if not name.startswith(INTERFACE):
        return _error_of_varlink(name, its, sent)
    kind = name[len(INTERFACE):]
    if kind == "Refused":
        return errors.Refused(its.text("reason"), its.text("message"), its.number("limit", -1),
                              its.number("count"), its.number("seconds"),
                              tuple(_own(each) for each in its.objects("own")))
    if kind == "SiteFull":  # a parked session has come back
        limit = its.number("limit", -1)
        return errors.Refused("site_full", its.text("message"), limit, max(limit, 0))
    if kind == "SessionRevoked":
        return errors.Revoked(its.text("reason"))
    if kind == "SessionExpired":
        return errors.Expired()
    if kind == "NoSuchSession":
        return errors.Lost() if its.flag_or_none("lost") else errors.Ended()
    if kind == "TokenInvalid":
        return errors.Invalid("token", f"{its.text('reason')}; {_MENDS['token']}")
    if kind == "PermissionDenied":
        return errors.Denied(_mend_of_denial(sent))
    if kind == "CannotDecide":
        return errors.Unavailable(f"the daemon cannot decide: {its.text('reason')}", its.flag("let_through"))
    if kind == "NoSuchSite":
        site = errors.one_line(its.text("site"))
        return errors.Unavailable(f"the daemon does not serve the site '{site}': give it a configuration, "
                                  "and reload sessregd, or pass the site= that has one")
    return errors.Unavailable(f"the daemon answered {name}, which this package does not know; update it")


def _error_of_varlink(name: str, its: Fields, sent: dict[str, Any]) -> errors.Error:
    if name == "org.varlink.service.InvalidParameter":
        parameter = its.text("parameter")
        return invalid(parameter, sent.get(parameter))
    if name.startswith("org.varlink.service."):
        return errors.Unavailable(f"the daemon answered {name}: it is older than this package; update it")
    why = its.text_or_none("reason")
    return errors.Unavailable(f"the daemon answered {name}{f' ({why})' if why else ''}; its log has more")


def _mend_of_denial(sent: dict[str, Any]) -> str:
    if "service" in sent:
        return (f"this process may open no sessions of the service {shown(sent['service'])}: put the user "
                "that it runs as into 'clients' of that [service] in sessreg.conf, see APPLICATIONS there")
    return ("the session is none of a service that this process is a client of: ask as the application "
            "whose it is, or as root")
