"""The form of answers: status, headers in Django's order, and bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

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
from ajo.api.freshness import AHEAD, CACHE_CONTROL, is_known, is_outdated, last_modified
from ajo.api.middleware import ApiMiddleware
from ajo.api.problems import exception_handler
from ajo.api.rendering import JSONRenderer

Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], object]
Django = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
Answer = tuple[str, Headers, bytes]

MAX_LENGTH = 300  # characters of what is worth remembering
GROUP: Final = "api/v1/groups/<str:group_id>/"  # the route of one group, in /metrics: as Django's resolver has it
NOT_MODIFIED: Final = "304 Not Modified"
DATE: Final = "Last-Modified"


class CachedResponse:
    """A body, and how fresh whatever it was read from was at that moment. A page answers no `min_ledger`."""

    __slots__ = ("_ready", "body", "etag", "route", "synced_ledger", "watermark")

    def __init__(self, route: str, body: bytes, etag: str, watermark: cache.Freshness, synced_ledger: int = 0) -> None:
        self.route, self.body, self.etag, self.watermark, self.synced_ledger = (
            route,
            body,
            etag,
            watermark,
            synced_ledger,
        )
        self._ready: tuple[Headers, bool, Headers, Headers] | None = None

    def answer(self, constant: Headers, known: str, since: str, min_ledger: int) -> Answer | None:
        """To a client that has the body of `known` and the headers of `since`; None where Django has to answer."""
        ledger, stale = self.watermark.ledger, self.watermark.stale
        if not self.body:  # it cannot be read any more
            return None
        if min_ledger:
            # more than AHEAD of the tables it may be an error, which Django tells by what was heard of the chain
            if min_ledger > min(self.synced_ledger, ledger + AHEAD):
                return None
            whole, unchanged = self._headers(constant, max(ledger, self.synced_ledger), stale)
        else:
            ready = self._ready
            if ready is None or ready[0] is not constant or ready[1] is not stale:
                ready = self._ready = (constant, stale, *self._headers(constant, ledger, stale))
            _, _, whole, unchanged = ready
        if known and is_known(self.etag, known) and not (since and is_outdated(dict(unchanged)[DATE], since)):
            return NOT_MODIFIED, unchanged, b""
        return "200 OK", whole, self.body

    def _headers(self, constant: Headers, ledger: int, stale: bool) -> tuple[Headers, Headers]:
        """Those of the body, and those of 304."""
        fresh = [ALLOW, ("Latest-Ledger", str(ledger)), *[("Ajo-Stale", "true")] * stale]
        fresh += [(DATE, last_modified(ledger, stale)), ("ETag", self.etag)]
        fresh += [("Cache-Control", CACHE_CONTROL), constant[0]]
        length = ("Content-Length", str(len(self.body)))
        whole = [("Content-Type", "application/json"), *fresh, length, *constant[1:]]
        return whole, [*fresh, ("Content-Length", "0"), *constant[1:]]


ALLOW: Final = ("Allow", "GET, HEAD, OPTIONS")


def not_modified_headers(headers: Headers) -> Headers:
    """The headers of 304 in place of a body with these."""
    lengths = {"Content-Length": "0"}
    return [(name, lengths.get(name, value)) for name, value in headers if name != "Content-Type"]


def _problem_of_absence() -> HttpResponse:
    found = exception_handler(cache.Absent(), {})
    assert found is not None  # noqa: S101  # it handles Absent
    return found


class _Absence(CachedResponse):
    """That something is not on the chain."""

    def answer(self, constant: Headers, known: str, since: str, min_ledger: int) -> Answer | None:
        headers = [*_problem_of_absence().items(), ALLOW, *constant]
        return None if min_ledger else ("404 Not Found", headers, self.body)


ABSENT: Final = _Absence(GROUP, _problem_of_absence().content, "", cache.Freshness("", 0, 0.0))


def constant_headers(environ: Mapping[str, Any]) -> Headers | None:
    """What the middlewares add to every answer to such a request, X-Frame-Options first; None where they refuse it."""
    host, accept = environ.get("HTTP_HOST", ""), environ.get("HTTP_ACCEPT", "*/*")
    forwarded = environ.get("HTTP_X_FORWARDED_PROTO", "")
    if len(host) + len(accept) + len(forwarded) > MAX_LENGTH:
        return None
    return fixed_headers(host, accept, forwarded, environ["wsgi.url_scheme"])


@lru_cache(maxsize=512)
def fixed_headers(host: str, accept: str, forwarded: str, scheme: str) -> Headers | None:
    """The same, by what it depends on."""
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
