"""Before Django: one group, asked for plainly, is answered with the bytes that Redis holds or PostgreSQL writes.

What is answered here, Django would answer byte for byte the same (tests/test_edge.py). Everything else steps aside:
credentials, a body, other parameters, a host or a format that Django refuses, what is not fresh enough or not in the
tables, a client that asked too often. Hot keys are kept in the process for half a second, a tenth of a ledger, with the
freshness that was read together with them: the label stays as true as it was.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

import psycopg
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection
from django.http import HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.security import SecurityMiddleware
from psycopg_pool import ConnectionPool
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from ajo import cache
from ajo.api.freshness import AHEAD, CACHE_CONTROL, is_known
from ajo.api.middleware import ApiMiddleware
from ajo.api.problems import exception_handler
from ajo.api.rendering import JSONRenderer
from ajo.api.throttles import address_of_client, reads
from ajo.metrics import CACHE_READS, REQUESTS
from ajo.ops.middleware import HEADER, SANE
from groups.documents import fresh_document

Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], object]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

PREFIX: Final = "/api/v1/groups/"
ROUTE: Final = "api/v1/groups/<group_id>/"
MIN_LEDGER: Final = re.compile(r"min_ledger=([1-9][0-9]{0,8})", re.ASCII)
# Named by a request that is more than a plain read.
BEYOND: Final = frozenset({"HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_TRANSFER_ENCODING"})
LONGEST = 300  # characters of a header that is worth remembering what Django says to it
WAIT = 2.0  # seconds until a session must be there; while the database answers none is waited for
KEPT_FOR = 0.5  # seconds
KEPT_ENTRIES = 4_096
KEPT_BYTES = 32 * 2**20
BIGINT: Final = 18  # digits that certainly fit
ALLOW: Final = ("Allow", "GET, HEAD, OPTIONS")


@dataclass(frozen=True, slots=True)
class Held:
    """A body, and how fresh whatever it was read from was at that moment."""

    body: bytes
    etag: str
    synced_ledger: int
    mark: cache.Freshness


@dataclass(slots=True)
class Generation:
    """What a process keeps, thrown away as a whole when its half second is over."""

    ends: float
    held: dict[str, Held] = field(default_factory=dict)
    size: int = 0

    def keep(self, number: str, found: Held) -> None:
        if len(self.held) < KEPT_ENTRIES and self.size + len(found.body) <= KEPT_BYTES:
            self.size += len(found.body)
            self.held[number] = found


class Edge:
    """A WSGI application around Django's."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._kept = Generation(0.0)
        self._sessions = _sessions()
        self._left_alone_until = 0.0
        self._observe = {code: REQUESTS.labels(ROUTE, f"{code}xx").observe for code in "234"}
        self._count = {layer: CACHE_READS.labels(layer).inc for layer in ("process", "redis", "postgresql")}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        answer = self._answer(environ)
        if answer is None:
            return self._django(environ, start_response)
        status, headers, body = answer
        given = environ.get("HTTP_X_REQUEST_ID", "")
        headers.append((HEADER, given if given and SANE.fullmatch(given) else os.urandom(16).hex()))
        start_response(status, headers)
        self._observe[status[0]](time.perf_counter() - began)
        return [body]  # a list: granian hands on any other iterable through a channel, part by part

    def _answer(self, environ: dict[str, Any]) -> tuple[str, Headers, bytes] | None:
        """Status, headers and body; None to step aside."""
        path: str = environ["PATH_INFO"]
        number = path[len(PREFIX) : -1]
        # of ASCII digits without a leading zero: of what WSGI lets through, only those are decimal
        if not (path.startswith(PREFIX) and path[-1] == "/" and number.isdecimal() and number[0] != "0"):
            return None
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or not BEYOND.isdisjoint(environ):
            return None
        if environ.get("CONTENT_LENGTH", "") not in ("", "0"):
            return None
        min_ledger = 0
        if query := environ.get("QUERY_STRING"):
            if not (asked := MIN_LEDGER.fullmatch(query)):
                return None
            min_ledger = int(asked[1])
        host, accept = environ.get("HTTP_HOST", ""), environ.get("HTTP_ACCEPT", "*/*")
        forwarded = environ.get("HTTP_X_FORWARDED_PROTO", "")
        if len(host) + len(accept) + len(forwarded) > LONGEST:
            return None
        constant = constant_headers(host, accept, forwarded, environ["wsgi.url_scheme"])
        if constant is None:
            return None
        found = self._find(number)
        if found is None or not found.body or not reads.admits(address_of_client(environ)):
            return None
        if found is ABSENT:
            return ("404 Not Found", absent_headers(constant), ABSENT.body) if not min_ledger else None
        return _shown(found, constant, min_ledger, environ.get("HTTP_IF_NONE_MATCH", ""))

    def _find(self, number: str) -> Held | None:
        """What the process keeps, else what Redis holds."""
        kept, now = self._kept, time.monotonic()
        if now >= kept.ends:
            kept = self._kept = Generation(now + KEPT_FOR)
        if found := kept.held.get(number):
            self._count["process"]()
            return found
        key = f"group:{number}"
        value, mark, absent = cache.look(key)
        if hit := cache.parse(value, mark):
            self._count["redis"]()
            found = Held(*hit)
        elif absent and not value:
            return ABSENT
        elif found := self._from_tables(key, number, mark):
            self._count["postgresql"]()
        else:
            return None
        kept.keep(number, found)
        return found

    def _from_tables(self, key: str, number: str, mark: bytes | None) -> Held | None:
        """From one statement; None where the tables do not have it, or cannot be asked: Django says which."""
        if len(number) > BIGINT or time.monotonic() < self._left_alone_until:
            return None
        try:
            with self._sessions.connection() as session:
                found = fresh_document(session, int(number))
        except psycopg.Error:
            self._left_alone_until = time.monotonic() + cache.DOWN_FOR
            return None
        if found is None:
            return None
        fresh, document = found
        cache.keep(key, document, fresh, mark)
        return Held(document.body, cache.etag(document.body), document.synced_ledger, fresh)

    def close(self) -> None:
        """End its sessions with the database."""
        self._sessions.close()


