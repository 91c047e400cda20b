"""Addresses of the admin's pages, and what a reader sees on them."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse


def table(model: type[Model], **query: object) -> str:
    """Return the address of a model's change list, with the query's parameters."""
    return _page(model, "changelist") + (f"?{urlencode(query)}" if query else "")


def row(found: Model, action: str = "change") -> str:
    """Return the address of a row's page."""
    return _page(type(found), action, found.pk)


def add(model: type[Model]) -> str:
    """Return the address of the form that adds a row."""
    return _page(model, "add")


def _page(model: type[Model], action: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{action}", args=args)


def shown_text(client: Client, address: str) -> str:
    """Return the text of the page, as a reader sees it."""
    return text_of(client.get(address))


def text_of(answer: Any) -> str:
    """Return an answer's text without tags, with single spaces."""
    return plain(answer.content.decode())


def plain(html: str) -> str:
    """Return HTML's text without tags, with single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def executed_queries(client: Client, address: str) -> list[str]:
    """Return the SQL that the page executes. Asserts that it is answered with 200."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]
