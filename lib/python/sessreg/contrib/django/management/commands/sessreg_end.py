from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

import sessreg
from sessreg.contrib.django import conf
from sessreg.errors import one_line


class Command(BaseCommand):
    help = "Ends sessions; their users are told the reason at the next request."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("id", nargs="*", help="as sessreg_list shows it")
        parser.add_argument("--user", help="all sessions of this user")
        parser.add_argument("--reason", help="for the user")

    def handle(self, *arguments: Any, **options: Any) -> None:
        if bool(options["id"]) == bool(options["user"]):
            raise CommandError("pass the ids of sessions, as sessreg_list shows them, or --user")
        missing = []
        try:
            client = conf.client()
            ids = options["id"] or [each.id for each in client.list(options["user"]) if each.state != "ending"]
            for id in ids:
                try:
                    client.revoke(id, options["reason"])
                except sessreg.Ended:
                    missing.append(one_line(id))
        except sessreg.Error as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{len(ids) - len(missing)} ended")
        if missing:
            raise CommandError(f"no such session: {', '.join(missing)}; sessreg_list shows those that there are")
