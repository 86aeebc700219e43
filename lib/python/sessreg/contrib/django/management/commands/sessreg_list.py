from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

import sessreg
from sessreg.contrib.django import conf
from sessreg.errors import one_line


class Command(BaseCommand):
    help = "Lists the sessions of the site, those first that were not used for the longest time."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--user", help="only this user's")
        parser.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *arguments: Any, **options: Any) -> None:
        try:
            listing = conf.client().list(options["user"])
        except sessreg.Error as error:
            raise CommandError(str(error)) from None
        rows = [[each.id, each.user, each.host or "-", each.label or "-", each.state, str(each.idle_seconds),
                 each.opened.isoformat(timespec="seconds") if each.opened else "-"]
                for each in sorted(listing, key=lambda each: -each.idle_seconds)]
        names = ["id", "user", "host", "device", "state", "idle_seconds", "opened"]
        if options["json"]:
            self.stdout.write(json.dumps([dict(zip(names, row)) | {"idle_seconds": int(row[5])} for row in rows]))
            return
        table = [names, *([one_line(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table)]
        for row in table:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        limit = "no limit" if listing.limit < 0 else f"of {listing.limit}"
        self.stdout.write(f"{listing.active} seats taken, {limit}")
