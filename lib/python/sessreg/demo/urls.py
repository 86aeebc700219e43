"""The pages of the demo."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import views
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import include, path

from sessreg.contrib.django import conf

from . import ADDRESSES, ADMIN, LIMIT, PASSWORD, USERS


def address_asked(request: Any) -> str:
    """All come from one host: what tells these browsers apart is the address that they ask."""
    return str(request.get_host()).split(":")[0]


def home(request: Any) -> HttpResponse:
    return render(request, "demo/home.html", {
        "taken": conf.client().list().active, "limit": LIMIT, "port": request.get_port(),
        "others": [address for address in ADDRESSES if address != address_asked(request)]})


urlpatterns = [
    path("", home, name="home"),
    path("login/", views.LoginView.as_view(extra_context={"users": USERS, "admin": ADMIN, "password": PASSWORD}),
         name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("sessions/", include("sessreg.contrib.django.urls")),
    path("admin/", admin.site.urls),
]
