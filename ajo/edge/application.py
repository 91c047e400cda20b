"""The WSGI application around Django's: it answers groups and pages from the process, from Redis, from the tables."""

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
from ajo.api.freshness import CONDITIONAL_HEADERS, LAST_MODIFIED, is_not_modified
from ajo.api.proxies import settle_scheme
from ajo.api.request_ids import REQUEST_ID, is_request_id
from ajo.api.routes import label
from ajo.api.throttles import read_counter
from ajo.edge.pg_reader import PgReader
from ajo.edge.responses import (
    ABSENT,
    GROUP_ROUTE,
    MAX_LENGTH,
    NOT_MODIFIED,
    AbsentResponse,
    CachedResponse,
    StartResponse,
    WsgiApplication,
    cached_response,
    fixed_headers_for,
    not_modified_headers,
)
from ajo.metrics import CACHE_READS, buffered_metrics

API: Final = "/api/v1/"
GROUPS: Final = f"{API}groups/"
MIN_LEDGER: Final = re.compile(r"min_ledger=([1-9][0-9]{0,8})", re.ASCII)
# Names are plain letters, so that none is another's in disguise. A `min_ledger` of a page waits for the sync, and a
# `cursor` is asked for once: neither is worth keeping. What is overdue or due changes with time, without a pass.
QUERY: Final = re.compile(r"(?:(?:^|&)(?!min_ledger=|cursor=|overdue=|payout_due=)[a-z_]+=[!-%'-~]*)+", re.ASCII)
# The process keeps responses for a tenth of a ledger, with the freshness that was read together: the label stays as
# true as it was. Then one request asks Redis, and while nothing was refreshed there all of them stay for another tenth,
# for a whole ledger at most.
LOCAL_TTL, LOCAL_MAX_AGE = 0.5, 5.0  # seconds
LOCAL_MAX_ENTRIES = 4_096
LOCAL_MAX_BYTES = 32 * 2**20
PAGE_WAIT = 1.0  # seconds that a page is waited for from the beginning of its rendering


@dataclass(slots=True)
class LocalCache:
    """The responses that a process keeps, all read beside one version (ajo/cache).

    It is dropped as a whole when Redis has another. Times are of time.monotonic.
    """

    version: bytes | None
    until: float  # when Redis has to be asked again
    ends: float
    entries: dict[str, CachedResponse] = field(default_factory=dict)
    size: int = 0  # bytes of bodies

    def add(self, name: str, response: CachedResponse | None) -> CachedResponse | None:
        """Keep a response under its path and query unless there is no room. Return it."""
        if response:
            old = self.entries.get(name)
            size = self.size + len(response.body) - (len(old.body) if old else 0)
            if (old or len(self.entries) < LOCAL_MAX_ENTRIES) and size <= LOCAL_MAX_BYTES:
                self.size = size
                self.entries[name] = response
        return response


@dataclass(slots=True)
class PendingPage:
    """A page that one reader has Django render while others wait, under the version that was read before."""

    name: str
    version: bytes
    began: float
    done: threading.Event = field(default_factory=threading.Event)


