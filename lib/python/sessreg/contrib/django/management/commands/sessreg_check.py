from __future__ import annotations

from typing import Any

from django.core.checks import run_checks
from django.core.management.base import BaseCommand, CommandError

import sessreg
from sessreg.contrib.django import conf


class Command(BaseCommand):
    help = ("Says whether the settings, the middleware and the daemon are as they must be. To be run as the user of "
            "the web server. Starts the daemon of an embedded site, if it has to, for as long as it asks it.")
    requires_system_checks: list[str] = []  # or they would be run twice

    def handle(self, *arguments: Any, **options: Any) -> None:
        found = [message for message in run_checks() if message.id and message.id.startswith("sessreg.")]
        for message in found:
            self.stdout.write(f"{message.id}: {message.msg}\n    {message.hint}")
        if found:
            raise CommandError(f"{len(found)} to mend")
        try:
            listing = conf.client().list()
        except sessreg.Error as error:
            raise CommandError(str(error)) from None
        limit = "no limit: nobody is ever refused" if listing.limit < 0 else f"limit {listing.limit}"
        self.stdout.write(f"site {listing.site}: {listing.active} seats taken, {limit}")
