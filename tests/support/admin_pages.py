"""Addresses of the staff's pages."""

from urllib.parse import urlencode

from django.db.models import Model
from django.urls import reverse


def table(model: type[Model], **query: object) -> str:
    return _page(model, "changelist") + (f"?{urlencode(query)}" if query else "")


def row(found: Model, action: str = "change") -> str:
    return _page(type(found), action, found.pk)


def add(model: type[Model]) -> str:
    return _page(model, "add")


def _page(model: type[Model], action: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{action}", args=args)
