"""The base of every public view: it refuses unknown parameters, says how fresh the answer is, answers 304."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.permissions import SAFE_METHODS, AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from ajo.api import freshness
from ajo.api.pagination import KeysetPagination
from ajo.api.problems import invalid
from ajo.api.rendering import JSONRenderer
from ajo.api.throttles import ReadThrottle, client_address
from ajo.cache import Answer, Freshness

MAX_VALUE_LENGTH = 4000  # characters of one query parameter: 200 group ids of any length, and beyond any cursor of ours
PREFLIGHT_MAX_AGE: Final = "86400"  # seconds


class ReadViewSet(GenericViewSet[Any]):
    """A public read."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (ReadThrottle,)
    renderer_classes = (JSONRenderer,)
    pagination_class: type[KeysetPagination] | None = KeysetPagination
    filterset_class: Any = None
    filter_backends = (DjangoFilterBackend,)
    metadata_class = None
    # The tables answer, so `min_ledger` waits for the sync; a view that reads through the cache sets `fresh` itself.
    from_tables = True
    # The answer changes with the sync's passes alone, so the edge may keep it from one to the next.
    edge_cacheable = True

    min_ledger = 0
    fresh: Freshness | Answer | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action in (None, "metadata"):
            return
        check_query(request, self._parameters())
        if text := request.query_params.get("min_ledger"):
            self.min_ledger = freshness.parse_min_ledger(text)
        if self.from_tables:
            self.fresh = freshness.tables_at_least(self.min_ledger, client_address(request))

    @classmethod
    def lists(cls) -> Callable[..., HttpResponseBase]:
        """Return the view function for a path that names a list."""
        return cls.as_view({"get": "list"})

    @classmethod
    def retrieves(cls) -> Callable[..., HttpResponseBase]:
        """Return the view function for a path that names one resource."""
        return cls.as_view({"get": "retrieve"})

    def filter_by_path(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the queryset to what the path names. Raise cache.Absent where it names nothing."""
        return queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.filter_by_path(self.get_queryset())))
        return self.get_paginated_response(self.get_serializer(self.to_objects(rows or []), many=True).data)

    def to_objects(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Return the objects to serialize for the rows of a page, which may hold only what the list is ordered by."""
        return rows

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        return preflight(self.allowed_methods)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        if self.fresh:
            freshness.label(final, self.fresh)
        if request.method not in SAFE_METHODS or final.status_code != 200 or not isinstance(final, HttpResponse):
            return final
        if isinstance(final, Response):
            final.render()
        return freshness.conditional(_plain(request), final)

    def _parameters(self) -> set[str]:
        known = {"min_ledger"}
        if self.action == "list":
            known.update(self.pagination_class.parameters if self.pagination_class else ())
            filterset = self.filterset_class
            known.update(filterset.base_filters if filterset else ())
        return known


def preflight(methods: Sequence[str]) -> HttpResponse:
    """Answer a browser's preflight: 204 with the methods and headers that are allowed."""
    response = HttpResponse(status=204)
    del response.headers["Content-Type"]
    response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
    response.headers["Access-Control-Allow-Headers"] = "Content-Type, If-None-Match, Prefer"
    response.headers["Access-Control-Max-Age"] = PREFLIGHT_MAX_AGE
    return response


def check_query(request: Request, known: set[str]) -> None:
    """Raise a 400 for parameters that are unknown, repeated, empty, too long, or hold NUL."""
    errors, unknown = {}, []
    for name, values in request.query_params.lists():
        if name not in known:
            unknown.append(name[:100])
        elif len(values) > 1:
            errors[name] = "Given more than once."
        elif not values[0]:
            errors[name] = "Is empty."
        elif "\0" in values[0] or len(values[0]) > MAX_VALUE_LENGTH:
            errors[name] = "Is no value that this parameter takes."
    if unknown:  # the known ones are named once: a query may hold a thousand unknown ones
        errors |= dict.fromkeys(unknown, "Unknown parameter.")
        errors[unknown[0]] += f" {_known_words(known)}"
    if errors:
        raise invalid(**errors)


def _known_words(known: set[str]) -> str:
    return f"This path takes {', '.join(sorted(known))}." if known else "This path takes none."


def _plain(request: Request | HttpRequest) -> HttpRequest:
    return request._request if isinstance(request, Request) else request
