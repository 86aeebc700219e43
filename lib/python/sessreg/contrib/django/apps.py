from __future__ import annotations

from django.apps import AppConfig
from django.core import checks
from django.core.signals import setting_changed
from django.utils.translation import gettext_lazy as _


class SessregConfig(AppConfig):
    name = "sessreg.contrib.django"
    label = "sessreg"
    verbose_name = _("User sessions")

    def ready(self) -> None:
        from . import checks as ours
        from . import conf, signals

        checks.register(ours.check_settings)
        checks.register(ours.check_middleware)
        checks.register(ours.check_daemon)
        setting_changed.connect(conf.forget)
        signals.connect()
