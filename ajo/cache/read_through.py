"""Read through the cache: Redis, else the tables, else the chain, with a single flight across processes."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache
from typing import TypeGuard

from django.conf import settings

from ajo.cache.redis_client import PREFIX, with_redis
from ajo.cache.store import Answer, Found, absent_key, get, set_if_current
from ajo.metrics import CACHE_READS

ABSENT_TTL = 5  # seconds that "not on the chain" is believed: a ledger
FLIGHT_TTL = 4  # seconds after which another caller may read the chain: the one before may have died
CHAIN_WAIT = 5.0  # seconds that a caller waits for the chain, or for another caller's reading of it
# Seconds in which a caller has its answer: after another's flight that died there is still time for a reading.
DEADLINE = 6.0
DEGRADED_AFTER = 4.0  # seconds that a reading of the chain may take until the chain counts as degraded
DEGRADED_FOR = 10.0  # seconds that the chain counts as degraded after a reading that failed or took longer
SLOT_TTL = 8  # seconds after which the waiter slot of a process that died is its client's again
FLIGHT_POLL = 0.05  # seconds between two looks for another caller's reading
CHAIN_POLL = 0.5  # seconds between two readings of a node that has not come to the ledger yet
RETRY_AFTER = 2  # seconds that a client is told to wait

_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Absent(Exception):
    """The resource is not on the chain: 404."""


class Unavailable(Exception):
    """The answer cannot be given now: 503. `retry_after` is in seconds."""

    def __init__(self, detail: str, retry_after: int = RETRY_AFTER) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


def fetch(
    key: str,
    *,
    from_rows: Callable[[], Found | None],
    from_chain: Callable[[], int],
    exists: Callable[[], bool],
    min_ledger: int = 0,
    check_reachable: Callable[[int], None] | None = None,
    client: str = "",
) -> Answer:
    """Return the resource `key` from the nearest place that has it fresh enough.

    `from_rows` reads it from the tables, in one snapshot with their freshness. `from_chain` reads it from the chain
    into the tables and returns the ledger of that reading. `exists` tells from the tables whether the chain can have it
    at all. `check_reachable` raises Unavailable where the chain cannot reach `min_ledger` in time. `client` is the
    client's address, for `waiter_slot`. Raise Absent, Unavailable or Undecodable.
    """
    known = get(key)
    found = known.found
    if not _reflects(found, min_ledger):
        found = from_rows()
        if not _reflects(found, min_ledger):
            if found is None and (not exists() or (known.is_absent and not min_ledger)):
                raise Absent
            if min_ledger and check_reachable:
                check_reachable(min_ledger)
            found = _read_chain(key, from_rows, from_chain, min_ledger, client)
        set_if_current(key, found, known.version)
    CACHE_READS.labels(found.layer).inc()
    return found.answer(min_ledger)


def _reflects(found: Found | None, min_ledger: int) -> TypeGuard[Found]:
    return found is not None and found.document.synced_ledger >= min_ledger


def _read_chain(
    key: str, from_rows: Callable[[], Found | None], from_chain: Callable[[], int], min_ledger: int, client: str
) -> Found:
    """Let one caller read the chain while the others wait for what it finds; all give up after CHAIN_WAIT seconds.

    The caller that reads needs a waiter slot, and so does one that waits for a ledger, of which `client` has one at
    most. A caller that waits for another's reading needs a slot only while the chain is degraded.
    """
    began, read_at = time.monotonic(), 0
    with ExitStack() as stack:
        slot = _OwnSlot(stack)
        if min_ledger:
            slot.take(client)
        while True:
            with single_flight(key) as is_free:
                found = from_rows()  # another flight may have landed since the caller looked
                if found is None and not min_ledger and with_redis(lambda r: r.exists(absent_key(key))):
                    raise Absent
                is_wanted = not _reflects(found, min_ledger)
                is_leader = is_free and (not is_wanted or slot.try_take())
                if is_leader and is_wanted:
                    read_at = _read_or_degrade(from_chain)
            found = from_rows()
            if _reflects(found, min_ledger):
                return found._replace(layer="chain")
            if is_leader and not found and read_at >= min_ledger:
                with_redis(lambda r: r.set(absent_key(key), 1, ex=ABSENT_TTL))
                raise Absent
            waited = time.monotonic() - began
            if waited > CHAIN_WAIT:
                raise Unavailable("The chain has not been read in time.")
            if waited > DEGRADED_AFTER and not found:
                _mark_degraded()
            if is_degraded():
                slot.take()
            time.sleep(CHAIN_POLL if is_leader else FLIGHT_POLL)


_degraded: dict[str, float] = {}  # "until": when the chain counts as well again, by time.monotonic


def _mark_degraded() -> None:
    _degraded["until"] = time.monotonic() + DEGRADED_FOR


def is_degraded() -> bool:
    """Return whether a reading failed or took too long a moment ago, or one of this process does now."""
    now = time.monotonic()
    with _local_lock:
        oldest = min((since for name, since in _local.items() if name.startswith("flight:")), default=now)
    return now < _degraded.get("until", 0.0) or now - oldest > DEGRADED_AFTER


def _read_or_degrade(from_chain: Callable[[], int]) -> int:
    """Read the chain; where that raises Unavailable, the chain counts as degraded."""
    try:
        return from_chain()
    except Unavailable:
        _mark_degraded()
        raise


class _OwnSlot:
    """The waiter slot of one caller: taken once at most, and held until the stack ends."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._is_held = False

    def take(self, client: str = "") -> None:
        """Take a slot unless one is held. Raise Unavailable where there is none."""
        if not self._is_held:
            self._stack.enter_context(waiter_slot("chain", client))
            self._is_held = True

    def try_take(self) -> bool:
        """Take a slot unless one is held. Return False where there is none."""
        try:
            self.take()
        except Unavailable:
            return False
        return True


