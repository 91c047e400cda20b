"""The edge answers what Django would, byte for byte, and steps aside from everything else."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from ajo import cache
from ajo.api.freshness import last_modified
from ajo.api.throttles import read_counter
from ajo.cache import read_through, redis_client, store
from ajo.edge import Edge, application
from ajo.edge.pg_reader import PgReader
from ajo.metrics import REQUESTS, buffered_metrics
from ajo.soroban.models import Checkpoint
from groups.cached import group_answer, refresh_cache, refresh_groups
from groups.models import Group
from tests.support.edge import Django, ask, django, fresh, front
from tests.support.factories import make_group

__all__ = ["django", "front"]
pytestmark = pytest.mark.django_db(transaction=True)


def etag() -> str:
    return group_answer(7).etag


AT_THE_EDGE: list[dict[str, str]] = [
    {},
    {"method": "HEAD"},
    {"query": "min_ledger=1000"},
    {"query": "min_ledger=999"},
    {"path": "/api/v1/groups/8/"},
    {"path": "/api/v1/groups/8/", "method": "HEAD"},
    {"HTTP_IF_NONE_MATCH": "TAG"},
    {"HTTP_IF_NONE_MATCH": "W/TAG"},
    {"HTTP_IF_NONE_MATCH": '"another", TAG'},
    {"HTTP_IF_NONE_MATCH": '"another"'},
    {"HTTP_IF_NONE_MATCH": "*"},
    {"HTTP_IF_NONE_MATCH": "TAG", "HTTP_IF_MODIFIED_SINCE": last_modified(1000, False)},
    {"HTTP_IF_NONE_MATCH": "TAG", "HTTP_IF_MODIFIED_SINCE": last_modified(999, False)},
    {"HTTP_IF_NONE_MATCH": "TAG", "HTTP_IF_MODIFIED_SINCE": last_modified(1000, True)},
    {"HTTP_IF_MODIFIED_SINCE": last_modified(1000, False)},
    {"HTTP_IF_NONE_MATCH": "rubbish"},
    {"HTTP_IF_NONE_MATCH": "TAG", "method": "HEAD"},
    {"HTTP_ACCEPT": "application/json"},
    {"HTTP_ACCEPT": "text/html,application/xml;q=0.9,*/*;q=0.8"},
    {"HTTP_ORIGIN": "https://else.where"},
    {"HTTP_X_FORWARDED_FOR": "198.51.100.1"},
    {"HTTP_X_FORWARDED_PROTO": "https"},
    {"HTTP_HOST": "localhost"},
    {"HTTP_RANGE": "bytes=0-3"},
    {"CONTENT_LENGTH": "0", "CONTENT_TYPE": "text/plain"},
]
ASIDE: list[dict[str, str]] = [
    {"method": "POST"},
    {"method": "OPTIONS"},
    {"method": "DELETE"},
    {"query": "min_ledger=1001"},
    {"query": "min_ledger=5000"},
    {"query": "min_ledger=0"},
    {"query": "min_ledger=x"},
    {"query": "min_ledger=1&min_ledger=2"},
    {"query": "format=api"},
    {"path": "/api/v1/groups/9/"},
    {"path": "/api/v1/groups/101/"},
    {"path": "/api/v1/groups/07/"},
    {"path": "/api/v1/groups/0/"},
    {"path": "/api/v1/groups/-7/"},
    {"path": "/api/v1/groups/7"},
    {"path": "/api/v1/groups/²/"},
    {"path": "/api/v1/groups/99999999999999999999999/"},
    {"HTTP_ACCEPT": "text/html"},
    {"HTTP_ACCEPT": ""},
    {"HTTP_HOST": "evil.example"},
    {"HTTP_HOST": "a b"},
    {"HTTP_HOST": ""},
    {"HTTP_COOKIE": "sessionid=1"},
    {"HTTP_AUTHORIZATION": "Basic eDp5"},
    {"CONTENT_LENGTH": "5"},
    {"CONTENT_LENGTH": "99999999"},
]


def filled(case: dict[str, str]) -> dict[str, str]:
    return {name: value.replace("TAG", etag()) if "TAG" in value else value for name, value in case.items()}


@pytest.mark.parametrize("case", AT_THE_EDGE, ids=str)
def test_the_edge_answers_what_django_answers(front: Edge, django: Django, case: dict[str, str]) -> None:
    asked = filled(case)
    first, kept = ask(front, **asked), ask(front, **asked)
    assert django.asked == 0
    assert first == kept == ask(django, **asked)


@pytest.mark.parametrize("case", ASIDE, ids=str)
def test_the_edge_leaves_everything_else_to_django(
    front: Edge, django: Django, case: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_through, "CHAIN_WAIT", 0)
    ask(front)
    aside = ask(front, **case)
    assert django.asked == 1
    assert aside == ask(django, **case)


@pytest.mark.parametrize("known", ["", "TAG"])
def test_silence_of_the_chain_is_told_by_both(front: Edge, django: Django, settings: Settings, known: str) -> None:
    fresh(1000, heard_at=time.time() - settings.STALE_AFTER - 1)
    asked = filled({"HTTP_IF_NONE_MATCH": known})
    answer = ask(front, **asked)
    assert ("Ajo-Stale", "true") in answer[1]
    assert django.asked == 0
    assert answer == ask(django, **asked)


@pytest.mark.parametrize(
    ("remote", "said", "is_https"),
    [
        ("10.0.0.1", "https", True),
        ("192.0.2.1", "https", False),  # not from a trusted proxy
        ("10.0.0.1", "https,http", False),  # what a client sent, and the proxy's own word behind it
        ("10.0.0.1", "http, https", True),
        ("", "https", False),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/groups/7/", "/api/v1/status/"])
def test_only_a_trusted_proxy_says_that_a_request_came_over_tls(
    front: Edge, settings: Settings, remote: str, said: str, is_https: bool, path: str
) -> None:
    """Breaks if whoever sends X-Forwarded-Proto were believed, by the edge or by Django."""
    front.close()
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    settings.SECURE_PROXY_SSL_HEADER, settings.SECURE_SSL_REDIRECT = ("HTTP_X_FORWARDED_PROTO", "https"), True
    asked = ask(Edge(Django()), path=path, REMOTE_ADDR=remote, HTTP_X_FORWARDED_PROTO=said)
    assert asked[0] == ("200 OK" if is_https else "301 Moved Permanently")


@pytest.mark.usefixtures("front")
def test_behind_tls_both_give_the_same_headers_and_send_plain_requests_away(settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 3600
    django = Django()  # its middlewares read the settings once
    front = Edge(django)
    front.close()
    secure = ask(front, HTTP_X_FORWARDED_PROTO="https")
    assert django.asked == 0
    assert ("Strict-Transport-Security", "max-age=3600") in [(name, value.split(";")[0]) for name, value in secure[1]]
    assert secure == ask(django, HTTP_X_FORWARDED_PROTO="https")
    plain = ask(front)
    assert plain[0] == "301 Moved Permanently"
    assert plain == ask(django)


def test_what_was_kept_is_forgotten_within_half_a_second(
    front: Edge, django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(front)
    Group.objects.filter(pk=7).update(name="Another", revision=2)
    fresh(1001)
    assert ("Latest-Ledger", "1000") in ask(front)[1]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + application.LOCAL_TTL)
    later = ask(front)
    assert b"Another" in later[2]
    assert later == ask(django)


def test_an_answer_below_min_ledger_is_never_taken_from_what_was_kept(front: Edge, django: Django) -> None:
    ask(front)
    Group.objects.filter(pk=7).update(name="Another", revision=2, synced_ledger=1005)
    fresh(1000)
    answer = ask(front, query="min_ledger=1005")
    assert django.asked == 1
    assert b"Another" in answer[2]
    assert ("Latest-Ledger", "1005") in answer[1]


def test_a_process_keeps_no_more_than_its_bounds(front: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "LOCAL_MAX_BYTES", 10)
    ask(front)
    assert front._local.size == 0
    monkeypatch.setattr(application, "LOCAL_MAX_BYTES", 10_000)
    monkeypatch.setattr(application, "LOCAL_MAX_ENTRIES", 0)
    ask(front)
    assert not front._local.entries


@pytest.mark.parametrize("begin_another", [False, True])
def test_what_redis_does_not_have_is_read_from_the_tables(front: Edge, django: Django, begin_another: bool) -> None:
    cache.invalidate_all()
    if begin_another:
        cache.start_epoch(Checkpoint.objects.freshness())
    Group.objects.filter(pk=7).update(name="Another", revision=2)
    answer = ask(front)
    assert b"Another" in answer[2]
    assert django.asked == 0
    assert answer == ask(django)
    assert cache.parse(*cache.get("group:7")[:2]) is not None or not begin_another


def test_without_redis_the_edge_answers_from_the_tables(
    front: Edge, django: Django, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "COOLDOWN", 0)
    settings.REDIS_URL, settings.READ_RATE = "redis://127.0.0.1:1/0", "1/day"
    cache.client.cache_clear()
    try:
        answers = [ask(front) for _ in range(3)]
        assert django.asked == 0
        assert answers == [ask(django)] * 3
    finally:
        cache.client.cache_clear()


def test_a_session_of_the_edge_ends_after_a_while(front: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if sessions lived for ever: a server that another took over from would go on being asked."""
    opened: list[psycopg.Connection] = []

    def connect(**parameters: Any) -> psycopg.Connection:
        opened.append(psycopg.Connection.connect(**parameters))
        return opened[-1]

    monkeypatch.setattr("ajo.edge.pg_reader.psycopg.connect", connect)
    tables = PgReader()
    for life, sessions in ((0.0, 1), (0.0, 2), (60.0, 3), (60.0, 3)):
        monkeypatch.setattr("ajo.edge.pg_reader.MAX_CONNECTION_AGE", life)
        assert tables.read("7") is not None
        assert len(opened) == sessions
    assert [session.closed for session in opened] == [True, True, False]
    tables.close()


