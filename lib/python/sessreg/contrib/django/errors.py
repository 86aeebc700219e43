from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sessreg import Own, Refused

from . import texts

RETRY_SECONDS = 30  # where nobody knows better


class LoginRefused(PermissionDenied):
    """There is no seat for who logs in, who is logged out again. message: for the user. reason: as of
    sessreg.Refused, or ``unavailable``. seconds: until another try is worth it. own: sessions of the user
    that could give way."""

    def __init__(self, reason: str, message: str, seconds: int = 0, own: tuple[Own, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.seconds = seconds or RETRY_SECONDS
        self.own = own


def refused(why: Refused) -> LoginRefused:
    return LoginRefused(why.reason, texts.refusal(why), why.seconds, why.own)


def blacklisted(seconds: int) -> LoginRefused:
    """In the same words whether the password was right or wrong, since these words answer both."""
    return LoginRefused("blacklisted", ngettext(
        "There were too many failed logins from your address. Please try again in %(seconds)s second.",
        "There were too many failed logins from your address. Please try again in %(seconds)s seconds.",
        seconds) % {"seconds": seconds}, seconds)


def unavailable() -> LoginRefused:
    return LoginRefused("unavailable", _("It cannot be told at the moment whether there is a seat for you. "
                                         "Please try again later."))
