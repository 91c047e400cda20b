"""The responses of the edge: status, headers in Django's order, and bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, Literal

from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.security import SecurityMiddleware
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from ajo import cache
from ajo.api.freshness import (
    MAX_AHEAD,
    Headers,
    freshness_headers,
    is_not_modified,
    last_modified,
    validator_headers,
)
from ajo.api.middleware import ApiMiddleware
from ajo.api.pagination import link_header_of
from ajo.api.problems import exception_handler
from ajo.api.rendering import JSONRenderer

StartResponse = Callable[[str, Headers], object]
WsgiApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
WsgiAnswer = tuple[str, Headers, bytes]  # status, headers, body
Layer = Literal["", "process", "redis", "postgresql"]  # the label of /metrics; empty: not counted as a read

MAX_LENGTH = 300  # characters of what is worth remembering
GROUP_ROUTE: Final = "api/v1/groups/<str:group_id>/"  # as Django's resolver has it, for /metrics
NOT_MODIFIED: Final = "304 Not Modified"
ALLOW: Final = ("Allow", "GET, HEAD, OPTIONS")


@dataclass(frozen=True, slots=True)
class _ReadyHeaders:
    """The headers of the next answers to requests of the same kind, while the chain is as silent as it was."""

    fixed: Headers
    stale: bool
    full: Headers
    not_modified: Headers
    date: str


class CachedResponse:
    """A body to answer with, and how fresh the tables were when it was read. A page has no `synced_ledger`: 0.

    `layer` is where it was read from. Headers are built once for each kind of request, not for each request.
    """

    __slots__ = ("_links", "_ready", "body", "etag", "freshness", "layer", "route", "synced_ledger")

    def __init__(
        self, route: str, layer: Layer, body: bytes, etag: str, freshness: cache.Freshness, synced_ledger: int = 0
    ) -> None:
        self.route, self.layer = route, layer
        self.body, self.etag, self.freshness, self.synced_ledger = body, etag, freshness, synced_ledger
        self._ready: _ReadyHeaders | None = None
        self._links = [] if route == GROUP_ROUTE else list(link_header_of(body).items())

    def answer(self, fixed: Headers, if_none_match: str, if_modified_since: str, min_ledger: int) -> WsgiAnswer | None:
        """Return 200 or 304. None where Django has to answer."""
        ledger, stale = self.freshness.ledger, self.freshness.stale
        if min_ledger:
            # Beyond MAX_AHEAD of the tables it may be an error: Django compares it with what was heard of the chain.
            if min_ledger > min(self.synced_ledger, ledger + MAX_AHEAD):
                return None
            ready = self._headers(fixed, max(ledger, self.synced_ledger), stale)
        else:
            known = self._ready
            if known is None or known.fixed is not fixed or known.stale is not stale:
                known = self._ready = self._headers(fixed, ledger, stale)
            ready = known
        if if_none_match and is_not_modified(self.etag, ready.date, if_none_match, if_modified_since):
            return NOT_MODIFIED, ready.not_modified, b""
        return "200 OK", ready.full, self.body

    def _headers(self, fixed: Headers, ledger: int, stale: bool) -> _ReadyHeaders:
        date = last_modified(ledger, stale)
        fresh = [*self._links, ALLOW, *freshness_headers(ledger, stale), *validator_headers(self.etag, date), fixed[0]]
        length = ("Content-Length", str(len(self.body)))
        full = [("Content-Type", "application/json"), *fresh, length, *fixed[1:]]
        return _ReadyHeaders(fixed, stale, full, [*fresh, ("Content-Length", "0"), *fixed[1:]], date)


class UndecodableResponse(CachedResponse):
    """The tombstone of a resource that this version cannot decode: Django answers 503."""

    def answer(self, fixed: Headers, if_none_match: str, if_modified_since: str, min_ledger: int) -> WsgiAnswer | None:
        return None


def cached_response(
    route: str, layer: Layer, body: bytes, etag: str, freshness: cache.Freshness, synced_ledger: int = 0
) -> CachedResponse:
    """Return what answers with this body; an empty one is a tombstone (cache.Document)."""
    kind = CachedResponse if body else UndecodableResponse
    return kind(route, layer, body, etag, freshness, synced_ledger)


def not_modified_headers(headers: Headers) -> Headers:
    """Return the headers of a 304 in place of the answer with these."""
    lengths = {"Content-Length": "0"}
    return [(name, lengths.get(name, value)) for name, value in headers if name != "Content-Type"]


def _absent_problem() -> HttpResponse:
    found = exception_handler(cache.Absent(), {})
    assert found is not None  # noqa: S101  # it handles Absent
    return found


class AbsentResponse(CachedResponse):
    """404 for a group that is known to be absent from the chain; a `min_ledger` is left to Django."""

    def answer(self, fixed: Headers, if_none_match: str, if_modified_since: str, min_ledger: int) -> WsgiAnswer | None:
        headers = [*_absent_problem().items(), ALLOW, *fixed]
        return None if min_ledger else ("404 Not Found", headers, self.body)


ABSENT: Final = AbsentResponse(GROUP_ROUTE, "", _absent_problem().content, "", cache.Freshness("", 0, 0.0))


def fixed_headers_for(environ: Mapping[str, Any]) -> Headers | None:
    """Return what the middlewares add to every answer to such a request, X-Frame-Options first.

    None where they refuse it, or where the headers that it depends on are too long to remember. The same list object
    comes back for the same kind of request.
    """
    host, accept = environ.get("HTTP_HOST", ""), environ.get("HTTP_ACCEPT", "*/*")
    forwarded = environ.get("HTTP_X_FORWARDED_PROTO", "")
    if len(host) + len(accept) + len(forwarded) > MAX_LENGTH:
        return None
    return fixed_headers(host, accept, forwarded, environ["wsgi.url_scheme"])


@lru_cache(maxsize=512)
def fixed_headers(host: str, accept: str, forwarded: str, scheme: str) -> Headers | None:
    """Run Django's middlewares over a request with these headers; see fixed_headers_for."""
    meta = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/v1/groups/", "wsgi.input": BytesIO(), "wsgi.url_scheme": scheme}
    meta |= {"HTTP_HOST": host, "HTTP_ACCEPT": accept, "SERVER_NAME": "", "SERVER_PORT": ""}
    if forwarded:
        meta["HTTP_X_FORWARDED_PROTO"] = forwarded
    request = WSGIRequest(meta)
    chain: Any = XFrameOptionsMiddleware(lambda _: HttpResponse())
    for middleware in (CommonMiddleware, SecurityMiddleware, ApiMiddleware):
        chain = middleware(chain)
    try:
        DefaultContentNegotiation().select_renderer(Request(request), [JSONRenderer()], None)
        response = chain(request)
    except (SuspiciousOperation, NotAcceptable):
        return None
    headers = [(name, value) for name, value in response.items() if name not in ("Content-Type", "Content-Length")]
    return headers if host and response.status_code == 200 else None