def test_the_rate_holds_over_edge_and_django(front: Edge, django: Django, settings: Settings) -> None:
    settings.READ_RATE = "5/day"
    assert [ask(front)[0][:3] for _ in range(4)] == ["200"] * 4
    assert ask(django)[0] == "200 OK"  # the fifth, in whatever process
    assert ask(front)[0] == "429 Too Many Requests"
    assert ask(front, REMOTE_ADDR="192.0.2.9")[0] == "200 OK"


def test_the_counts_of_several_processes_add_up_in_redis(front: Edge, settings: Settings) -> None:
    settings.READ_RATE = "10/day"
    for _ in range(4):
        ask(front)
    read_counter.flush()
    (key,) = cache.client().keys(f"{cache.PREFIX}rate:read:*")
    assert cache.client().get(key) == b"4"
    cache.client().incrby(key, 5)  # another process
    assert ask(front)[0] == "200 OK"
    read_counter.flush()
    assert ask(front)[0].startswith("429")


@pytest.mark.parametrize("path", ["/api/v1/groups/7/", "/api/v1/groups/8/", "/api/v1/groups/"])
def test_edge_and_django_count_an_endpoint_under_one_label(front: Edge, django: Django, path: str) -> None:
    """Breaks if the edge wrote a pattern of its own: the endpoint's rate would be the sum of two series."""

    def counted() -> dict[str, float]:
        buffered_metrics.flush()
        samples = next(iter(REQUESTS.collect())).samples
        return {f"{each.labels}": each.value for each in samples if each.name.endswith("_count")}

    def grown(application: Any) -> set[str]:
        before = counted()
        ask(application, path=path)
        return {labels for labels, value in counted().items() if value != before.get(labels)}

    ask(front, path=path)  # a list is rendered once, and kept
    asked = django.asked
    assert grown(front) == grown(django)
    assert django.asked == asked + 1


