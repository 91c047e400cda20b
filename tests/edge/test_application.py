"""The edge answers what Django would, byte for byte, and steps aside from everything else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from ajo import cache
from ajo.api.freshness import last_modified
from ajo.api.throttles import read_counter
from ajo.cache import read_through
from ajo.edge import Edge
from ajo.metrics import REQUESTS, buffered_metrics
from groups.cached import group_answer, refresh_cache
from tests.support.edge import Django, ask, django, fresh, front

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
    fresh(1000, chain_advanced_at=time.time() - settings.STALE_AFTER - 1)
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


def test_the_rate_holds_over_edge_and_django(front: Edge, django: Django, settings: Settings) -> None:
    settings.READ_RATE = "5/day"
    assert [ask(front)[0][:3] for _ in range(4)] == ["200"] * 4
    assert ask(django)[0] == "200 OK"  # the fifth, in whatever process
    assert ask(front)[0] == "429 Too Many Requests"
    assert ask(front, REMOTE_ADDR="192.0.2.9")[0] == "200 OK"


def test_the_edge_says_what_is_left_of_the_rate_as_django_does(front: Edge, django: Django, settings: Settings) -> None:
    settings.READ_RATE = "16/day"

    def left(application: Any, **more: str) -> tuple[str, str]:
        said = ask(application, **more)[1]
        names = [name for name, _ in said]
        assert names[-3:] == ["RateLimit-Policy", "RateLimit", "X-Request-ID"]
        found = dict(said)
        return found["RateLimit-Policy"], found["RateLimit"].split(";t=")[0]

    policy = '"read";q=16;w=86400'
    assert [left(front) for _ in range(3)] == [(policy, f'"read";r={number}') for number in (15, 14, 13)]
    assert django.asked == 0
    assert left(django) == (policy, '"read";r=12')
    assert left(front, HTTP_IF_NONE_MATCH="*") == (policy, '"read";r=11')


def test_several_processes_count_together_in_redis(front: Edge, settings: Settings) -> None:
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
