"""Pages of lists at the edge: what Django rendered, while the watermark that was read before stands, and no longer."""

from __future__ import annotations

import json
import threading
from io import BytesIO
from typing import Any

import pytest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from ajo import cache
from ajo.api.wsgi import Handler
from ajo.cache import store
from ajo.edge import Edge, RequestBodies, application
from ajo.soroban.models import Checkpoint
from contributions.models import Contribution, Payout, Refund
from contributions.statement_formats import StatementEntrySerializer
from groups.cached import refresh_groups
from groups.models import Group
from tests.support.edge import Answer, Django, ask, django, fresh, front
from tests.support.factories import account, make_event, make_row

__all__ = ["django", "front"]
pytestmark = pytest.mark.django_db(transaction=True)

API = "/api/v1/"
LIST = f"{API}groups/"
PAGES = [
    "groups/", "users/", "contributions/", "payouts/", "refunds/", "events/", "groups/7/members/", "groups/7/events/",
    "groups/7/contributions/", "groups/7/payouts/", "groups/7/refunds/", "groups/7/entries/", f"users/{account(1)}/",
    f"users/{account(1)}/groups/", f"users/{account(1)}/contributions/", f"users/{account(1)}/payouts/",
    f"users/{account(1)}/refunds/",
]  # fmt: skip
QUERIES = [
    ("groups/", "limit=1"),
    ("groups/", "search=gb%E1%BA%B9&status=active&ordering=-contribution_amount"),
    ("groups/", f"member={account(1)}"),
    ("groups/", "joinable=true&limit=200"),
    ("contributions/", "created_after=2020-01-01T00:00:00Z&group=7"),
    ("groups/7/contributions/", "round=1"),
    ("events/", "limit=1&after=0000000000000000000-0000000000"),
    ("events/", "after=now&type=contrib"),
    ("groups/", "ids=7,9"),
    ("contributions/", "ordering=id"),
]
ASIDE = [
    {"query": "min_ledger=1"},
    {"query": "limit=1&min_ledger=1"},
    {"query": "min%5Fledger=1"},
    {"query": "limit=1&cursor=x"},
    {"query": "overdue=true"},
    {"query": "limit=1&payout_due=false"},
    {"query": "limit"},
    {"query": "Limit=1"},
    {"query": f"search={'x' * 300}"},
    {"method": "POST"},
    {"method": "OPTIONS"},
    {"HTTP_COOKIE": "sessionid=1"},
    {"HTTP_AUTHORIZATION": "Basic eDp5"},
    {"HTTP_ACCEPT": "text/html"},
    {"HTTP_HOST": "evil.example"},
    {"CONTENT_LENGTH": "5"},
    {"path": f"{API}groups"},
    {"path": f"{API}users/{account(1)}/dues/"},
    {"path": f"{API}groups/7/schedule/"},
    {"path": f"{API}contract/"},
    {"path": f"{API}contract/tokens/"},
    {"path": API},
    {"path": "/"},
    {"path": f"{API}status/"},
    {"path": f"{API}schema/"},
    {"path": f"{API}docs/"},
    {"path": f"{API}transactions/{'a' * 64}/"},
    {"path": f"{API}nothing/"},
    {"path": "/admin/login/"},
]


@pytest.fixture(autouse=True)
def _history(front: Edge) -> None:
    """Beside group 7: an event and a row of each kind."""
    make_row(Contribution, 7, 1, 1, 900)
    make_row(Payout, 7, 1, 1, 901)
    make_row(Refund, 7, 1, 1, 902)
    make_event(900, 7)


def advance_watermark(ledger: int = 1001) -> None:
    """What a pass does at its end."""
    now = cache.current_watermark()
    assert now
    Checkpoint.objects.update(ledger=ledger)
    cache.advance(
        now, cache.Freshness(now.freshness.dataset_id, ledger, now.freshness.chain_advanced_at, now.freshness.as_of + 1)
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("path", "query"), [*((path, "") for path in PAGES), *QUERIES])
def test_the_second_reader_is_answered_what_django_answers(
    front: Edge, django: Django, path: str, query: str, method: str
) -> None:
    asked = {"path": API + path, "query": query, "method": method}
    rendered = ask(front, **asked)
    assert django.asked == 1
    from_redis, kept = ask(front, **asked), ask(front, **asked)
    assert django.asked == 1
    assert rendered == from_redis == kept == ask(django, **asked)
    assert rendered[0] == "200 OK"


