"""Factories of admin columns: each shows a field, or something of the row, made harmless, under a title.

A factory's result is a class attribute of an admin or inline: `short_name = text_column("name", "Name")`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from ajo.adminkit import display

Column = Callable[[Any, Any], SafeString | str]  # (admin, row) → cell


def column(field: str, title: str, render: Callable[[Any], SafeString | str], *, missing: str = "-") -> Column:
    """Return a column that shows `render(value)` of a field, or `missing` where the value is None.

    `field` may be dotted: `group.token`.
    """
    value_of = attrgetter(field)

    def cell(row: Any) -> SafeString | str:
        value = value_of(row)
        return missing if value is None else render(value)

    return row_column(title, cell)


def row_column(title: str, render: Callable[[Any], SafeString | str]) -> Column:
    """Return a column that shows `render(row)`."""

    @admin.display(description=title)
    def cell(_: Any, row: Any) -> SafeString | str:
        return render(row)

    return cell


def text_column(field: str, title: str, limit: int = 60, *, missing: str = "") -> Column:
    """Return a column of untrusted text on one line of at most `limit` characters."""
    return column(field, title, lambda text: display.safe_text(text, limit), missing=missing)


def multiline_column(field: str, title: str) -> Column:
    """Return a column of untrusted text, whole, in a box."""
    return column(field, title, display.safe_multiline)


def raw_column(field: str, title: str) -> Column:
    """Return a column of base64 or hexadecimal, whole, in a box that scrolls."""
    return column(field, title, display.preformatted)


def json_column(field: str, title: str, limit: int | None = None, *, missing: str = "-") -> Column:
    """Return a column of JSON: on one line of at most `limit` characters, or whole in a box without a limit."""
    return column(field, title, lambda value: display.as_json(value, limit), missing=missing)
