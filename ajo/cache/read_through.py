"""Reading through the cache: Redis, else the tables, else the chain, which one caller reads while the others wait."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from ajo.cache.redis_client import PREFIX, with_redis
from ajo.cache.store import Document, Freshness, absent_key, get, parse, set_if_current
from ajo.metrics import CACHE_READS

ABSENT_FOR = 5  # seconds that "not on the chain" is believed: a ledger
FLIGHT = 4  # seconds that one reader of the chain may take until another may try: it may have died
WAIT = 5.0  # seconds that a caller waits for the chain, or for another caller's reading of it
# Seconds in which a caller has its answer: after another's flight that died there is still time for a reading.
DEADLINE = 6.0
PATIENCE = 4.0  # seconds within which a reading of the chain ends, unless the chain is in trouble
DEGRADED_FOR = 10.0  # seconds after a reading that failed, or took longer, in which the chain is taken to be in trouble
LONGEST_PLACE = 8  # seconds after which the waiting place of a process that died is its client's again
POLL = 0.05  # seconds between two looks
RETRY_AFTER = 2  # seconds that a client is told to wait

_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Absent(Exception):
    """It is not on the chain."""


class Unavailable(Exception):
    """It cannot be said now. `retry_after` is in seconds."""

    def __init__(self, detail: str, retry_after: int = RETRY_AFTER) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with its strong ETag and how fresh it is."""

    body: bytes
    etag: str
    ledger: int
    stale: bool


def fetch(
    key: str,
    *,
    freshness: Callable[[], Freshness],
    from_rows: Callable[[], Document | None],
    from_chain: Callable[[], int],
    exists: Callable[[], bool],
    min_ledger: int = 0,
    refuse_far_ahead: Callable[[int], None] | None = None,
    client: str = "",
) -> Answer:
    """The resource `key`, from the nearest place that has it fresh enough.

    `from_rows` builds it from the tables, `freshness` says how fresh those are (asked first: an older label on newer
    rows is right, the reverse is a lie), `from_chain` reads it from the chain into the tables and gives the ledger of
    that reading, `exists` tells from the tables whether the chain can have it at all, `refuse_far_ahead` raises
    Unavailable where the chain cannot come to `min_ledger` in time. `client` is who asks, for `waiter_slot`. Raises
    Absent or Unavailable.
    """
    found = get(key)
    if hit := _from_redis(found, min_ledger):
        CACHE_READS.labels("redis").inc()
        return hit
    fresh = freshness()
    document = from_rows()
    if document is None or document.synced_ledger < min_ledger:
        if document is None and (not exists() or (found[3] and not min_ledger)):
            raise Absent
        if min_ledger and refuse_far_ahead:
            refuse_far_ahead(min_ledger)
        fresh, document = _read_chain(key, freshness, from_rows, from_chain, min_ledger, client)
        CACHE_READS.labels("chain").inc()
    else:
        CACHE_READS.labels("postgresql").inc()
    set_if_current(key, document, fresh, found[1])
    return _answer(document.body, document.etag, fresh, document.synced_ledger, min_ledger)


def _from_redis(found: Sequence[bytes | None], min_ledger: int) -> Answer | None:
    hit = parse(found[0], found[1])
    if not hit or hit[2] < min_ledger:
        return None
    body, tag, synced_ledger, fresh = hit
    return _answer(body, tag, fresh, synced_ledger, min_ledger)


def _answer(body: bytes, tag: str, fresh: Freshness, synced_ledger: int, min_ledger: int) -> Answer:
    """An answer that was asked for by ledger is labelled with its own reading, where that is newer than the tables."""
    return Answer(body, tag, max(fresh.ledger, synced_ledger) if min_ledger else fresh.ledger, fresh.stale)