def _sessions() -> ConnectionPool:
    """Opened as they are needed, one for each thread at most: with Django's own pool twice as many as threads.

    They are not checked before each use, which takes as long as the statement. One that died with a restarted server
    fails once, and Django answers instead.
    """
    parameters = connection.get_connection_params()
    for name in ("pool", "cursor_factory", "context"):
        parameters.pop(name, None)
    kwargs = {**parameters, "autocommit": True}
    return ConnectionPool(
        kwargs=kwargs, min_size=0, max_size=settings.WEB_THREADS, timeout=WAIT, reconnect_timeout=5, open=True
    )


def _shown(found: Held, constant: Headers, min_ledger: int, known: str) -> tuple[str, Headers, bytes] | None:
    ledger = found.mark.ledger
    if min_ledger:
        # more than AHEAD of the tables it may be an error, which Django tells by what was heard of the chain
        if min_ledger > min(found.synced_ledger, ledger + AHEAD):
            return None
        ledger = max(ledger, found.synced_ledger)
    fresh = [("ETag", found.etag), ("Latest-Ledger", str(ledger))]
    if found.mark.stale:
        fresh.append(("Ajo-Stale", "true"))
    fresh += [ALLOW, ("Cache-Control", CACHE_CONTROL), constant[0]]
    if known and is_known(found.etag, known):
        return "304 Not Modified", [*fresh, ("Content-Length", "0"), *constant[1:]], b""
    length = ("Content-Length", str(len(found.body)))
    return "200 OK", [("Content-Type", "application/json"), *fresh, length, *constant[1:]], found.body


def _problem_of_absence() -> HttpResponse:
    found = exception_handler(cache.Absent(), {})
    assert found is not None  # noqa: S101  # it handles Absent
    return found


ABSENT: Final = Held(_problem_of_absence().content, "", 0, cache.Freshness("", 0, 0.0))


def absent_headers(constant: Headers) -> Headers:
    """Those of "not on the chain", in Django's order."""
    own = list(_problem_of_absence().items())
    return [*own, ALLOW, *constant]


@lru_cache(maxsize=512)
def constant_headers(host: str, accept: str, forwarded: str, scheme: str) -> Headers | None:
    """What the middlewares add to every answer to such a request, X-Frame-Options first; None where they refuse it."""
    meta = {"REQUEST_METHOD": "GET", "PATH_INFO": f"{PREFIX}1/", "wsgi.input": BytesIO(), "wsgi.url_scheme": scheme}
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
