"""Keyset pagination: page one thousand costs what page one costs, and rows that arrive shift nothing.

A cursor is the ordering key of a page's first or last row and a direction, signed together with the path, the filters
and the ordering that it belongs to. Any other cursor is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils.encoding import escape_uri_path
from django.utils.http import urlencode
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ajo.api.problems import invalid

DEFAULT_LIMIT = 20
MAX_LIMIT = 200
MAC_SIZE = 12  # bytes
# No part of a cursor's scope: these choose a part of the list, or its freshness.
UNSCOPED: Final = ("cursor", "limit", "min_ledger")


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
        """Parse a cursor. Raise a 400 for whatever `sign` has not made for this very scope."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        # SECRET_KEY_FALLBACKS: a client that pages while the key is changed goes on.
        made = (_mac(scope, raw[MAC_SIZE:], key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
        if not any(hmac.compare_digest(raw[:MAC_SIZE], mac) for mac in made):
            raise invalid(cursor="Not a cursor of this list with these filters and this ordering.")
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


def _beyond(queryset: QuerySet[Any], keys: list[Any], step: str) -> Iterator[QuerySet[Any]]:
    """Yield querysets of the rows beyond these keys, in parts that follow each other."""
    for last in reversed(range(len(keys))):
        same = {f"key_{number}": keys[number] for number in range(last)}
        yield queryset.filter(**same, **{f"key_{last}__{step}": keys[last]})


def parse_limit(request: Request) -> int:
    """Return the `limit` of a request, from 1 to MAX_LIMIT rows. Raise a 400 for any other."""
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdecimal()) or len(text) > 3 or not 1 <= int(text) <= MAX_LIMIT:
        raise invalid(limit=f"A number from 1 to {MAX_LIMIT} is expected.")
    return int(text)


def link(request: Request, **changes: str | None) -> str:
    """Return this list's absolute URL, from PUBLIC_URL, with these parameters in place of cursor and min_ledger."""
    query = {name: str(value) for name, value in request.query_params.items() if name not in ("cursor", "min_ledger")}
    query |= {name: value for name, value in changes.items() if value is not None}
    return f"{settings.PUBLIC_URL}{escape_uri_path(request.path)}" + (f"?{urlencode(query)}" if query else "")


def link_header(following: str | None, previous: str | None) -> dict[str, str]:
    """Return the header that repeats a page's links (RFC 8288), for clients that follow headers; empty without any."""
    links = [f'<{url}>; rel="{rel}"' for rel, url in (("next", following), ("prev", previous)) if url]
    return {"Link": ", ".join(links)} if links else {}


def link_header_of(body: bytes) -> dict[str, str]:
    """Return the same header of a page's finished body, which ends in its links; empty for any other body."""
    _, found, tail = body.rpartition(b'],"next":')  # addresses are quoted, so that none holds this text
    if not found:
        return {}
    links = json.loads(b'{"next":' + tail)
    return link_header(links["next"], links["previous"])


class KeysetPagination(BasePagination):
    """Paginate by `limit` and `cursor` over whatever ordering the view's queryset has."""

    parameters = ("limit", "cursor")
    _links: tuple[str | None, str | None] = (None, None)

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        limit = parse_limit(request)
        scope = _scope(request, queryset)
        text = request.query_params.get("cursor")
        page = read_page(queryset, limit, Cursor.verify(text, scope) if text is not None else None)
        self._links = (self._link(request, scope, page.next), self._link(request, scope, page.previous))
        return page.rows

    def get_paginated_response(self, data: Any) -> Response:
        following, previous = self._links
        page = {"results": data, "next": following, "previous": previous}
        return Response(page, headers=link_header(following, previous))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        address = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "properties": {"results": schema, "next": address, "previous": address},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        described: Sequence[tuple[str, dict[str, Any], str]] = [
            (
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                "Rows a page.",
            ),
            ("cursor", {"type": "string", "minLength": 1}, "From `next` or `previous`."),
        ]
        return [
            {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
            for name, schema, text in described
            if name in self.parameters
        ]

    @staticmethod
    def _link(request: Request, scope: str, cursor: Cursor | None) -> str | None:
        return link(request, cursor=cursor.sign(scope)) if cursor else None


def _scope(request: Request, queryset: QuerySet[Any]) -> str:
    filters = sorted((name, value) for name, value in request.query_params.items() if name not in UNSCOPED)
    return json.dumps([request.path, filters, [str(name) for name in queryset.query.order_by]])
