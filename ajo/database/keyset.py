"""Keyset pages: page one thousand costs what page one costs, and rows that arrive shift nothing.

A cursor is the ordering key of a page's first or last row and a direction, signed together with a scope: the list that
it belongs to. Any other cursor is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet

MAC_SIZE = 12  # bytes


class BadCursor(ValueError):
    """The text is no cursor of this scope."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after these ordering keys, or before them if `backwards`."""

    keys: list[Any]
    backwards: bool = False

    def sign(self, scope: str) -> str:
        """Return the cursor as an opaque text that is valid for this scope only."""
        payload = json.dumps([self.keys, self.backwards], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(_mac(scope, payload, settings.SECRET_KEY) + payload).rstrip(b"=").decode()

    @classmethod
    def verify(cls, text: str, scope: str) -> Cursor:
        """Parse a cursor. Raise BadCursor for whatever `sign` has not made for this very scope."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        # SECRET_KEY_FALLBACKS: a client that pages while the key is changed goes on.
        made = (_mac(scope, raw[MAC_SIZE:], key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
        if not any(hmac.compare_digest(raw[:MAC_SIZE], mac) for mac in made):
            raise BadCursor
        keys, backwards = json.loads(raw[MAC_SIZE:])
        return cls(keys, backwards)


def _mac(scope: str, payload: bytes, secret: str) -> bytes:
    key = f"ajo.api.cursor:{secret}".encode()
    return hmac.digest(key, scope.encode() + b"\0" + payload, hashlib.sha256)[:MAC_SIZE]


@dataclass(slots=True)
class Page:
    """Rows in the list's order, with the cursors of the neighbouring pages."""

    rows: list[Any] = field(default_factory=list)
    next: Cursor | None = None
    previous: Cursor | None = None


def read_page(queryset: QuerySet[Any], limit: int, cursor: Cursor | None) -> Page:
    """Read one page of at most `limit` rows of a queryset whose ordering is unique and of one direction.

    The rows after a cursor are those that equal its first keys and lie beyond the next one, read by a query for
    each key: PostgreSQL takes a comparison of whole tuples for one of their first keys, and plans badly where they tie.
    """
    order = [str(name) for name in queryset.query.order_by]
    names = [name.removeprefix("-") for name in order]
    queryset = queryset.annotate(**{f"key_{number}": F(name) for number, name in enumerate(names)})
    descending = order[0].startswith("-")
    backwards = cursor is not None and cursor.backwards
    if backwards:
        queryset = queryset.order_by(*(name if descending else f"-{name}" for name in names))
    rows: list[Any] = []
    for part in _beyond(queryset, cursor.keys, "lt" if descending != backwards else "gt") if cursor else [queryset]:
        if len(rows) <= limit:
            rows += part[: limit + 1 - len(rows)]
    more = len(rows) > limit
    del rows[limit:]
    if backwards:
        rows.reverse()
    if not rows:
        return Page()
    first, last = ([getattr(row, f"key_{number}") for number in range(len(names))] for row in (rows[0], rows[-1]))
    before, after = Cursor(first, backwards=True), Cursor(last)
    if backwards:
        return Page(rows, after, before if more else None)
    return Page(rows, after if more else None, before if cursor else None)


def all_rows(queryset: QuerySet[Any], batch: int) -> Iterator[Any]:
    """Yield every row of such a queryset, `batch` of them in memory at a time, by a query for each page.

    Without server-side cursors, which a pooler in transaction mode would lose, `iterator()` would read all at once.
    """
    page = read_page(queryset, batch, None)
    while page.rows:
        yield from page.rows
        if page.next is None:
            return
        page = read_page(queryset, batch, page.next)


def _beyond(queryset: QuerySet[Any], keys: list[Any], step: str) -> Iterator[QuerySet[Any]]:
    """Yield querysets of the rows beyond these keys, in parts that follow each other."""
    for last in reversed(range(len(keys))):
        same = {f"key_{number}": keys[number] for number in range(last)}
        yield queryset.filter(**same, **{f"key_{last}__{step}": keys[last]})
