"""Writes a sessreg.conf(5) from Python values. Which keys and values there are, sessregd knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Union

from . import errors

Value = Union[str, int, timedelta, Iterable[str]]
Keys = Mapping[str, Value]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_KEY = re.compile(r"[a-z_]+", re.ASCII)
# As lib/config/config_values.cc takes it without quotes.
_PLAIN_NAME = re.compile(r"""[^\s,:/"#@%()'\[\]\\][^\s,:/"()'\[\]\\]*""")


def text_of(top: Keys, sections: Mapping[tuple[str, str], Keys]) -> str:
    """The file's text. The heads of sections are such as ("user", "anna")."""
    lines = ["# Written by sessreg.embedded; what is changed here is written anew at the next start."]
    lines += [_line(key, value) for key, value in top.items()]
    for (kind, name), keys in sections.items():
        lines.append(_one_line(f"[{kind} {_name(name)}]", "sections"))
        lines += [_line(key, value) for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Value) -> str:
    if not _KEY.fullmatch(key):
        raise errors.Invalid(key, "is no key of sessreg.conf(5)")
    return _one_line(f"{key} = {_text(key, value)}", key)


def _one_line(line: str, key: str) -> str:
    if _CONTROL.search(line):
        raise errors.Invalid(key, f"{line!r} has a control character in it; pass text of one line")
    return line


def _text(key: str, value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        # A message keeps its '#'; elsewhere it would cut the value short.
        if not key.startswith("message_") and re.search(r"(^|\s)#", value):
            raise errors.Invalid(key, f"{value!r} would end at its '#'; pass names as a list of texts")
        return value.strip()
    if isinstance(value, timedelta):
        if value < timedelta(0) or value % timedelta(seconds=1):
            raise errors.Invalid(key, f"{value} is no whole number of seconds")
        return f"{value // timedelta(seconds=1)}s"
    if isinstance(value, Iterable):
        if key == "blacklist_exempt":  # addresses are never quoted
            return " ".join(value)
        return " ".join("@" + _name(name[1:]) if name.startswith("@") else _name(name) for name in value)
    raise errors.Invalid(key, f"{value!r} is no text, number, timedelta or list of names")


def _name(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return name
    return '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'
