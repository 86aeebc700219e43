"""A web site with three seats, to try the Django app on: ``python3 -m sessreg.demo``."""

from __future__ import annotations

from typing import Any

LIMIT = 3
KEYS: dict[str, Any] = {"sessions_limit": LIMIT, "idle_after": "3m"}
# A cookie belongs to an address: to the site each of them is another browser.
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(1, 6))
USERS = ("anna", "otto", "emma")
ADMIN = "boss"
PASSWORD = "demo"
