"""What sessregd says in English, in the language of who reads it. What an administrator wrote, in a message of
sessreg.conf(5) or as the reason of an end, is left as it is."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy, override

from sessreg import Refused


# In the words of lib/config/config_keys.cc, which know no singular.
_REFUSALS = {
    "site_full": ngettext_lazy("There are more than %(limit)s active user sessions. Please try again later.",
                               "There are more than %(limit)s active user sessions. Please try again later.", "limit"),
    "user_full": ngettext_lazy(
        "You have as many sessions as you may have at once (%(limit)s). Please end one of them and try again.",
        "You have as many sessions as you may have at once (%(limit)s). Please end one of them and try again.", "limit"),
    "group_full": ngettext_lazy(
        "Your group has as many sessions as it may have at once (%(limit)s). Please try again later.",
        "Your group has as many sessions as it may have at once (%(limit)s). Please try again later.", "limit"),
    "locked": ngettext_lazy(
        "You are already logged in elsewhere. Please end that session, or try again in %(seconds)s seconds.",
        "You are already logged in elsewhere. Please end that session, or try again in %(seconds)s seconds.",
        "seconds"),
    "drain": _("No new logins are admitted at the moment. Please try again later."),
    "table_full": _("The table of user sessions is full. Please tell the administrator."),
}
ENDED_BY_USER = "you ended it from another browser"
# The others are of lib/session/send_off.cc.
_REASONS = {
    ENDED_BY_USER: _("you ended it from another browser"),
    "a newer login of the same user took its place": _("a newer login of the same user took its place"),
    "the table of sessions is full and it had no seat": _("the table of sessions is full and it had no seat"),
    "its seat was given away while it was idle": _("its seat was given away while it was idle"),
}


def refusal(why: Refused) -> str:
    known = _REFUSALS.get(why.reason)
    if known is None:
        return why.message
    values = {"limit": why.limit, "seconds": why.seconds}
    with override(None):
        is_default = known % values == why.message
    return str(known % values) if is_default else why.message


def reason(given: str) -> str:
    return str(_REASONS.get(given, given))
