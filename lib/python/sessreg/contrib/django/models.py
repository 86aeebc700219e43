from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class UserSession(models.Model):
    """Has no table: the registry has the sessions. It is there for the admin, with its permissions and log."""

    id = models.CharField(primary_key=True, max_length=64)

    class Meta:
        managed = False
        default_permissions = ("view", "delete")
        verbose_name = _("user session")
        verbose_name_plural = _("user sessions")
