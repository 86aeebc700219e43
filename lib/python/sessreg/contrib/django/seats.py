"""The seat of a Django session: its token is kept in the session's data, under KEY.

A session has KEY from its login on. Where that is None its user was let in without a seat, since the daemon was
gone, and is admitted by the next request that can.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from typing import Any

from django.utils.translation import gettext as _

import sessreg

from . import browser, conf, errors

KEY = "_sessreg_token"
_DEVICE = "_sessreg_device"
log = logging.getLogger("sessreg.django")


class _OnceAMinute:
    """A daemon that is gone is not told at every request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def warn(self, error: Exception) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + 60
        log.warning("%s", error)


trouble = _OnceAMinute()


def is_exempt(user: Any) -> bool:
    exempt = conf.get("EXEMPT")
    if exempt is None:
        return False
    return bool(user.is_superuser if exempt == "superusers" else conf.function("EXEMPT")(user))


def admit(request: Any, user: Any, take_over: str | None = None) -> None:
    """Takes a seat for the session of the request, in place of one that it has. Raises LoginRefused."""
    session = request.session
    exempt = is_exempt(user)
    host = None
    try:
        host = browser.address(request)
        seat = conf.client().admit(user.get_username(), host, browser.label(request), _device(request),
                                   max(1, session.get_expiry_age()), take_over, exempt)
    except sessreg.Refused as why:
        raise (_blacklisted(host, why) if why.reason == "blacklisted" else errors.refused(why)) from None
    except sessreg.Invalid as error:
        # What a client says of itself must be no way around the limit.
        log.warning("a login was refused: %s", error)
        raise errors.LoginRefused("invalid", _("Your name or address cannot be one.")) from None
    except sessreg.Error as error:
        log.error("%s", error)
        let_through = isinstance(error, sessreg.Unavailable) and error.let_through
        if not (let_through or exempt or conf.get("ON_ERROR") == "allow"):
            raise errors.unavailable() from None
        session[KEY] = None
    else:
        session[KEY] = seat.token


def _device(request: Any) -> str:
    """Of a browser that is not named, the Django session is: it may log in again in it."""
    named = browser.device(request)
    if named is not None:
        return named
    known: str = request.session.setdefault(_DEVICE, secrets.token_urlsafe(16))
    return known


def id_of(request: Any) -> str | None:
    """Of the session of this browser; None if it has none."""
    token = request.session.get(KEY)
    try:
        return None if token is None else conf.client().show(token).id
    except (sessreg.Ended, sessreg.Expired, sessreg.Lost, sessreg.Invalid):
        return None


def close(token: str) -> None:
    try:
        conf.client().close(token)
    except sessreg.Error as error:
        # It is out of time later, by itself.
        log.warning("a seat was not given back: %s", error)


# --- Failed logins ---


def _blacklisted(host: str | None, why: sessreg.Refused) -> errors.LoginRefused:
    try:
        # As of a wrong password, which this must not be told from.
        return errors.blacklisted(conf.client().attempt(host or "").blacklisted_seconds or why.seconds)
    except sessreg.Error:
        return errors.blacklisted(why.seconds)


def attempt(request: Any, failed: bool) -> None:
    """Counts a failed login, or asks before one. Raises LoginRefused for a host that failed too often."""
    try:
        host = browser.address(request)
        if host is None:
            return
        seconds = conf.client().attempt(host, failed=failed).blacklisted_seconds
    except sessreg.Error as error:
        trouble.warn(error)
        return
    if seconds > 0:
        raise errors.blacklisted(seconds)