def test_the_links_of_a_page_are_in_a_header_at_the_edge_and_at_django(front: Edge, django: Django) -> None:
    make_row(Contribution, 7, 2, 1, 903)
    asked = {"path": f"{API}contributions/", "query": "limit=1"}
    body = json.loads(ask(django, **asked)[2])
    for asker in (django, front, front, front):
        assert dict(ask(asker, **asked)[1])["Link"] == f'<{body["next"]}>; rel="next"'
    following = ask(front, path=asked["path"], query=body["next"].partition("?")[2])
    previous = json.loads(following[2])["previous"]
    assert dict(following[1])["Link"] == f'<{previous}>; rel="prev"'
    assert "Link" not in dict(ask(front, path=LIST)[1])


@pytest.mark.parametrize("known", ["TAG", "W/TAG", '"another", TAG', "*", '"another"'])
def test_a_known_page_is_304_from_django_from_redis_and_from_the_process(
    front: Edge, django: Django, known: str
) -> None:
    known = known.replace("TAG", dict(ask(django, path=LIST)[1])["ETag"])
    answers = [ask(front, path=LIST, HTTP_IF_NONE_MATCH=known) for _ in range(3)]
    assert django.asked == 2
    assert answers == [ask(django, path=LIST, HTTP_IF_NONE_MATCH=known)] * 3
    assert ask(front, path=LIST) == ask(django, path=LIST)


@pytest.mark.parametrize("case", ASIDE, ids=str)
def test_what_is_no_plain_page_is_always_djangos(front: Edge, django: Django, case: dict[str, str]) -> None:
    asked = {"path": LIST} | case
    statuses = [ask(front, **asked)[0], ask(front, **asked)[0]]
    assert django.asked == 2
    assert statuses == [ask(django, **asked)[0]] * 2


def test_a_view_that_may_be_kept_is_one_of_these() -> None:
    """A new path is kept unless its view says otherwise: think of it here."""
    kept = {str(path.pattern) for path in flat(get_resolver().url_patterns) if is_kept(path)}
    named = {path.replace(account(1), "<str:address>").replace("/7/", "/<str:group_id>/") for path in PAGES}
    assert {path.removeprefix("api/v1/") for path in kept} == named


def flat(patterns: list[Any]) -> list[URLPattern]:
    found: list[URLPattern] = []
    for each in patterns:
        found += flat(each.url_patterns) if isinstance(each, URLResolver) else [each]
    return found


def is_kept(path: URLPattern) -> bool:
    return bool(getattr(getattr(path.callback, "cls", None), "edge_cacheable", False))


@pytest.mark.parametrize("case", [{"query": "limit=0"}, {"query": "x=1"}, {"path": f"{API}groups/999/members/"}])
def test_only_what_was_found_is_kept(front: Edge, django: Django, case: dict[str, str]) -> None:
    asked = {"path": LIST} | case
    assert ask(front, **asked)[0][0] == ask(front, **asked)[0][0] == "4"
    assert django.asked == 2
    assert cache.client().keys(f"{cache.PREFIX}page:*") == []


def test_a_change_shows_with_the_next_watermark(front: Edge, django: Django) -> None:
    ask(front, path=LIST)
    Group.objects.filter(pk=7).update(name="Another")
    assert b"Another" not in ask(front, path=LIST)[2]
    advance_watermark()
    front.local_cache.until = 0  # half a second later
    assert b"Another" in ask(front, path=LIST)[2]
    assert django.asked == 2
    assert ("Latest-Ledger", "1001") in ask(front, path=LIST)[1]
    assert django.asked == 2


def test_a_page_of_tables_that_are_older_than_the_watermark_is_not_kept(front: Edge, django: Django) -> None:
    """As after a backup was restored. Breaks if the page took the watermark's label: it would be older than it says."""
    Checkpoint.objects.update(ledger=900)
    for asked in (1, 2):
        assert ("Latest-Ledger", "900") in ask(front, path=LIST)[1]
        assert django.asked == asked


def new_epoch() -> None:
    cache.start_epoch(Checkpoint.objects.freshness())


def new_dataset() -> None:
    cache.start_epoch(cache.Freshness("b" * 32, 1000, Checkpoint.objects.freshness().chain_advanced_at))


@pytest.mark.parametrize("change", [advance_watermark, new_epoch, new_dataset, cache.invalidate_all])
def test_a_page_is_never_shown_under_another_watermark(front: Edge, django: Django, change: Any) -> None:
    ask(front, path=LIST)
    change()
    assert ask(front, path=LIST)[0] == "200 OK"
    assert django.asked == 2


def test_a_body_that_is_refreshed_drops_no_page(front: Edge, django: Django) -> None:
    """Breaks if a page counted under one version alone: each reader of the chain would have all pages rendered anew."""
    ask(front, path=LIST)
    refresh_groups([7])
    front.local_cache.until = 0
    ask(front, path=LIST)
    assert django.asked == 1


