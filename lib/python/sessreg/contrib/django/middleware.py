"""Each request of who is logged in marks the session as used, and is answered here if it has no seat.

1. A session that was revoked or is out of time is logged out, and its user is told why: by the first request
   that is not passive, as nobody may see the answers to those.
2. One that was parked and finds no seat is told so, and stays logged in: its next request tries again.
   Passive requests of it are refused too, or a header would be a way to work without a seat. *Your
   sessions* is not: there its user may end another one.
3. Nobody is thrown out because the daemon is gone.
4. A token that was in the session before the request and is not behind it is closed.

The middleware is synchronous: under ASGI Django runs it in a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth import logout
from django.http import HttpResponse
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _

import sessreg

from . import browser, conf, errors, pages, seats, signals, takeover, texts


_NEED_NO_SEAT = ("own", "end", "end_others")  # of urls.py


class SessionMiddleware:
    def __init__(self, get_response: Callable[[Any], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        # Without a key there is no session: anonymous visitors cost nothing.
        session = request.session
        before = request.sessreg_before = session.get(seats.KEY) if session.session_key else None
        response = self._look(request)
        if response is None:
            response = self._get_response(request)
            refused = getattr(request, "sessreg_refused", None)
            # Such as of a middleware or framework that made a page of the exception before it came here.
            if refused is not None and response.status_code == 403:
                response = pages.refused(request, refused)
            if refused is not None:
                takeover.keep(request, response)
        if before is not None and session.get(seats.KEY) != before:
            seats.close(before)
        browser.set_cookie(request, response)
        return response

    def process_exception(self, request: Any, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, errors.LoginRefused):
            return pages.refused(request, exception)
        return None

    def _look(self, request: Any) -> HttpResponse | None:
        """What to answer in place of the application."""
        match = _match(request)
        name = getattr(match, "url_name", None)
        if request.session.session_key and request.user.is_authenticated:
            if name == "logout":  # of who has no seat, too
                return None
            response = self._use(request, _is_passive(request, match))
            needs_none = match is not None and match.app_names[-1:] == ["sessreg"] and name in _NEED_NO_SEAT
            return None if needs_none and response is not None and response.status_code == 503 else response
        if request.method == "POST" and name == "login" and signals.counts_failures():
            try:
                seats.attempt(request, failed=False)
            except errors.LoginRefused as refused:
                return pages.refused(request, refused)
        return None

    def _use(self, request: Any, passive: bool) -> HttpResponse | None:
        token = request.session.get(seats.KEY)
        if token is None:
            return self._admit(request)
        try:
            standing = request.sessreg_standing = conf.client().touch(token, passive)
            if standing.state == "parked":
                return pages.refused(request, errors.LoginRefused(
                    "parked", _("You were away, and your seat may be needed by others. Reload the page to go on.")))
        except sessreg.Refused as why:
            return pages.refused(request, errors.refused(why))
        except sessreg.Revoked as revoked:
            if not revoked.reason:
                return self._end(request, passive, _("Your session was ended."))
            return self._end(request, passive, _("Your session was ended: %(reason)s") % {
                "reason": texts.reason(revoked.reason)})
        except sessreg.Expired:
            return self._end(request, passive, _("Your session is out of time."))
        except sessreg.Ended:
            if _has_newer_token(request, token):
                return None
            return self._end(request, passive, _("Your session is over."))
        except (sessreg.Lost, sessreg.Invalid):  # Invalid: the key is another one, so the registry is as well
            if conf.get("ON_LOST") == "readmit":
                return self._admit(request)
            return self._end(request, passive, _("Your session was lost when the host was restarted."))
        except sessreg.Error as error:
            seats.trouble.warn(error)
        return None

    def _admit(self, request: Any) -> HttpResponse | None:
        try:
            seats.admit(request, request.user)
        except errors.LoginRefused as refused:
            return pages.refused(request, refused)
        # Other requests of this browser, which are under way, shall find the new token.
        request.session.save()
        return None

    def _end(self, request: Any, passive: bool, message: str) -> HttpResponse:
        if not passive:
            logout(request)
        return pages.ended(request, message)


def _has_newer_token(request: Any, token: str) -> bool:
    """Whether another request of this browser was admitted meanwhile."""
    newer = type(request.session)(request.session.session_key).get(seats.KEY)
    if newer in (None, token):
        return False
    request.session[seats.KEY] = newer
    return True


def _match(request: Any) -> Any:
    try:
        return resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return None


def _is_passive(request: Any, match: Any) -> bool:
    return (request.headers.get("X-Sessreg-Passive") == "1"
            or request.path_info.startswith(tuple(conf.get("PASSIVE_PATHS")))
            or getattr(getattr(match, "func", None), "sessreg_passive", False))
