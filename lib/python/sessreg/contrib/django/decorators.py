from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])


def passive(view: View) -> View:
    """For a view that a page asks by itself, such as a poll: it keeps no session in use. Of a class:
    ``passive(Poll.as_view())``."""
    view.sessreg_passive = True  # type: ignore[attr-defined]
    return view
