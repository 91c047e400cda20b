"""Paths of the health checks, below /health/."""

from django.urls import path

from ajo.ops import health

urlpatterns = [
    path("live", health.live, name="health-live"),
    path("ready", health.ready, name="health-ready"),
]
