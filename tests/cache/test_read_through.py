"""The cache's promises: never an older body under a newer label, and everything works without Redis."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from ajo import cache
from ajo.cache import read_through, redis_client
from tests.support.caching import Source, document, fresh, stored_watermark
from tests.support.waiting import wait_for


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    read_through.reset_for_tests()
    yield
    read_through.reset_for_tests()


def test_a_second_read_comes_from_redis() -> None:
    cache.start_epoch(fresh(10))
    source = Source(document(1))
    first = source.read()
    assert source.read() == first
    assert source.asked == ["rows"]


def test_without_a_watermark_nothing_in_redis_counts() -> None:
    source = Source(document(1))
    source.read()
    source.read()
    assert source.asked == ["rows", "rows"]


def test_what_cannot_exist_is_absent_without_asking_the_chain() -> None:
    source = Source(None)
    source.exists = False
    with pytest.raises(cache.Absent):
        source.read()
    assert "chain" not in source.asked


def test_absence_is_remembered_for_seconds() -> None:
    source = Source(None)
    for _ in range(3):
        with pytest.raises(cache.Absent):
            source.read()
    assert source.asked.count("chain") == 1


def test_min_ledger_asks_the_chain_and_labels_the_answer_with_its_reading() -> None:
    cache.start_epoch(fresh(10))
    source = Source(document(1, synced_ledger=9))
    source.chain = document(2, synced_ledger=14)
    assert source.read(min_ledger=14).ledger == 14
    assert source.asked.count("chain") == 1
    assert source.read().ledger == 10


def test_min_ledger_that_no_node_reaches_is_unavailable_in_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_through, "CHAIN_WAIT", 0.2)
    source = Source(document(1, synced_ledger=9))
    with pytest.raises(cache.Unavailable) as refused:
        source.read(min_ledger=14)
    assert refused.value.retry_after > 0


@pytest.fixture
def no_redis(settings: Settings) -> Iterator[None]:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    cache.client.cache_clear()
    yield
    cache.client.cache_clear()
    cache.breaker.close()


@pytest.mark.usefixtures("no_redis")
def test_without_redis_everything_is_answered_from_the_tables() -> None:
    source = Source(document(1))
    assert source.read() == source.read()
    source.rows, source.chain = None, document(2)
    assert b"2" in source.read().body
    assert cache.current_watermark() is None


@pytest.fixture
def frozen_redis(settings: Settings) -> Iterator[None]:
    """Connections are taken, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        cache.client.cache_clear()
        yield
        cache.client.cache_clear()
        cache.breaker.close()


@pytest.mark.usefixtures("frozen_redis")
def test_of_many_requests_one_at_a_time_waits_for_a_redis_that_hangs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without the breaker's lock: each time its pause is over, every thread pays the timeout."""
    monkeypatch.setattr(redis_client, "COOLDOWN", 0.0)
    assert cache.current_watermark() is None
    took: list[float] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        began = time.monotonic()
        cache.current_watermark()
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seconds > 0.9 * settings.REDIS_TIMEOUT for seconds in sorted(took)] == [False] * 7 + [True]
    assert max(took) < 1.8 * settings.REDIS_TIMEOUT


