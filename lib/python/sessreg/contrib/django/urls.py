from __future__ import annotations

from django.urls import path

from . import views
from .decorators import passive

app_name = "sessreg"
urlpatterns = [
    path("", views.own, name="own"),
    path("end/", views.end, name="end"),
    path("end-others/", views.end_others, name="end_others"),
    path("take-over/", views.take_over, name="take_over"),
    path("standing/", passive(views.standing), name="standing"),
    path("here/", views.here, name="here"),
]
