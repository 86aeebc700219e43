"""A Django project whose folder is $DJANGO_FOLDER, for django_test.py and, as `django_project:application`, for
gunicorn. $DJANGO_SESSREG is its setting SESSREG, as JSON."""

import json
import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import include, path

from sessreg.contrib.django.decorators import passive

FOLDER = os.environ["DJANGO_FOLDER"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
              "django.middleware.common.CommonMiddleware",
              "django.middleware.csrf.CsrfViewMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware",
              "sessreg.contrib.django.middleware.SessionMiddleware",
              "django.contrib.messages.middleware.MessageMiddleware"]

settings.configure(
    SECRET_KEY="of tests", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, BASE_DIR=FOLDER,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField", USE_TZ=True, STATIC_URL="/static/",
    LOGIN_URL="/login/", LOGIN_REDIRECT_URL="/", LOGOUT_REDIRECT_URL="/",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    SESSREG=json.loads(os.environ.get("DJANGO_SESSREG", "{}")),
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/db",
                           "OPTIONS": {"timeout": 60}}},
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles",
                    "sessreg.contrib.django"],
    MIDDLEWARE=MIDDLEWARE,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {
                    "registration/login.html": "<form method=post>{% csrf_token %}{{ form }}<button>Log in</button></form>",
                    "page.html": "<meta name=viewport content='width=device-width'><title>Page</title>"
                                 "<main>A page.</main>{% include 'sessreg/idle.html' with warn=request.GET.warn %}"}),
                    "django.template.loaders.app_directories.Loader"],
                    "context_processors": ["django.template.context_processors.request",
                                           "django.contrib.auth.context_processors.auth",
                                           "django.contrib.messages.context_processors.messages"]}}])
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth import login, views  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402

# What is written need not outlive the machine, and waits for no disk.
connection_created.connect(lambda connection, **_: connection.cursor().execute("PRAGMA synchronous = OFF"),
                           weak=False)


def address(request):
    """Of a client behind a unix socket, which has no other."""
    return request.headers.get("X-Real-IP")


def home(request):
    return HttpResponse(request.user.get_username() or "nobody")


@passive
def poll(request):
    return HttpResponse("polled")


def enter(request):
    """Single sign-on, of a framework that makes a page of each exception."""
    try:
        login(request, User.objects.get(username=request.GET["user"]))
    except Exception as error:
        return HttpResponse(f"its own page: {error}", status=403)
    return HttpResponse("entered")


def page(request):
    return render(request, "page.html")


urlpatterns = [path("", home), path("page/", page), path("poll/", poll), path("polls/", home), path("enter/", enter),
               path("login/", views.LoginView.as_view(), name="login"),
               path("logout/", views.LogoutView.as_view(), name="logout"),
               path("sessions/", include("sessreg.contrib.django.urls")),
               path("admin/", admin.site.urls)]

application = get_wsgi_application()