def _read_chain(
    key: str,
    freshness: Callable[[], Freshness],
    from_rows: Callable[[], Document | None],
    from_chain: Callable[[], int],
    min_ledger: int,
    client: str,
) -> tuple[Freshness, Document]:
    """One caller reads the chain, the others wait for what it finds; all give up after `WAIT` seconds.

    Who reads needs a waiting place, and who waits for a ledger, for which `client` has one at most; who waits for
    another's reading needs one only while the chain is in trouble.
    """
    began, read_at = time.monotonic(), 0
    with ExitStack() as place:
        if has_place := bool(min_ledger):
            place.enter_context(waiter_slot("chain", client))
        while True:
            with _flight(key) as mine:
                # another flight may have landed since the caller looked
                document = from_rows()
                if document is None and not min_ledger and with_redis(lambda r: r.exists(absent_key(key))):
                    raise Absent
                is_wanted = document is None or document.synced_ledger < min_ledger
                if mine and is_wanted:
                    mine = has_place = has_place or _take(place)
                    if mine:
                        try:
                            read_at = from_chain()
                        except Unavailable:
                            _mark_degraded()
                            raise
            fresh = freshness()
            document = from_rows()
            if document and document.synced_ledger >= min_ledger:
                return fresh, document
            if mine and not document and read_at >= min_ledger:
                with_redis(lambda r: r.set(absent_key(key), 1, ex=ABSENT_FOR))
                raise Absent
            waited = time.monotonic() - began
            if waited > WAIT:
                raise Unavailable("The chain has not been read in time.")
            if waited > PATIENCE and not document:
                _mark_degraded()
            if not has_place and _is_degraded():
                place.enter_context(waiter_slot("chain"))
                has_place = True
            time.sleep(10 * POLL if mine else POLL)  # the node has not come to that ledger yet, or another reads


_degraded: dict[str, float] = {}  # until when the chain is taken to be in trouble


def _mark_degraded() -> None:
    _degraded["until"] = time.monotonic() + DEGRADED_FOR


def _is_degraded() -> bool:
    """Whether a reading failed or took too long a moment ago, or one of this process does now."""
    now = time.monotonic()
    with _local_lock:
        longest = min((since for name, since in _local.items() if name.startswith("flight:")), default=now)
    return now < _degraded.get("until", 0.0) or now - longest > PATIENCE


def _take(place: ExitStack) -> bool:
    """Take a waiting place until the end of the stack, if there is one."""
    try:
        place.enter_context(waiter_slot("chain"))
    except Unavailable:
        return False
    return True


@lru_cache(maxsize=1)
def _slots() -> threading.BoundedSemaphore:
    """A quarter of the web threads, two at least: a client that holds the one that it may have leaves another."""
    return threading.BoundedSemaphore(max(1, min(max(2, settings.WEB_THREADS // 4), settings.WEB_THREADS - 1)))


@contextmanager
def waiter_slot(awaited: str, client: str = "") -> Iterator[None]:
    """For whoever may wait for long, for the chain or the sync: the other web threads go on serving what is known.

    A client that is named holds one place at most, in all processes together. Raises Unavailable.
    """
    if not _slots().acquire(blocking=False):
        raise Unavailable(f"Too many requests wait for the {awaited}.")
    try:
        with _lock(f"waiting:{client}", LONGEST_PLACE) if client else nullcontext(True) as is_only:
            if not is_only:
                raise Unavailable(f"Another request of yours waits for the {awaited}.")
            yield
    finally:
        _slots().release()


_local: dict[str, float] = {}  # the locks that this process holds, with when it took each
_local_lock = threading.Lock()


@contextmanager
def _lock(name: str, seconds: int) -> Iterator[bool]:
    """Whether this caller has the lock: in this process, and across processes by Redis.

    There it expires after `seconds`, so a holder that died is followed by another. Without Redis each process has one.
    """
    with _local_lock:
        mine = name not in _local
        if mine:
            _local[name] = time.monotonic()
    if not mine:
        yield False
        return
    key, token = PREFIX + name, secrets.token_hex(8)
    try:
        taken = with_redis(lambda r: (r.set(key, token, nx=True, ex=seconds),))
        yield taken is None or bool(taken[0])
    finally:
        with_redis(lambda r: r.eval(_UNLOCK, 1, key, token))
        with _local_lock:
            _local.pop(name, None)


def _flight(key: str) -> AbstractContextManager[bool]:
    """Whether this caller is the one that reads `key` from the chain."""
    return _lock(f"flight:{key}", FLIGHT)
