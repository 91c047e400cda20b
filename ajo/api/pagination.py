"""Keyset pagination of the API's lists: a cursor (ajo/database/keyset.py) is valid for one path, filters and order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils.encoding import escape_uri_path
from django.utils.http import urlencode
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ajo.api.problems import invalid
from ajo.database.keyset import BadCursor, Cursor, read_page

DEFAULT_LIMIT = 20
MAX_LIMIT = 200
# No part of a cursor's scope: these choose a part of the list, or its freshness.
UNSCOPED: Final = ("cursor", "limit", "min_ledger")


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
        try:
            cursor = None if text is None else Cursor.verify(text, scope)
        except BadCursor:
            raise invalid(cursor="Not a cursor of this list with these filters and this ordering.") from None
        page = read_page(queryset, limit, cursor)
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
