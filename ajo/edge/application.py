"""The WSGI application around Django's: groups and pages, from the process, from Redis, from the tables."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any, Final

from django.urls import Resolver404, resolve

from ajo import cache
from ajo.api.freshness import is_known, is_outdated
from ajo.api.proxies import settle_scheme
from ajo.api.throttles import read_counter
from ajo.edge.pg_reader import PgReader
from ajo.edge.responses import (
    ABSENT,
    DATE,
    GROUP,
    MAX_LENGTH,
    NOT_MODIFIED,
    CachedResponse,
    Django,
    StartResponse,
    constant_headers,
    not_modified_headers,
)
from ajo.metrics import CACHE_READS, buffered_metrics
from ajo.ops.middleware import HEADER, SANE

API: Final = "/api/v1/"
GROUPS: Final = f"{API}groups/"
MIN_LEDGER: Final = re.compile(r"min_ledger=([1-9][0-9]{0,8})", re.ASCII)
# Names in plain letters, so that none is another's in disguise. What is asked for by ledger waits for it, and further
# pages are asked for once.
QUERY: Final = re.compile(r"(?:(?:^|&)(?!min_ledger=|cursor=)[a-z_]+=[!-%'-~]*)+", re.ASCII)
# Kept in the process for a tenth of a ledger, with the freshness that was read together: the label stays as true as it
# was. Then one request asks Redis, and while nothing was refreshed there all of it stays for another tenth, for a whole
# ledger at most.
LOCAL_TTL, LOCAL_MAX_AGE = 0.5, 5.0  # seconds
LOCAL_MAX_ENTRIES = 4_096
LOCAL_MAX_BYTES = 32 * 2**20
MISS: Final = ("", None)
UNMARKED: Final = (None, None)
PAGE_WAIT = 1.0  # seconds that a page is waited for from the beginning of its rendering


@dataclass(slots=True)
class LocalCache:
    """What a process keeps, thrown away as a whole when Redis says another mark or sign than it was read beside."""

    state: tuple[bytes | None, bytes | None]
    until: float  # when Redis has to be asked again
    ends: float
    entries: dict[str, CachedResponse] = field(default_factory=dict)
    size: int = 0

    def keep(self, name: str, found: CachedResponse) -> None:
        old = self.entries.get(name)
        size = self.size + len(found.body) - (len(old.body) if old else 0)
        if (old or len(self.entries) < LOCAL_MAX_ENTRIES) and size <= LOCAL_MAX_BYTES:
            self.size = size
            self.entries[name] = found


@dataclass(slots=True)
class PendingPage:
    """A page that its one reader has Django render, under the mark that it read before."""

    name: str
    watermark: bytes
    began: float
    done: threading.Event = field(default_factory=threading.Event)


class Edge:
    def __init__(self, django: Django) -> None:
        self._django = django
        self._local = LocalCache(UNMARKED, 0.0, 0.0)
        self._tables = PgReader()
        self._pending: dict[str, PendingPage] = {}
        self._prefix, self._numbers = os.urandom(8).hex(), count()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        settle_scheme(environ)
        path: str = environ["PATH_INFO"]
        query = environ.get("QUERY_STRING")
        constant = constant_headers(environ) if path.startswith(API) and is_plain(environ) else None
        asked = parse_query(path, query) if query else (path, 0)
        if constant is None or asked is None:
            return self._django(environ, start_response)
        name, min_ledger = asked
        layer, found = self._find(path, name, min_ledger)
        if isinstance(found, PendingPage):
            return self._render(found, environ, start_response)
        known, since = environ.get("HTTP_IF_NONE_MATCH", ""), environ.get("HTTP_IF_MODIFIED_SINCE", "")
        answer = found.answer(constant, known, since, min_ledger) if found else None
        if found is None or answer is None or not read_counter.allow(environ):
            return self._django(environ, start_response)
        status, headers, body = answer
        given = environ.get("HTTP_X_REQUEST_ID", "")
        own = given if given and SANE.fullmatch(given) else f"{self._prefix}{next(self._numbers):016x}"
        start_response(status, [*headers, (HEADER, own)])
        buffered_metrics.observe(layer, found.route, status, time.perf_counter() - began)
        return [body]  # a list: granian hands on any other iterable through a channel, part by part

    def _find(self, path: str, name: str, min_ledger: int) -> tuple[str, CachedResponse | PendingPage | None]:
        """What the process keeps, else what Redis or the tables hold; and who had it."""
        local, now = self._local, time.monotonic()
        if now < local.until and (hot := local.entries.get(name)):
            return "process", hot
        if len(name) > MAX_LENGTH:
            return MISS
        number = path[len(GROUPS) : -1]
        # of ASCII digits without a leading zero: of what WSGI lets through, only those are decimal
        if path.startswith(GROUPS) and path[-1] == "/" and number.isdecimal() and number[0] != "0":
            return self._group(name, number, now) if name is path else MISS
        return MISS if min_ledger else self._page(path, name, now)

    def _group(self, name: str, number: str, now: float) -> tuple[str, CachedResponse | None]:
        """From Redis or, in one statement, from the tables; where neither has it, Django says whether it is."""
        key, local = f"group:{number}", self._local
        watermark = absent = None
        if local.state[0] or now >= local.until:  # without a mark nothing in Redis counts
            value, watermark, refreshed, absent = cache.get(key)
            local = self._refresh_local(watermark, refreshed, now)
            if hit := cache.parse(value, watermark):
                body, etag, synced_ledger, fresh = hit
                found = CachedResponse(GROUP, body, etag, fresh, synced_ledger)
                local.keep(name, found)
                return "redis", found
        if not (read := self._tables.read(number)):
            return ("", ABSENT) if absent else MISS
        fresh, document = read
        cache.set_if_current(key, document, fresh, watermark)
        found = CachedResponse(GROUP, document.body, document.etag, fresh, document.synced_ledger)
        local.keep(name, found)
        return "postgresql", found

    def _refresh_local(self, watermark: bytes | None, refreshed: bytes | None, now: float) -> LocalCache:
        """Where what was read beside mark and sign of refreshes belongs; `now` is from before Redis was asked."""
        local = self._local
        if local.state != (watermark, refreshed) or now >= (local.ends if watermark else local.until):
            local = self._local = LocalCache((watermark, refreshed), now + LOCAL_TTL, now + LOCAL_MAX_AGE)
        elif watermark:
            local.until = min(max(local.until, now + LOCAL_TTL), local.ends)
        return local

    def _page(self, path: str, name: str, now: float) -> tuple[str, CachedResponse | PendingPage | None]:
        """From Redis; or the task of having it rendered, which one of its readers gets while the others wait."""
        route = page_route(path)
        for has_waited in (False, True):
            value, watermark, refreshed = cache.get_page(name) if route else (None, None, None)
            if hit := cache.parse_page(value, watermark):
                found = CachedResponse(route, *hit)
                self._refresh_local(watermark, refreshed, now).keep(name, found)
                return "redis", found
            if watermark is None or has_waited:
                break
            mine = PendingPage(name, watermark, time.monotonic())
            other = self._pending.setdefault(name, mine)
            if other is mine:
                return "", mine
            other.done.wait(max(0.0, other.began + PAGE_WAIT - mine.began))
        return MISS

    def _render(self, page: PendingPage, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Django's own answer, kept for who asks next."""
        known = environ.pop("HTTP_IF_NONE_MATCH", "")  # who asks next may not have that body
        since = environ.pop("HTTP_IF_MODIFIED_SINCE", "")
        said: list[Any] = []
        tag = date = ""
        try:
            body = b"".join(self._django(environ, lambda *given: said.extend(given)))
            status, headers = said
            if status == "200 OK":
                told = dict(headers)
                tag, date = told.get("ETag", ""), told.get(DATE, "")
                cache.set_page_if_current(page.name, body, tag, int(told.get("Latest-Ledger", 0)), page.watermark)
                CACHE_READS.labels("postgresql").inc()
        finally:
            del self._pending[page.name]
            page.done.set()
        if tag and known and is_known(tag, known) and not is_outdated(date, since):
            status, headers, body = NOT_MODIFIED, not_modified_headers(headers), b""
        start_response(status, headers)
        return [body]

    def close(self) -> None:
        """End its sessions with the database."""
        self._tables.close()


def is_plain(environ: Mapping[str, Any]) -> bool:
    """Whether a request names nothing that makes it more than a read."""
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and "HTTP_COOKIE" not in environ
        and "HTTP_AUTHORIZATION" not in environ
        and "HTTP_TRANSFER_ENCODING" not in environ
        and environ.get("CONTENT_LENGTH", "") in ("", "0")
    )


def parse_query(path: str, query: str) -> tuple[str, int] | None:
    """What is asked for, by name, and how new it is to be; None where only Django knows."""
    if asked := MIN_LEDGER.fullmatch(query):
        return path, int(asked[1])
    return (f"{path}?{query}", 0) if QUERY.fullmatch(query) else None


@lru_cache(maxsize=1024)
def page_route(path: str) -> str:
    """The pattern of a path whose answers may be kept until the next pass; empty for any other."""
    try:
        found = resolve(path)
    except Resolver404:
        return ""
    return found.route if getattr(getattr(found.func, "cls", None), "edge_cacheable", False) else ""
