"""Reads the members of a JSON object that somebody else wrote, each with the type it must have."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

T = TypeVar("T")

_MOST = 2**63 - 1
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?Z", re.ASCII)


class Malformed(Exception):
    """What is wrong with an answer."""


class Fields:
    """The members of one object. `of` is what it is called in a fault's text. None stands for null and
    for a member that is missing; members that are not asked for do not matter."""

    def __init__(self, members: Any, of: str) -> None:
        if type(members) is not dict:
            raise Malformed(f"{of} is no object")
        self._members: dict[str, Any] = members
        self._of = of

    def _read(self, name: str, kind: str, fits: Callable[[Any], bool]) -> Any:
        value = self._members.get(name)
        if value is not None and not fits(value):
            raise Malformed(f"'{name}' of {self._of} is not {kind}")
        return value

    def _must(self, name: str, value: T | None) -> T:
        if value is None:
            raise Malformed(f"{self._of} has no '{name}'")
        return value

    def text_or_none(self, name: str) -> str | None:
        value: str | None = self._read(name, "a text", _is_text)
        return value

    def text(self, name: str) -> str:
        return self._must(name, self.text_or_none(name))

    def number_or_none(self, name: str, least: int = 0) -> int | None:
        value: int | None = self._read(name, f"a whole number from {least} on",
                                       lambda v: type(v) is int and least <= v <= _MOST)
        return value

    def number(self, name: str, least: int = 0) -> int:
        return self._must(name, self.number_or_none(name, least))

    def flag_or_none(self, name: str) -> bool | None:
        value: bool | None = self._read(name, "true or false", lambda v: type(v) is bool)
        return value

    def flag(self, name: str) -> bool:
        return self._must(name, self.flag_or_none(name))

    def time_or_none(self, name: str) -> datetime | None:
        text = self.text_or_none(name)
        if text is None:
            return None
        found = _TIME.fullmatch(text)
        try:
            if found is not None:
                *whole, part = found.groups()
                year, month, day, hour, minute, second = map(int, whole)
                return datetime(year, month, day, hour, minute, second,
                                int((part or "0").ljust(6, "0")), timezone.utc)
        except ValueError:  # the 31st of June
            pass
        raise Malformed(f"'{name}' of {self._of} is no time in UTC")

    def has(self, name: str) -> bool:
        return self._members.get(name) is not None

    def object(self, name: str) -> Fields:
        return Fields(self._must(name, self._members.get(name)), f"'{name}'")

    def objects(self, name: str) -> list[Fields]:
        values: list[Any] = self._must(name, self._read(name, "a list", lambda v: type(v) is list))
        return [Fields(value, f"an element of '{name}'") for value in values]


def _is_text(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character, which JSON can write
        return False
    return True
