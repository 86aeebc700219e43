"""Who was refused may end a session of their own and have its seat, without giving the password again.

1. What is needed for it is kept in a Django session that is new, anonymous, and this browser's alone. It holds
   for five minutes, once, for the sessions that the refusal named.
2. The user must still be one who may log in, with the password that was given.
3. The seat is taken in the step that frees it, so nobody else can have it in between.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, REDIRECT_FIELD_NAME, load_backend
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

from .errors import LoginRefused

_KEY = "_sessreg_take_over"
_SECONDS = 300


def backend_of(request: Any) -> str:
    """Which has logged in the user of this request."""
    return request.session[BACKEND_SESSION_KEY]


def offer(request: Any, user: Any, backend: str, why: LoginRefused) -> None:
    """Behind the logout of who was refused."""
    if why.own:
        request.session[_KEY] = {
            "user": user._meta.pk.value_to_string(user), "backend": backend, "password": _password(user),
            "own": [own.id for own in why.own], "until": time.time() + _SECONDS,
            "next": request.POST.get(REDIRECT_FIELD_NAME, request.GET.get(REDIRECT_FIELD_NAME, ""))}


def keep(request: Any, response: HttpResponse) -> None:
    """From Django 4 on an answer of 5xx saves no session, and sets no cookie of one: a refusal is 503."""
    if _KEY in request.session:
        saved = SessionMiddleware(lambda request: response).process_response(request, HttpResponse())
        response.cookies.update(saved.cookies)


def accept(request: Any, id: str) -> tuple[Any, str, str] | None:
    """The user, the backend, and where to go then; None if that was not offered."""
    offered = request.session.pop(_KEY, None)
    if (offered is None or time.time() >= offered["until"] or id not in offered["own"]
            or offered["backend"] not in settings.AUTHENTICATION_BACKENDS):
        return None
    user = load_backend(offered["backend"]).get_user(offered["user"])
    if user is None or not constant_time_compare(_password(user), offered["password"]):
        return None
    return user, offered["backend"], offered["next"]


def _password(user: Any) -> str:
    return salted_hmac("sessreg.contrib.django.takeover", user.get_session_auth_hash()).hexdigest()
