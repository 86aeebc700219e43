"""*Your sessions*, the answer to a refusal, and what the warning before idleness asks."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import get_script_prefix
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

import sessreg

from . import conf, errors, pages, seats, takeover, texts


def _own_sessions(request: Any) -> tuple[list[sessreg.Session], str | None]:
    """Those that go on, the latest first, and the id of this browser's."""
    found = [session for session in conf.client().list(request.user.get_username()) if session.state != "ending"]
    return sorted(found, key=lambda session: session.idle_seconds), seats.id_of(request)


def _or_sorry(view: Any) -> Any:
    def guarded(request: Any) -> HttpResponse:
        try:
            return view(request)
        except sessreg.Error as error:
            seats.log.error("%s", error)
            return pages.refused(request, errors.LoginRefused(
                "unavailable", _("Sessions cannot be shown or ended at the moment. Please try again later.")))
    return guarded


@require_GET
@never_cache
@login_required
@_or_sorry
def own(request: Any) -> HttpResponse:
    sessions, here = _own_sessions(request)
    return render(request, "sessreg/own.html", {
        "sessions": sessions, "here": here, "others": any(session.id != here for session in sessions),
        "back": get_script_prefix()})


@require_POST
@login_required
@_or_sorry
def end(request: Any) -> HttpResponse:
    _end(request, lambda session: session.id == request.POST.get("id"))
    return redirect("sessreg:own")


@require_POST
@login_required
@_or_sorry
def end_others(request: Any) -> HttpResponse:
    _end(request, lambda session: True)
    return redirect("sessreg:own")


def _end(request: Any, meant: Any) -> None:
    """Of the user's own sessions, and never this browser's: that is to log out."""
    sessions, here = _own_sessions(request)
    for session in sessions:
        if session.id != here and meant(session):
            try:
                conf.client().revoke(session.id, texts.ENDED_BY_USER)
            except sessreg.Ended:
                pass


@require_POST
def take_over(request: Any) -> HttpResponse:
    id = request.POST.get("id", "")
    accepted = takeover.accept(request, id)
    if accepted is None:
        return pages.ended(request, _("That took too long, or was done already."))
    user, backend, then = accepted
    request.sessreg_take_over = id
    login(request, user, backend)  # takes the seat, or raises LoginRefused
    if not url_has_allowed_host_and_scheme(then, {request.get_host()}, request.is_secure()):
        then = resolve_url(settings.LOGIN_REDIRECT_URL)
    return redirect(then)


@require_GET
@never_cache
@login_required
def standing(request: Any) -> HttpResponse:
    """How long the session goes on unless it is used. Passive."""
    told = getattr(request, "sessreg_standing", None)
    ways = [] if told is None else [("seat", told.yields_in), ("session", told.expires_in)]
    known = [(seconds, what) for what, seconds in ways if seconds is not None]
    seconds, what = min(known) if known else (None, None)
    return JsonResponse({"seconds": seconds, "what": what})


@require_POST
@login_required
def here(request: Any) -> HttpResponse:
    """The middleware has marked the session as used."""
    return HttpResponse(status=204)
