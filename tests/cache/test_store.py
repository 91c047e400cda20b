"""The store in Redis: bodies and watermark, never an older body under a newer label."""

import time

import pytest
from pytest_django import Settings

from ajo import cache
from tests.support.caching import Source, document, fresh, stored_watermark


def test_a_new_epoch_makes_every_body_worthless_without_deleting_it() -> None:
    cache.start_epoch(fresh(10))
    source = Source(document(1))
    source.read()
    cache.invalidate_all()
    cache.start_epoch(fresh(10))
    source.rows = document(2)
    assert b"2" in source.read().body


def test_a_slow_reader_puts_no_older_version_over_a_newer_one() -> None:
    cache.start_epoch(fresh(10))
    watermark = stored_watermark()
    assert cache.refresh(watermark, {"thing:1": document(3)}, watermark.freshness.ledger)
    assert cache.refresh(watermark, {"thing:1": document(2)}, watermark.freshness.ledger)
    assert b"3" in Source(document(3)).read().body


def test_a_slow_reader_whose_key_has_expired_meanwhile_puts_nothing_either() -> None:
    """Its rows are from before the watermark: a comparison with the stored body alone would let it through."""
    cache.start_epoch(fresh(10))
    slow = stored_watermark()
    cache.advance(slow, fresh(11))
    cache.refresh(slow, {"thing:1": document(1)}, slow.freshness.ledger)
    newer = Source(document(2), ledger=11)
    assert b"2" in newer.read().body
    assert newer.asked == ["rows"]


def test_the_label_is_the_watermarks_so_a_body_is_never_older_than_it() -> None:
    cache.start_epoch(fresh(10))
    source = Source(document(1), ledger=10)
    source.read()
    source.ledger = 11  # the tables have moved, the pass died before its refresh
    source.rows = document(2)
    answer = source.read()
    assert (answer.ledger, answer.body) == (10, document(1).body)


def test_the_watermark_never_goes_back() -> None:
    cache.start_epoch(fresh(10))
    watermark = stored_watermark()
    cache.advance(watermark, fresh(12))
    cache.advance(watermark, fresh(11))
    assert stored_watermark().freshness.ledger == 12


def test_only_bodies_that_stand_in_an_older_revision_are_stale() -> None:
    cache.start_epoch(fresh(10))
    watermark = stored_watermark()
    cache.refresh(watermark, {"thing:1": document(3), "thing:2": document(5)}, watermark.freshness.ledger)
    assert cache.stale_keys(watermark, {"thing:1": 4, "thing:2": 5, "thing:3": 1}) == {"thing:1"}
    cache.start_epoch(fresh(10))
    assert cache.stale_keys(stored_watermark(), {"thing:1": 4}) == set()


def test_the_watermarks_of_other_releases_are_forgotten_too(settings: Settings) -> None:
    cache.with_redis(lambda r: r.set(f"{settings.REDIS_NAMESPACE}another:mark", "x"))
    cache.invalidate_all()
    assert cache.client().keys("ajo:*:mark") == []


def test_of_two_passes_at_once_the_later_ones_body_is_taken() -> None:
    """Breaks if a body were stored by the ledger of the watermark that its pass saw: the other pass has moved it
    meanwhile, and the old body would stay under the next watermark.
    """
    cache.start_epoch(fresh(10))
    slow = later = stored_watermark()
    cache.refresh(slow, {"thing:1": document(1)}, 11)
    cache.advance(slow, fresh(11))
    cache.refresh(later, {"thing:1": document(2)}, 12)
    cache.advance(later, fresh(12))
    answer = Source(document(2), ledger=12).read()
    assert (answer.body, answer.ledger) == (document(2).body, 12)


def test_a_redis_that_cannot_be_asked_which_bodies_are_old_is_no_redis_without_any(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.start_epoch(fresh(10))
    watermark = stored_watermark()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    cache.client.cache_clear()
    try:
        assert cache.stale_keys(watermark, {"thing:1": 4}) is None
        assert cache.stale_keys(watermark, {}) == set()
    finally:
        cache.client.cache_clear()
        cache.breaker.close()


def test_silence_makes_answers_stale(settings: Settings) -> None:
    cache.start_epoch(fresh(10, chain_advanced_at=time.time() - settings.STALE_AFTER - 1))
    source = Source(document(1))
    source.read()
    assert source.read().stale
    cache.advance(stored_watermark(), fresh(11))
    assert not source.read().stale


@pytest.mark.parametrize(("step", "stale"), [(0.0, False), (-3600.0, True), (3600.0, True)])
def test_what_was_heard_far_from_now_is_stale_on_either_side(step: float, stale: bool) -> None:
    """A clock that stepped back leaves times an hour ahead: they would count as fresh for an hour."""
    assert fresh(1, chain_advanced_at=time.time() + step).stale is stale
