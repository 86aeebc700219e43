"""What `manage.py check` finds. Errors are what cannot work; a daemon that is not there is a warning, as it may
come later."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

import sessreg

from . import conf

OURS = "sessreg.contrib.django.middleware.SessionMiddleware"
_BEFORE = "django.contrib.auth.middleware.AuthenticationMiddleware"


def check_settings(**_: Any) -> list[CheckMessage]:
    return [Error(f"{problem.what}.", hint=problem.hint, id="sessreg.E001") for problem in conf.problems()]


def check_middleware(**_: Any) -> list[CheckMessage]:
    names = list(settings.MIDDLEWARE)
    if OURS not in names:
        return [Error("Nobody needs a seat: the middleware of sessreg is missing.",
                      hint=f'Add "{OURS}" to MIDDLEWARE, directly behind "{_BEFORE}".', id="sessreg.E002")]
    at = names.index(OURS)
    if _BEFORE not in names[:at]:
        return [Error("The middleware of sessreg does not know who is logged in.",
                      hint=f'Move "{OURS}" directly behind "{_BEFORE}".', id="sessreg.E003")]
    if names[at - 1] != _BEFORE:
        return [Warning(f'"{names[at - 1]}" sees users who have no seat.',
                        hint=f'Move "{OURS}" directly behind "{_BEFORE}".', id="sessreg.W001")]
    return []


def check_daemon(**_: Any) -> list[CheckMessage]:
    """Of a site of one's own nothing is asked: that would start it, as whoever runs the check."""
    if any(conf.problems()) or conf.get("EMBEDDED") is not None:
        return []
    try:
        conf.client().attempt("check")
    except sessreg.Denied as denied:
        return [Warning(f"This process (uid {os.geteuid()}) may open no sessions: {denied}.",
                        hint="Run the check as the user of the web server; if it says so then as well, do that, and "
                             "reload sessregd.", id="sessreg.W003")]
    except sessreg.Error as error:
        return [Warning(f"{error}.", hint="Start sessregd, or correct SITE and SOCKET of SESSREG. Until then "
                                          "ON_ERROR says who may log in.", id="sessreg.W002")]
    return []
