"""The setting SESSREG, and the client that it describes.

Nothing is started or asked before the first call that needs it: `manage.py migrate` starts no daemon, and
each worker that was forked enters an embedded site by itself.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string

from sessreg import Client, Error
from sessreg.embedded import Site

DEFAULTS: dict[str, Any] = {
    "SITE": None, "SERVICE": "django", "SOCKET": None, "TIMEOUT": 2.0, "TRUSTED_UIDS": (),
    "ON_ERROR": "deny", "ON_LOST": "readmit", "CLIENT_ADDRESS": None, "DEVICE": "cookie",
    "PASSIVE_PATHS": (), "EXEMPT": "superusers", "EMBEDDED": None,
}


class Problem(NamedTuple):
    what: str
    hint: str


def get(name: str) -> Any:
    return getattr(settings, "SESSREG", {}).get(name, DEFAULTS[name])


def function(name: str) -> Callable[[Any], Any]:
    """A setting that is a function, or the path of one."""
    value = get(name)
    found: Callable[[Any], Any] = import_string(value) if isinstance(value, str) else value
    return found


# --- What is wrong with it ---


def problems() -> Iterator[Problem]:
    given = getattr(settings, "SESSREG", {})
    if not isinstance(given, dict):
        yield Problem("SESSREG is no dict", 'Write SESSREG = {"SERVICE": "django", …}.')
        return
    for key in given:
        if key not in DEFAULTS:
            near = difflib.get_close_matches(str(key).upper(), DEFAULTS, 1)
            yield Problem(f"SESSREG has the unknown key {key!r}",
                          f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(DEFAULTS)}.")
    for key, known in (("ON_ERROR", ("deny", "allow")), ("ON_LOST", ("readmit", "login"))):
        if get(key) not in known:
            yield Problem(f"SESSREG[{key!r}] is {get(key)!r}", f"Write {known[0]!r} or {known[1]!r}.")
    for key, words in (("CLIENT_ADDRESS", (None,)), ("DEVICE", (None, "cookie")),
                       ("EXEMPT", (None, "superusers"))):
        if get(key) in words:
            continue
        try:
            fits = callable(function(key))
        except ImportError:
            fits = False
        if not fits:
            yield Problem(f"SESSREG[{key!r}] is {get(key)!r}",
                          f"Write {' or '.join(map(repr, words))}, a function, or the path of one.")
    paths = get("PASSIVE_PATHS")
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) and path.startswith("/")
                                                       for path in paths):
        yield Problem(f"SESSREG['PASSIVE_PATHS'] is {paths!r}",
                      'Write a list of beginnings of paths, such as ["/api/poll/"].')
    yield from _problems_of_client()


def _problems_of_client() -> Iterator[Problem]:
    embedded = get("EMBEDDED")
    if embedded is not None:
        if not isinstance(embedded, dict):
            yield Problem("SESSREG['EMBEDDED'] is no dict",
                          'Write keys of sessreg.conf(5), such as {"sessions_limit": 3}, or None.')
            return
        if get("SOCKET") is not None:
            yield Problem("SESSREG has EMBEDDED and SOCKET",
                          "Leave out SOCKET, which the embedded site has in its folder.")
        if "folder" not in embedded and not hasattr(settings, "BASE_DIR"):
            yield Problem("SESSREG['EMBEDDED'] has no 'folder', and there is no BASE_DIR to put one in",
                          "Add 'folder', a path that the user of the web server may write to.")
            return
    try:
        _make()
    except (Error, TypeError, ValueError) as error:
        yield Problem(f"SESSREG describes no client: {error}", "Correct that value.")


# --- The client ---

_making = threading.Lock()
_made: tuple[Client, Site | None] | None = None


def _make() -> tuple[Client, Site | None]:
    common = {"timeout": get("TIMEOUT"), "trusted_uids": get("TRUSTED_UIDS")}
    if get("EMBEDDED") is None:
        return Client(get("SERVICE"), get("SITE"), get("SOCKET"), **common), None
    keys = dict(get("EMBEDDED"))
    folder = keys.pop("folder", None) or Path(settings.BASE_DIR) / ".sessreg"
    if get("SITE") is not None:
        keys.setdefault("name", get("SITE"))
    site = Site(folder, **keys)
    return site.client(get("SERVICE"), **common), site


def client() -> Client:
    """Raises Unavailable where an embedded site cannot be started."""
    global _made
    with _making:
        if _made is None:
            _made = _make()
        made, site = _made
        if site is not None:
            site.start()
    return made


def forget(*, setting: str, **_: Any) -> None:
    """SESSREG was overridden, as in a test."""
    global _made
    if setting == "SESSREG" and _made is not None:
        (made, site), _made = _made, None
        made.close_connections()
        if site is not None:
            site.stop()
