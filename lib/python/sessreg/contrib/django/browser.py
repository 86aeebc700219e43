"""What is told of the browser that a request came from. All of it is hostile, and proves nothing."""

from __future__ import annotations

import re
import secrets
from typing import Any

from django.conf import settings

from . import conf

COOKIE = "sessreg_device"
_SALT = "sessreg.contrib.django.device"
_TWO_YEARS = 2 * 365 * 86400
# The first that is found is meant: Edge and Opera say that they are Chrome, which says that it is Safari.
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrom", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac", "Linux")


def address(request: Any) -> str | None:
    if conf.get("CLIENT_ADDRESS") is not None:
        return conf.function("CLIENT_ADDRESS")(request) or None
    return request.META.get("REMOTE_ADDR") or None


def label(request: Any) -> str | None:
    """Such as `Firefox Linux`; the registry keeps 16 bytes."""
    agent = request.META.get("HTTP_USER_AGENT", "")
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for name in _SYSTEMS if name in agent), "")
    plain = re.sub(r"[^ -~]", "", agent.split("/")[0])
    return f"{browser} {system}".strip() or plain[:16].strip() or None


def device(request: Any) -> str | None:
    """Names the browser: it keeps its seat when its user comes back without having logged out."""
    how = conf.get("DEVICE")
    if how is None:
        return None
    if how != "cookie":
        return conf.function("DEVICE")(request) or None
    known: str | None = request.get_signed_cookie(COOKIE, None, salt=_SALT)
    if known is None:
        known = request.sessreg_new_device = secrets.token_urlsafe(16)
    return known


def set_cookie(request: Any, response: Any) -> None:
    new = getattr(request, "sessreg_new_device", None)
    if new is not None:
        response.set_signed_cookie(COOKIE, new, salt=_SALT, max_age=_TWO_YEARS, httponly=True, samesite="Lax",
                                   secure=settings.SESSION_COOKIE_SECURE, domain=settings.SESSION_COOKIE_DOMAIN,
                                   path=settings.SESSION_COOKIE_PATH)
