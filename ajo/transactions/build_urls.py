"""Paths of building below /api/v1/. They stand before those that take a hash in the same place."""

from django.urls import path

from ajo.transactions.build_views import BuildView, PrepareView

urlpatterns = [
    path("transactions/build/", BuildView.as_view(), name="transaction-build"),
    path("transactions/prepare/", PrepareView.as_view(), name="transaction-prepare"),
]
