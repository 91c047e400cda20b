"""The edge in front of a Django that counts its requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from django.http.response import HttpResponseBase

from ajo import cache
from ajo.api.throttles import read_counter
from ajo.api.wsgi import Handler
from ajo.edge import Edge
from ajo.edge.responses import fixed_headers
from ajo.soroban.models import Checkpoint
from groups.cached import refresh_groups
from tests.support.factories import make_checkpoint, make_group

Answer = tuple[str, list[tuple[str, str]], bytes]
GROUP = "/api/v1/groups/7/"


class Django:
    """Django alone, which counts the requests that reach it."""

    def __init__(self) -> None:
        self.asked = 0
        self.handler = Handler()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> HttpResponseBase:
        self.asked += 1
        return self.handler(environ, start_response)


def ask(application: Any, path: str = GROUP, query: str = "", method: str = "GET", **headers: str) -> Answer:
    """Return status, headers and body of a WSGI application's answer."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.1",
        "HTTP_HOST": "127.0.0.1:8000", "HTTP_X_REQUEST_ID": "same", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
    }  # fmt: skip
    given: list[Any] = []
    body = application(environ | headers, lambda *said: given.extend(said[:2]))
    return given[0], given[1], b"".join(body)


@pytest.fixture
def django() -> Django:
    return Django()


@pytest.fixture
def front(django: Django) -> Iterator[Edge]:
    """Put the edge before Django, with group 7 in Redis and group 8 known to be absent."""
    make_checkpoint(group_count=100)
    make_group(7, name="Ẹgbẹ́ <b>")
    fresh(ledger=1000)
    cache.with_redis(lambda r: r.set(f"{cache.PREFIX}absent:group:8", 1))
    fixed_headers.cache_clear()
    read_counter.reset_for_tests()
    built = Edge(django)
    yield built
    built.close()
    fixed_headers.cache_clear()


def fresh(ledger: int, chain_advanced_at: float | None = None) -> None:
    dataset_id = Checkpoint.objects.freshness().dataset_id
    cache.start_epoch(
        cache.Freshness(
            dataset_id, ledger, time.time() if chain_advanced_at is None else chain_advanced_at, time.time()
        )
    )
    refresh_groups([7])
