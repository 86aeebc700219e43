"""Every way to log in goes through django.contrib.auth.login(), and is heard of here: forms, the admin, single
sign-on."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import logout, signals

from . import errors, seats, takeover


def connect() -> None:
    signals.user_logged_in.connect(_logged_in, dispatch_uid="sessreg.logged_in")
    signals.user_logged_out.connect(_logged_out, dispatch_uid="sessreg.logged_out")
    if counts_failures():
        signals.user_login_failed.connect(_failed, dispatch_uid="sessreg.failed")


def counts_failures() -> bool:
    """django-axes does the same: two that shut hosts out are one too many."""
    return not apps.is_installed("axes")


def _logged_in(sender: Any, request: Any, user: Any, **_: Any) -> None:
    """Behind the check of the password, so that a stranger learns nothing."""
    before = getattr(request, "sessreg_before", None)
    if before is not None and request.session.get(seats.KEY) != before:
        seats.close(before)  # of another user, in whose place this one is
    try:
        seats.admit(request, user, getattr(request, "sessreg_take_over", None))
    except errors.LoginRefused as refused:
        request.sessreg_refused = refused
        backend = takeover.backend_of(request)
        logout(request)
        takeover.offer(request, user, backend, refused)
        raise


def _logged_out(sender: Any, request: Any, user: Any, **_: Any) -> None:
    if request is not None and hasattr(request, "session"):
        token = request.session.pop(seats.KEY, None)
        if token is not None:
            seats.close(token)


def _failed(sender: Any, request: Any = None, **_: Any) -> None:
    if request is None:  # a program, at no address
        return
    try:
        seats.attempt(request, failed=True)
    except errors.LoginRefused as refused:
        request.sessreg_refused = refused
        raise