def reset_for_tests() -> None:
    """Forget that the chain was degraded, and have the slots counted anew from WEB_THREADS."""
    _degraded.clear()
    _slots.cache_clear()


@lru_cache(maxsize=1)
def _slots() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(max(1, waiter_slot_count()))


def waiter_slot_count() -> int:
    """Return how many waiter slots a process has: a quarter of the web threads, two at least, never all.

    Two, so that a client that holds the one slot that it may have leaves another. A single thread has one for a
    request that cannot be answered otherwise; it counts as 0 here.
    """
    return min(max(2, settings.WEB_THREADS // 4), settings.WEB_THREADS - 1)


@contextmanager
def waiter_slot(awaited: str, client: str = "", seconds: int = SLOT_TTL) -> Iterator[None]:
    """Hold one of the slots for requests that wait long for the chain or the sync.

    The other web threads go on serving what is known. A named client holds one slot at most in all processes together;
    without Redis, in each process; for `seconds` at most where the process dies. Raise Unavailable where there is none.
    """
    if not _slots().acquire(blocking=False):
        raise Unavailable(f"Too many requests wait for the {awaited}.")
    try:
        with _lock(f"waiting:{client}", seconds) if client else nullcontext(True) as is_only:
            if not is_only:
                raise Unavailable(f"Another request of yours waits for the {awaited}.")
            yield
    finally:
        _slots().release()


_local: dict[str, float] = {}  # the locks that this process holds, with when it took each, by time.monotonic
_local_lock = threading.Lock()


@contextmanager
def _lock(name: str, seconds: int) -> Iterator[bool]:
    """Try to take a lock, in this process and by Redis across processes; yield whether it was taken.

    In Redis it expires after `seconds`, so that a holder that died is followed by another. Without Redis each process
    has a lock of its own.
    """
    with _local_lock:
        is_free = name not in _local
        if is_free:
            _local[name] = time.monotonic()
    if not is_free:
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


def single_flight(key: str) -> AbstractContextManager[bool]:
    """Single flight: yield whether this caller is the one that reads `key` from the chain."""
    return _lock(f"flight:{key}", FLIGHT_TTL)
