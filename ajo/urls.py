"""Addresses: the admin here, each part's own urls below its prefix."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("health/", include("ajo.ops.urls")),
]
