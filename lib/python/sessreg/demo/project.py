"""The Django project of the demo, and its server."""

from __future__ import annotations

import os
import secrets
import socketserver
import sys
import threading
import wsgiref.simple_server
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from . import ADDRESSES, ADMIN, KEYS, PASSWORD, USERS


def serve(folder: Path, port: int, ready: Callable[[int], None]) -> None:
    """Until the process is ended. ready: is told the port."""
    _configure(folder)
    _make_users()
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    application = StaticFilesHandler(get_wsgi_application())
    threads = []
    for address in ADDRESSES:
        try:
            server = wsgiref.simple_server.make_server(address, port, application, Server, Handler)
        except OSError as error:
            sys.exit(f"cannot listen at {address}:{port}: {error.strerror}; choose another --port")
        port = server.server_port  # that of the first, if any would do
        threads.append(threading.Thread(target=server.serve_forever))
    for thread in threads:
        thread.start()
    ready(port)
    for thread in threads:
        thread.join()


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """A thread for each connection: browsers open some before they need them."""

    daemon_threads = True

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks the DNS for a name, which may take long
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass  # what to try stays in sight


def _configure(folder: Path) -> None:
    settings.configure(
        SECRET_KEY=secrets.token_hex(32), ALLOWED_HOSTS=[*ADDRESSES], ROOT_URLCONF="sessreg.demo.urls", BASE_DIR=folder,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField", USE_TZ=True, STATIC_URL="/static/",
        TIME_ZONE=os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2] or "UTC",
        LOGIN_URL="login", LOGIN_REDIRECT_URL="/", LOGOUT_REDIRECT_URL="/",
        SESSREG={"EMBEDDED": {"folder": folder / "seats", **KEYS}, "CLIENT_ADDRESS": "sessreg.demo.urls.address_asked"},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "db",
                               "OPTIONS": {"timeout": 20}}},
        LOGGING={"version": 1, "disable_existing_loggers": False,
                 "loggers": {"django.request": {"level": "CRITICAL"}}},  # a refusal is no news here
        INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                        "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles",
                        "sessreg.contrib.django"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                    "django.middleware.common.CommonMiddleware",
                    "django.middleware.csrf.CsrfViewMiddleware",
                    "django.contrib.auth.middleware.AuthenticationMiddleware",
                    "sessreg.contrib.django.middleware.SessionMiddleware",
                    "django.contrib.messages.middleware.MessageMiddleware"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates",
                    "DIRS": [Path(__file__).parent / "templates"], "APP_DIRS": True,
                    "OPTIONS": {"context_processors": ["django.template.context_processors.request",
                                                       "django.contrib.auth.context_processors.auth",
                                                       "django.contrib.messages.context_processors.messages"]}}])
    django.setup()


def _make_users() -> None:
    from django.contrib.auth.models import User

    call_command("migrate", verbosity=0)
    password = make_password(PASSWORD)
    User.objects.bulk_create([User(username=name, password=password, is_staff=name == ADMIN,
                                   is_superuser=name == ADMIN) for name in (*USERS, ADMIN)])