def test_many_first_readers_make_one_reading_of_the_chain(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEB_THREADS = 400
    read_through.reset_for_tests()
    source = Source(None)
    source.chain = document(1, synced_ledger=10)

    def slowly() -> int:
        source.asked.append("chain")
        wait_for(lambda: source.asked.count("rows") >= 100, what="everybody there")  # each looks before and as it waits
        source.rows = source.chain
        return 10

    monkeypatch.setattr(source, "from_chain", slowly)
    answers: list[cache.Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(source.read())) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    assert source.asked.count("chain") == 1


def test_not_all_threads_wait_for_the_chain(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEB_THREADS = 2
    read_through.reset_for_tests()
    source = Source(None)
    reading, release = threading.Event(), threading.Event()

    def forever() -> int:
        reading.set()
        release.wait(10)
        source.rows = document(1)
        return 10

    monkeypatch.setattr(source, "from_chain", forever)
    first = threading.Thread(target=source.read)
    first.start()
    assert reading.wait(10)
    with pytest.raises(cache.Unavailable, match="Too many"):
        source.read()
    release.set()
    first.join()


def test_a_reader_of_the_chain_that_died_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock in Redis expires; the process that held it is gone."""
    cache.with_redis(lambda r: r.set(f"{cache.PREFIX}flight:thing:1", "a dead process", px=300))
    source = Source(None)
    source.chain = document(1)
    assert b"1" in source.read().body
    assert source.asked.count("chain") == 1


@pytest.mark.parametrize("garbage", [b"x", b"a 1 2 3 4 5 6", b"\xff\xfe", b"a b c d e f"])
def test_a_watermark_that_cannot_be_parsed_is_none(garbage: bytes) -> None:
    cache.with_redis(lambda r: r.set(cache.VERSION_KEY, garbage))
    source = Source(document(1))
    assert source.read().body == document(1).body
    assert source.read().ledger == source.ledger


def test_what_a_client_has_seen_on_the_chain_is_not_absent_by_what_was_known_before() -> None:
    """Neither by the tables, nor by who looked a moment ago, nor by a node that has not come so far."""
    source = Source(None)
    source.exists = False
    with pytest.raises(cache.Absent):
        source.read()
    source.exists = True
    with pytest.raises(cache.Absent):
        source.read()  # remembered from here on
    source.chain = document(1, synced_ledger=12)
    assert source.read(min_ledger=12).body == document(1).body


def test_a_node_from_before_the_ledger_cannot_say_that_something_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_through, "CHAIN_WAIT", 0.2)
    source = Source(None)
    source.read_at = 11
    with pytest.raises(cache.Unavailable):
        source.read(min_ledger=12)
    source.read_at = 12
    with pytest.raises(cache.Absent):
        source.read(min_ledger=12)


def test_who_waits_for_a_ledger_takes_a_place_and_does_not_degrade_a_chain_that_is_well(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if all threads could wait for a ledger that is to come, and if that looked like a chain that hangs."""
    monkeypatch.setattr(read_through, "DEGRADED_AFTER", 0.1)
    monkeypatch.setattr(read_through, "CHAIN_WAIT", 0.5)
    settings.WEB_THREADS = 2
    read_through.reset_for_tests()
    source, reading = Source(document(1)), threading.Event()
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            source.read(min_ledger=99)
        except cache.Unavailable as failure:
            failures.append(failure)

    def not_yet() -> int:
        reading.set()
        return 10

    monkeypatch.setattr(source, "from_chain", not_yet)
    waits = threading.Thread(target=wait)
    waits.start()
    assert reading.wait(10)
    with pytest.raises(cache.Unavailable, match="Too many"):
        source.read(min_ledger=99)
    waits.join()
    assert [str(failure) for failure in failures] == ["The chain has not been read in time."]
    assert not read_through.is_degraded()


def test_a_reading_that_failed_leaves_threads_that_do_not_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEB_THREADS = 2
    read_through.reset_for_tests()
    source = Source(None)

    def fails() -> int:
        raise cache.Unavailable("no node answers")

    monkeypatch.setattr(source, "from_chain", fails)
    with pytest.raises(cache.Unavailable, match="no node"):
        source.read()
    with cache.waiter_slot("chain"), pytest.raises(cache.Unavailable, match="Too many"):
        source.read()  # at once


def test_a_pass_that_ends_after_everything_was_forgotten_brings_nothing_back() -> None:
    """As of a chain that was reset meanwhile. Breaks if the watermark were set where there is none, or another's."""
    cache.start_epoch(fresh(10))
    old = stored_watermark()
    cache.invalidate_all()
    cache.advance(old, fresh(11))
    assert cache.current_watermark() is None
    cache.start_epoch(fresh(1))
    cache.advance(old, fresh(11))
    assert stored_watermark().freshness.ledger == 1