def test_a_page_whose_watermark_went_by_while_it_was_rendered_is_not_shown(
    front: Edge, django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly = django.handler

    def late(environ: dict[str, Any], start_response: Any) -> HttpResponseBase:
        answer = slowly(environ, start_response)
        Group.objects.filter(pk=7).update(name="Another")
        advance_watermark()
        return answer

    monkeypatch.setattr(django, "handler", late)
    assert b"Another" not in ask(front, path=LIST)[2]
    monkeypatch.setattr(django, "handler", slowly)
    assert b"Another" in ask(front, path=LIST)[2]


def test_of_many_first_readers_one_has_the_page_rendered(
    front: Edge, django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "PAGE_WAIT", 60)
    others, waits = threading.Barrier(8), threading.Event.wait
    slowly = django.handler

    def when_all_wait(environ: dict[str, Any], start_response: Any) -> HttpResponseBase:
        others.wait(10)
        return slowly(environ, start_response)

    def wait(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout and timeout > 30:
            others.wait(10)
        return waits(event, timeout)

    monkeypatch.setattr(django, "handler", when_all_wait)
    monkeypatch.setattr(threading.Event, "wait", wait)
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(front, path=LIST))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert django.asked == 1
    assert answers == [answers[0]] * 8
    assert front.pending == {}


def test_a_reader_whose_page_could_not_be_rendered_holds_up_nobody(
    front: Edge, django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(environ: dict[str, Any], start_response: Any) -> HttpResponseBase:
        raise RuntimeError

    handler = django.handler
    monkeypatch.setattr(django, "handler", fails)
    with pytest.raises(RuntimeError):
        ask(front, path=LIST)
    monkeypatch.setattr(django, "handler", handler)
    assert ask(front, path=LIST)[0] == "200 OK"
    assert front.pending == {}


def test_pages_that_are_too_large_are_not_kept(front: Edge, django: Django, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAGE_MAX_BYTES", 100)
    assert ask(front, path=LIST) == ask(front, path=LIST)
    assert django.asked == 2


def test_redis_forgets_pages_that_no_pass_drops(front: Edge) -> None:
    ask(front, path=LIST)
    (key,) = cache.client().keys(f"{cache.PREFIX}page:*")
    assert 0 < cache.client().pttl(key) <= 1100 * store.PAGE_TTL


@pytest.mark.parametrize("known", ["", "*"])
def test_silence_of_the_chain_is_told_of_pages_too(front: Edge, django: Django, settings: Settings, known: str) -> None:
    settings.STALE_AFTER = -1
    fresh(1000)
    answers = [ask(front, path=LIST, HTTP_IF_NONE_MATCH=known) for _ in range(3)]
    assert ("Ajo-Stale", "true") in answers[0][1]
    assert django.asked == 1
    assert answers == [ask(django, path=LIST, HTTP_IF_NONE_MATCH=known)] * 3


def test_the_rate_holds_for_pages_and_counts_each_request_once(front: Edge, django: Django, settings: Settings) -> None:
    settings.READ_RATE = "3/day"
    assert [ask(front, path=LIST)[0][:3] for _ in range(4)] == ["200", "200", "200", "429"]


def test_without_redis_pages_are_djangos(front: Edge, django: Django, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    cache.client.cache_clear()
    try:
        assert ask(front, path=LIST) == ask(front, path=LIST)
        assert django.asked == 2
    finally:
        cache.client.cache_clear()
        cache.breaker.close()


def test_a_download_is_sent_in_the_parts_that_it_is_made_of_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if it were joined like other answers: then all of it would be in memory before the first part is sent."""
    monkeypatch.setattr("ajo.api.downloads.CHUNK_SIZE", 1)
    for number in range(2, 6):
        make_row(Contribution, 7, 1, number, 910 + number)
    made: list[int] = []
    serialize = StatementEntrySerializer.to_representation

    def count(self: Any, row: Any) -> Any:
        made.append(row.round)
        return serialize(self, row)

    monkeypatch.setattr(StatementEntrySerializer, "to_representation", count)
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": f"{API}groups/7/statement/", "QUERY_STRING": "", "SERVER_NAME": "x",
        "SERVER_PORT": "80", "HTTP_HOST": "127.0.0.1:8000", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
        "REMOTE_ADDR": "192.0.2.1",
    }  # fmt: skip
    django: Any = Handler()
    for _ in range(2):  # the second one finds the client's place free again
        made.clear()
        said: list[Any] = []
        parts = iter(Edge(RequestBodies(django))(dict(environ), lambda *given, said=said: said.extend(given)))
        assert said[0] == "200 OK"
        first = next(parts)
        assert len(made) == 1
        body = json.loads(b"".join([first, *parts]))
        assert len(body["results"]) == len(made) == 7