def test_a_request_id_that_could_forge_log_lines_is_replaced(front: Edge) -> None:
    answers = [ask(front, HTTP_X_REQUEST_ID=given)[1][-1] for given in ("own-1", "a\nb", "")]
    assert answers[0] == ("X-Request-ID", "own-1")
    assert all(len(value) == 32 and value.isalnum() for _, value in answers[1:])


def after(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + seconds)


def asked_of_redis(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    asked: list[tuple[object, ...]] = []

    def exchange(r: Redis, *words: str | bytes | int) -> Any:
        asked.append(words)
        return redis_client.exchange(r, *words)

    monkeypatch.setattr(store, "exchange", exchange)
    return asked


def test_while_nothing_is_refreshed_one_question_a_half_second_keeps_everything(
    front: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_group(9)
    refresh_groups([9])
    first = [ask(front), ask(front, path="/api/v1/groups/9/")]
    asked = asked_of_redis(monkeypatch)
    after(monkeypatch, application.LOCAL_TTL)
    assert [ask(front), ask(front, path="/api/v1/groups/9/")] == first
    assert len(asked) == 1


def test_a_body_that_is_refreshed_under_the_same_mark_is_seen_within_half_a_second(
    front: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a sweep or a reader of the chain does it. Breaks without the count: another group's reader asks Redis, finds
    the mark where it was, and the old body stays.
    """
    make_group(9)
    refresh_groups([9])
    ask(front)
    ask(front, path="/api/v1/groups/9/")
    Group.objects.filter(pk=7).update(name="Another", revision=2)
    refresh_groups([7])
    after(monkeypatch, application.LOCAL_TTL)
    ask(front, path="/api/v1/groups/9/")
    assert b"Another" in ask(front)[2]


def test_nothing_is_kept_for_longer_than_a_ledger(front: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(front)
    kept = front._local
    after(monkeypatch, application.LOCAL_TTL)
    ask(front)
    assert front._local is kept
    monkeypatch.setattr(kept, "until", time.monotonic() + application.LOCAL_MAX_AGE)
    after(monkeypatch, application.LOCAL_MAX_AGE)
    front._local.until = 0
    ask(front)
    assert front._local is not kept


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1/0"])
def test_without_a_mark_nothing_is_kept_for_more_than_half_a_second_and_redis_asked_as_often(
    front: Edge, settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Breaks if a generation without a mark were confirmed by another look: nobody says then what was refreshed."""
    make_group(9)
    cache.invalidate_all()
    settings.REDIS_URL = url or settings.REDIS_URL
    cache.client.cache_clear()
    try:
        asked = asked_of_redis(monkeypatch)
        for name in ("One", "Two"):
            Group.objects.filter(pk=7).update(name=name)
            front._local.until = 0
            assert name.encode() in ask(front)[2]
            assert ask(front, path="/api/v1/groups/9/")[0] == "200 OK"
        # of the other group never; a Redis that refused is left alone for a moment
        assert [words[1] for words in asked] == [f"{cache.PREFIX}group:7"] * (1 if url else 2)
    finally:
        cache.client.cache_clear()
        cache.breaker.close()


def test_a_body_that_takes_anothers_place_counts_once(front: Edge) -> None:
    ask(front)
    size = front._local.size
    front._local.until = 0
    ask(front)
    assert (len(front._local.entries), front._local.size) == (1, size)


def test_what_was_absent_a_moment_ago_and_is_in_the_tables_now_is_answered(front: Edge, django: Django) -> None:
    """As while the tables are first filled. Breaks if the edge believed the absence before it asked the tables."""
    make_group(8)
    assert ask(front, path="/api/v1/groups/8/") == ask(django, path="/api/v1/groups/8/")
    assert ask(front, path="/api/v1/groups/8/")[0] == "200 OK"


def test_after_a_step_back_of_the_databases_clock_nothing_that_was_kept_counts(front: Edge) -> None:
    """Breaks if what changed since were still told by that clock: a change of the lost hour is from before."""
    before = cache.current_watermark()
    assert before
    ahead = cache.Freshness(before.freshness.dataset_id, 1000, time.time(), time.time() + 3600)
    cache.advance(before, ahead)
    refresh_cache(since=timezone.now())
    after = cache.current_watermark()
    assert after
    assert after.epoch != before.epoch
