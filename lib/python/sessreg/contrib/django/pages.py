"""What who has no seat is answered: a page, or plain text for a program."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.cache import add_never_cache_headers

from .errors import LoginRefused


def refused(request: Any, why: LoginRefused) -> HttpResponse:
    """503, with Retry-After. The user is logged in, without a seat, or was not let in at all."""
    response = _say(request, "sessreg/refused.html", 503, why.message,
                    {"refused": why, "has_login": request.user.is_authenticated, "again": _again(request),
                     "own_page": _path("sessreg:own"), "take_over": _path("sessreg:take_over")})
    response["Retry-After"] = str(why.seconds)
    return response


def ended(request: Any, message: str) -> HttpResponse:
    """403, for who has to log in again."""
    return _say(request, "sessreg/ended.html", 403, message, {"login": _login(request)})


def _say(request: Any, template: str, status: int, message: str, more: dict[str, Any]) -> HttpResponse:
    if request.accepts("text/html"):
        response = render(request, template, {"message": message, **more}, status=status)
    else:
        response = HttpResponse(f"{message}\n", status=status, content_type="text/plain; charset=utf-8")
    add_never_cache_headers(response)
    return response


def _again(request: Any) -> str:
    """Where another try begins: what was sent is not sent again."""
    if request.method in ("GET", "HEAD") or not request.user.is_authenticated:
        return str(request.get_full_path())
    return get_script_prefix()


def _path(name: str) -> str | None:
    """None where the project has not included our pages."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def _login(request: Any) -> str:
    login = resolve_url(settings.LOGIN_URL)
    if request.method not in ("GET", "HEAD") or request.path == login:
        return login
    return f"{login}?{urlencode({REDIRECT_FIELD_NAME: request.get_full_path()})}"
