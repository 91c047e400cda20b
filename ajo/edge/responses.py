"""The responses of the edge: status, headers in Django's order, and bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, ClassVar, Final

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

MAX_LENGTH = 300  # characters of what is worth remembering
GROUP_ROUTE: Final = "api/v1/groups/<str:group_id>/"  # as Django's resolver has it, for /metrics
NOT_MODIFIED: Final = "304 Not Modified"
ALLOW: Final = ("Allow", "GET, HEAD, OPTIONS")
CONTENT_TYPE: Final = ("Content-Type", "application/json")


@dataclass(slots=True)
class _ReadyHeaders:
    """The headers of the next answers to requests of the same kind, while the chain is as silent as it was."""

    fixed: Headers
    stale: bool
    full: Headers
    date: str
    _not_modified: Headers | None = None

    def not_modified(self) -> Headers:
        """Return those of a 304. They are built for the first one: most groups are never asked for that way."""
        if self._not_modified is None:
            self._not_modified = not_modified_headers(self.full)
        return self._not_modified


class CachedResponse:
    """Answers with a body that was found. Headers are built once for each kind of request, not for each request."""

    __slots__ = ("_links", "_ready", "body", "found", "route")

    def __init__(self, route: str, found: cache.Found, body: bytes) -> None:
        self.route, self.found, self.body = route, found, body
        self._ready: _ReadyHeaders | None = None
        self._links = [] if route == GROUP_ROUTE else list(link_header_of(body).items())

    @property
    def layer(self) -> cache.Layer | None:
        return self.found.layer

    def answer(self, fixed: Headers, environ: Mapping[str, Any], min_ledger: int) -> WsgiAnswer | None:
        """Return 200 or 304. None where Django has to answer."""
        document, fresh, _ = self.found
        stale = fresh.stale
        if min_ledger:
            # Beyond MAX_AHEAD of the tables it may be an error: Django compares it with what was heard of the chain.
            if min_ledger > min(document.synced_ledger, fresh.ledger + MAX_AHEAD):
                return None
            ready = self._headers(fixed, self.found.ledger(min_ledger), stale)
        else:
            known = self._ready
            if known is None or known.fixed is not fixed or known.stale is not stale:
                known = self._ready = self._headers(fixed, fresh.ledger, stale)
            ready = known
        if is_not_modified(environ, document.etag, ready.date):
            return NOT_MODIFIED, ready.not_modified(), b""
        return "200 OK", ready.full, self.body

    def _headers(self, fixed: Headers, ledger: int, stale: bool) -> _ReadyHeaders:
        date = last_modified(ledger, stale)
        validators = validator_headers(self.found.document.etag, date)
        fresh = [*self._links, ALLOW, *freshness_headers(ledger, stale), *validators, fixed[0]]
        full = [CONTENT_TYPE, *fresh, ("Content-Length", str(len(self.body))), *fixed[1:]]
        return _ReadyHeaders(fixed, stale, full, date)


def cached_response(route: str, found: cache.Found) -> CachedResponse | None:
    """Return what answers with this body. None for a tombstone: Django says that it cannot be decoded."""
    body = found.document.body
    return None if body is None else CachedResponse(route, found, body)


def not_modified_headers(headers: Headers) -> Headers:
    """Return the headers of a 304 in place of the answer with these."""
    lengths = {"Content-Length": "0"}
    return [(name, lengths.get(name, value)) for name, value in headers if name != "Content-Type"]


def _absent_problem() -> HttpResponse:
    found = exception_handler(cache.Absent(), {})
    assert found is not None  # noqa: S101  # it handles Absent
    return found


class AbsentResponse:
    """Answers 404 for a group that is known to be absent from the chain; a `min_ledger` is left to Django."""

    route: ClassVar = GROUP_ROUTE
    layer: ClassVar = None  # none has it: it is not counted as a read

    def answer(self, fixed: Headers, environ: Mapping[str, Any], min_ledger: int) -> WsgiAnswer | None:
        problem = _absent_problem()
        return None if min_ledger else ("404 Not Found", [*problem.items(), ALLOW, *fixed], problem.content)


ABSENT: Final = AbsentResponse()


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
