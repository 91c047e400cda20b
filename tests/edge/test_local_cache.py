"""The edge's own cache: answers are kept for half a second, within bounds, and only while the watermark stands."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pytest_django import Settings
from redis import Redis

from ajo import cache
from ajo.cache import redis_client, store
from ajo.edge import Edge, application
from groups.cached import refresh_groups
from groups.models import Group
from tests.support.edge import Django, ask, django, fresh, front
from tests.support.factories import make_group

__all__ = ["django", "front"]
pytestmark = pytest.mark.django_db(transaction=True)


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
    assert front.local_cache.size == 0
    monkeypatch.setattr(application, "LOCAL_MAX_BYTES", 10_000)
    monkeypatch.setattr(application, "LOCAL_MAX_ENTRIES", 0)
    ask(front)
    assert not front.local_cache.entries


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


def test_a_body_that_is_refreshed_under_the_same_watermark_is_seen_within_half_a_second(
    front: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a sweep or a reader of the chain does it. Breaks without the random word: another group's reader asks Redis,
    finds the watermark where it was, and the old body stays.
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
    kept = front.local_cache
    after(monkeypatch, application.LOCAL_TTL)
    ask(front)
    assert front.local_cache is kept
    monkeypatch.setattr(kept, "until", time.monotonic() + application.LOCAL_MAX_AGE)
    after(monkeypatch, application.LOCAL_MAX_AGE)
    front.local_cache.until = 0
    ask(front)
    assert front.local_cache is not kept


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1/0"])
def test_without_a_watermark_nothing_is_kept_for_more_than_half_a_second_and_redis_asked_as_often(
    front: Edge, settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Breaks if a local cache without a watermark were kept on when Redis is asked again: nobody says then what was
    refreshed.
    """
    make_group(9)
    cache.invalidate_all()
    settings.REDIS_URL = url or settings.REDIS_URL
    cache.client.cache_clear()
    try:
        asked = asked_of_redis(monkeypatch)
        for name in ("One", "Two"):
            Group.objects.filter(pk=7).update(name=name)
            front.local_cache.until = 0
            assert name.encode() in ask(front)[2]
            assert ask(front, path="/api/v1/groups/9/")[0] == "200 OK"
        # of the other group never; a Redis that refused is left alone for a moment
        assert [words[1] for words in asked] == [f"{cache.PREFIX}group:7"] * (1 if url else 2)
    finally:
        cache.client.cache_clear()
        cache.breaker.close()


def test_a_body_that_takes_anothers_place_counts_once(front: Edge) -> None:
    ask(front)
    size = front.local_cache.size
    front.local_cache.until = 0
    ask(front)
    assert (len(front.local_cache.entries), front.local_cache.size) == (1, size)
