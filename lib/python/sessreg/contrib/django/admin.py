"""The table of sessions in Django's admin. Whoever may view them sees them, whoever may delete them ends them with
a reason; nobody ends the own one here, and no token is shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext_lazy

import sessreg

from . import conf, seats, texts
from .models import UserSession

STATES = {"active": pgettext_lazy("sessreg", "active"), "parked": pgettext_lazy("sessreg", "parked"),
          "exempt": pgettext_lazy("sessreg", "exempt"), "ending": pgettext_lazy("sessreg", "ending")}
UNUSED = {"3600": pgettext_lazy("sessreg", "an hour"), "86400": pgettext_lazy("sessreg", "a day"),
          "345600": pgettext_lazy("sessreg", "4 days")}


@admin.register(UserSession)
class UserSessionAdmin(admin.ModelAdmin):
    def get_urls(self) -> list[Any]:
        """The list alone: there are no rows to add or change."""
        return [path("", self.admin_site.admin_view(self.changelist_view), name="sessreg_usersession_changelist")]

    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: Any, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            if not self.has_delete_permission(request):
                raise PermissionDenied
            self._end(request)
            return HttpResponseRedirect(request.get_full_path())
        wanted = {name: request.GET.get(name, "") for name in ("user", "state", "unused")}
        sessions, here = [], None
        try:
            here = seats.id_of(request)
            sessions = [each for each in _sessions() if _is_wanted(each, wanted)]
        except sessreg.Error as error:
            self.message_user(request, str(error), messages.ERROR)
        return TemplateResponse(request, "admin/sessreg/usersession/change_list.html", {
            **self.admin_site.each_context(request), "opts": self.model._meta, "title": _("User sessions"),
            "sessions": [(each, STATES.get(each.state, each.state), texts.reason(each.reason or ""))
                         for each in sessions], "here": here, "may_end": self.has_delete_permission(request),
            "wanted": wanted, "states": STATES.items(), "unused": UNUSED.items(), **(extra_context or {})})

    def _end(self, request: Any) -> None:
        reason = request.POST.get("reason", "").strip()
        chosen = request.POST.getlist("id")
        ended = 0
        try:
            here = seats.id_of(request)
            for session in _sessions():
                if session.id in chosen and session.id != here and session.state != "ending":
                    self._end_one(request, session, reason)
                    ended += 1
        except sessreg.Error as error:
            self.message_user(request, str(error), messages.ERROR)
        if ended:
            told = ngettext("%(count)s session was ended.", "%(count)s sessions were ended.", ended) % {"count": ended}
            self.message_user(request, told, messages.SUCCESS)
        else:
            self.message_user(request, _("None was ended: choose some that still go on."), messages.WARNING)

    def _end_one(self, request: Any, session: sessreg.Session, reason: str) -> None:
        try:
            conf.client().revoke(session.id, reason or None)
        except sessreg.Ended:  # meanwhile, by itself
            return
        LogEntry.objects.create(
            user_id=request.user.pk, content_type_id=ContentType.objects.get_for_model(self.model).pk,
            object_id=session.id, object_repr=f"{session.user} at {session.host or 'no address'}"[:200],
            action_flag=DELETION, change_message=f"Ended: {reason}" if reason else "Ended")


def _sessions() -> list[sessreg.Session]:
    """The stalest first."""
    return sorted(conf.client().list(), key=lambda each: -each.idle_seconds)


def _is_wanted(session: sessreg.Session, wanted: dict[str, str]) -> bool:
    unused = wanted["unused"]
    return (wanted["user"] in ("", session.user) and wanted["state"] in ("", session.state)
            and (unused not in UNUSED or session.idle_seconds >= int(unused)))