class Edge:
    """The WSGI application. What it does not answer itself, `django` does.

    `pending`: the pages that are being rendered, by path and query.
    """

    def __init__(self, django: WsgiApplication) -> None:
        self._django = django
        self.local_cache = LocalCache(None, 0.0, 0.0)
        self._tables = PgReader()
        self.pending: dict[str, PendingPage] = {}
        self._prefix, self._numbers = os.urandom(8).hex(), count()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        settle_scheme(environ)
        path: str = environ["PATH_INFO"]
        query = environ.get("QUERY_STRING")
        fixed = fixed_headers_for(environ) if path.startswith(API) and is_plain(environ) else None
        asked = parse_query(path, query) if query else (path, 0)
        if fixed is None or asked is None:
            return self._django(environ, start_response)
        name, min_ledger = asked
        now, local = time.monotonic(), self.local_cache
        layer: cache.Layer | None = "process"
        response: CachedResponse | AbsentResponse | None = local.entries.get(name) if now < local.until else None
        if response is None:
            read = self._read(path, name, min_ledger, now)
            if isinstance(read, PendingPage):
                return self._render(read, environ, start_response)
            if read is None:
                return self._django(environ, start_response)
            response, layer = read, read.layer
        answer = response.answer(fixed, environ, min_ledger)
        limits = read_counter.take(environ) if answer else None
        if answer is None or limits is None:
            return self._django(environ, start_response)
        status, headers, body = answer
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if given and is_request_id(given) else f"{self._prefix}{next(self._numbers):016x}"
        start_response(status, [*headers, *limits, (REQUEST_ID, request_id)])
        buffered_metrics.observe(layer, response.route, status, time.perf_counter() - began)
        return [body]  # a list: granian hands on any other iterable through a channel, part by part

    def _read(
        self, path: str, name: str, min_ledger: int, now: float
    ) -> CachedResponse | AbsentResponse | PendingPage | None:
        """Read a group or a page from Redis or the tables. None: Django answers; a PendingPage: it renders."""
        if len(name) > MAX_LENGTH:
            return None
        number = path[len(GROUPS) : -1]
        # of ASCII digits without a leading zero: of what WSGI lets through, only those are decimal
        if path.startswith(GROUPS) and path[-1] == "/" and number.isdecimal() and number[0] != "0":
            return self._group(name, number, now) if name == path else None  # a group takes no other parameter
        return None if min_ledger else self._page(path, name, now)

    def _group(self, name: str, number: str, now: float) -> CachedResponse | AbsentResponse | None:
        """Read a group from Redis or, in one statement, from the tables. None where Django has to."""
        key, local, known = f"group:{number}", self.local_cache, cache.Lookup()
        if local.version or now >= local.until:  # without a version nothing in Redis counts
            known = cache.get(key)
            local = self._refresh_local(known.version, now)
        found = known.found
        if found is None:
            if (found := self._tables.read(number)) is None:
                return ABSENT if known.is_absent else None
            cache.set_if_current(key, found, known.version)
        return local.add(name, cached_response(GROUP_ROUTE, found))

    def _refresh_local(self, version: bytes | None, now: float) -> LocalCache:
        """Return the local cache for what was read beside this version; a new one where it is another.

        `now` is from before Redis was asked.
        """
        local = self.local_cache
        if local.version != version or now >= (local.ends if version else local.until):
            local = self.local_cache = LocalCache(version, now + LOCAL_TTL, now + LOCAL_MAX_AGE)
        elif version:
            local.until = min(max(local.until, now + LOCAL_TTL), local.ends)
        return local

    def _page(self, path: str, name: str, now: float) -> CachedResponse | PendingPage | None:
        """Read a page from Redis. A single flight renders it: one reader gets the PendingPage, the others wait."""
        route = page_route(path)
        if not route:
            return None
        for has_waited in (False, True):
            known = cache.get_page(name)
            if known.found:
                return self._refresh_local(known.version, now).add(name, cached_response(route, known.found))
            if known.version is None or has_waited:
                break
            mine = PendingPage(name, known.version, time.monotonic())
            other = self.pending.setdefault(name, mine)
            if other is mine:
                return mine
            other.done.wait(max(0.0, other.began + PAGE_WAIT - mine.began))
        return None

    def _render(self, page: PendingPage, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Have Django answer, and store a page that was found for the next readers. Pass on what Django raises."""
        # the next readers may not have that body
        unconditional = {name: value for name, value in environ.items() if name not in CONDITIONAL_HEADERS}
        started: list[Any] = []
        tag = date = ""
        try:
            body = b"".join(self._django(unconditional, lambda *given: started.extend(given)))
            status, headers = started
            if status == "200 OK":
                by_name = dict(headers)
                tag, date = by_name.get("ETag", ""), by_name.get(LAST_MODIFIED, "")
                ledger = int(by_name.get("Latest-Ledger", 0))
                cache.set_page_if_current(page.name, body, tag, ledger, page.version)
                CACHE_READS.labels("postgresql").inc()
        finally:
            del self.pending[page.name]
            page.done.set()
        if tag and is_not_modified(environ, tag, date):
            status, headers, body = NOT_MODIFIED, not_modified_headers(headers), b""
        start_response(status, headers)
        return [body]

    def close(self) -> None:
        """Close its sessions with the database that nobody uses now."""
        self._tables.close()


def is_plain(environ: Mapping[str, Any]) -> bool:
    """Return whether a request is a read without credentials and without a body."""
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and "HTTP_COOKIE" not in environ
        and "HTTP_AUTHORIZATION" not in environ
        and "HTTP_TRANSFER_ENCODING" not in environ
        and environ.get("CONTENT_LENGTH", "") in ("", "0")
    )


def parse_query(path: str, query: str) -> tuple[str, int] | None:
    """Return the name under which an answer is kept (path and query) and `min_ledger` (0: none).

    None for queries that only Django can answer.
    """
    if asked := MIN_LEDGER.fullmatch(query):
        return path, int(asked[1])
    return (f"{path}?{query}", 0) if QUERY.fullmatch(query) else None


@lru_cache(maxsize=1024)
def page_route(path: str) -> str:
    """Return the URL pattern of a path whose answers may be kept until the next pass (`edge_cacheable`), else ""."""
    try:
        found = resolve(path)
    except Resolver404:
        return ""
    return label(found) if getattr(getattr(found.func, "cls", None), "edge_cacheable", False) else ""
