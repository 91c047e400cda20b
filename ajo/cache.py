"""The cache-aside helper: Redis → PostgreSQL → chain. It knows no tables; callers hand it their loaders.

Redis holds finished bodies, and one mark: to which ledger they are fresh, and for which era of the tables. The mark is
written after the bodies that a pass changed and read together with a body, so no body is older than its label. Bodies
name their mark's epoch: without a mark, or after another one began, they do not count, however many are left.
Redis may vanish at any moment: everything works without it, slower.
"""

from __future__ import annotations

import hashlib
import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from ajo.metrics import CACHE_READS

log = logging.getLogger(__name__)

PREFIX: Final = "ajo:2:"  # the number is the form's: a value of another release is never read
MARK: Final = PREFIX + "mark"
ABSENT_FOR = 5  # seconds that "not on the chain" is believed: a ledger
HEAD_LENGTH = 63  # bytes of a value in which its epoch and revision stand
FLIGHT = 20  # seconds that one reader of the chain may take until another may try
WAIT = 5.0  # seconds that a caller waits for the chain, or for another caller's reading of it
POLL = 0.05  # seconds between two looks
DOWN_FOR = 1.0  # seconds that a Redis that failed is left alone, so that its timeouts are not paid by every request
RETRY_AFTER = 2  # seconds that a client is told to wait

# Stored only under the mark that the reader saw: its epoch, and a ledger that is not older than the mark's.
# KEYS: body, mark. ARGV: epoch, snapshot ledger, revision, value, expiry in ms.
_SET_IF_NEWER = b"""
local mark = redis.call('GET', KEYS[2])
if not mark then return 0 end
local epoch, ledger = string.match(mark, '^(%w+) (%d+) ')
if epoch ~= ARGV[1] or tonumber(ledger) > tonumber(ARGV[2]) then return 0 end
local old = redis.call('GETRANGE', KEYS[1], 0, 63)
local old_epoch, old_revision = string.match(old, '^(%w+) (%d+) ')
if old_epoch == ARGV[1] and tonumber(old_revision) > tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
return 1
"""
# The mark never goes back within its epoch. KEYS: mark. ARGV: epoch, ledger, value.
_ADVANCE = """
local epoch, ledger = string.match(redis.call('GET', KEYS[1]) or '', '^(%w+) (%d+) ')
if epoch == ARGV[1] and tonumber(ledger) > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
return 1
"""
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
class Document:
    """A finished body. `revision` orders the versions of one resource, `synced_ledger` is when its state was read."""

    body: bytes
    revision: int
    synced_ledger: int


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the tables say of themselves: everything announced up to `ledger` is in them.

    `heard_at` and `as_of` are in Unix seconds, the second by the database's clock when it was asked.
    """

    era: str
    ledger: int
    heard_at: float
    as_of: float = 0.0

    @property
    def stale(self) -> bool:
        # in either direction: a time far ahead is from before the clock stepped back
        return abs(time.time() - self.heard_at) > settings.STALE_AFTER


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with its strong ETag and how fresh it is."""

    body: bytes
    etag: str
    ledger: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """To which ledger the bodies in Redis are fresh. `begun` is the `as_of` with which its epoch began."""

    epoch: str
    freshness: Freshness
    begun: float

    def dump(self) -> bytes:
        f = self.freshness
        return f"{self.epoch} {f.ledger} {f.heard_at:.3f} {f.era} {f.as_of:.6f} {self.begun:.6f}".encode()

    @classmethod
    def load(cls, raw: bytes | None) -> Mark | None:
        """None for what is no mark of this release: without one, nothing in Redis counts."""
        try:
            epoch, ledger, heard_at, era, as_of, begun = (raw or b"").decode().split(" ")
            return cls(epoch, Freshness(era, int(ledger), float(heard_at), float(as_of)), float(begun))
        except ValueError:
            return None


def etag(body: bytes) -> str:
    """A strong ETag: of the body alone, so that it changes only when the data does."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


# --- Redis ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def client() -> redis.Redis:
    """The one connection pool of this process."""
    timeout = settings.REDIS_TIMEOUT
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # a connection that died with a restarted server is made anew, once; who timed out does not wait twice
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


class _Breaker:
    """Leaves a Redis that failed alone for a moment; then one request finds out whether it is back, and no other waits.

    A Redis that hangs would else take its timeout from every thread again and again.
    """

    def __init__(self) -> None:
        self._is_down = False
        self._until = 0.0
        self._finding_out = threading.Lock()

    def close(self) -> None:
        """Ask again at once."""
        self._is_down = False

    def run(self, action: Callable[[redis.Redis], Any]) -> Any:
        """The action's result, or None if Redis cannot be asked now."""
        if not self._is_down:
            return self._try(action)
        if time.monotonic() < self._until or not self._finding_out.acquire(blocking=False):
            return None
        try:
            return self._try(action)
        finally:
            self._finding_out.release()

    def _try(self, action: Callable[[redis.Redis], Any]) -> Any:
        try:
            found = action(client())
        except redis.RedisError as failure:
            self._until = time.monotonic() + DOWN_FOR
            self._is_down = True
            log.warning("Redis cannot be asked (%s): going on without it", type(failure).__name__)
            return None
        self._is_down = False
        return found


breaker = _Breaker()
with_redis = breaker.run


def mark() -> Mark | None:
    """The mark as it stands; None if there is none, or no Redis."""
    return Mark.load(with_redis(lambda r: r.get(MARK)))


class _Own(threading.local):
    """A connection of each thread's own."""

    connection: Any = None
    pool: Any = None


_own = _Own()


def look(key: str) -> Sequence[bytes | None]:
    """The value of a key, the mark, and whether the key is known to be absent: three Nones without Redis.

    One round trip without the client's layers, which cost three times as much as the connection's own work.
    """
    names = (PREFIX + key, MARK, f"{PREFIX}absent:{key}")
    command = b"*4\r\n$4\r\nMGET\r\n" + "".join(f"${len(name)}\r\n{name}\r\n" for name in names).encode()
    found: Sequence[bytes | None] | None = with_redis(lambda r: _ask(r.connection_pool, command))
    return found or (None, None, None)


def _ask(pool: Any, command: bytes) -> Any:
    if _own.pool is not pool:
        _own.connection = pool.get_connection()
        _own.pool = pool
    for is_last in (False, True):
        try:
            _own.connection.send_packed_command([command])
            return _own.connection.read_response()
        except redis.ConnectionError:
            _own.connection.disconnect()
            if is_last:  # the first may only have met a connection from before a restart
                raise
        except BaseException:
            _own.connection.disconnect()  # an answer that was not read would be the next request's
            raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def begin(freshness: Freshness) -> None:
    """Start a new epoch: whatever bodies Redis holds do not count any more."""
    new = Mark(secrets.token_hex(8), freshness, freshness.as_of)
    with_redis(lambda r: r.set(MARK, new.dump()))


def refresh(old: Mark, documents: Mapping[str, Document]) -> bool:
    """Put the bodies that a pass changed, in one pipeline. False if Redis did not take them: then move no mark."""

    def put(r: redis.Redis) -> bool:
        pipe = r.pipeline(transaction=False)
        for key, document in documents.items():
            _set_if_newer(pipe, key, document, old.epoch, old.freshness.ledger)
        pipe.execute()
        return True

    return not documents or bool(with_redis(put))


def outdated(now: Mark, revisions: Mapping[str, int]) -> set[str]:
    """Those of these keys under which an older revision than theirs is being served."""

    def look(r: redis.Redis) -> list[bytes]:
        pipe = r.pipeline(transaction=False)
        for key in revisions:
            pipe.getrange(PREFIX + key, 0, HEAD_LENGTH)
        return list(pipe.execute())

    found: set[str] = set()
    for key, head in zip(revisions, with_redis(look) or (), strict=False):
        epoch, _, rest = head.decode(errors="replace").partition(" ")
        if epoch == now.epoch and int(rest.split(" ", 1)[0]) < revisions[key]:
            found.add(key)
    return found


def advance(old: Mark, freshness: Freshness) -> None:
    """Move the mark to what `refresh` made true."""
    new = Mark(old.epoch, freshness, old.begun)
    with_redis(lambda r: r.eval(_ADVANCE, 1, MARK, new.epoch, freshness.ledger, new.dump()))


def forget_all() -> None:
    """Drop the mark, and with it every body."""
    with_redis(lambda r: r.delete(MARK))


# Sent by its hash, for a pass puts thousands of bodies; called with a client each time.
_set_if_newer_script = Script(None, _SET_IF_NEWER)  # type: ignore[arg-type]


def _set_if_newer(r: Any, key: str, document: Document, epoch: str, ledger: int) -> None:
    head = f"{epoch} {document.revision} {document.synced_ledger} {etag(document.body)}\n".encode()
    expiry = int(settings.CACHE_TTL * 1000 * random.uniform(0.9, 1.1))  # noqa: S311  # jitter: they need not expire at once
    _set_if_newer_script([PREFIX + key, MARK], [epoch, ledger, document.revision, head + document.body, expiry], r)


# --- Reading through --------------------------------------------------------------------------------------------------


def read_through(
    key: str,
    *,
    freshness: Callable[[], Freshness],
    from_rows: Callable[[], Document | None],
    from_chain: Callable[[], None],
    exists: Callable[[], bool],
    min_ledger: int = 0,
) -> Answer:
    """The resource `key`, from the nearest place that has it fresh enough.

    `from_rows` builds it from the tables, `freshness` says how fresh those are (asked first: an older label on newer
    rows is right, the reverse is a lie), `from_chain` reads it from the chain into the tables, `exists` tells from the
    tables whether the chain can have it at all. Raises Absent or Unavailable.
    """
    found = look(key)
    if hit := _from_redis(found, min_ledger):
        CACHE_READS.labels("redis").inc()
        return hit
    fresh = freshness()
    document = from_rows()
    if document is None or document.synced_ledger < min_ledger:
        if document is None and (not exists() or found[2]):
            raise Absent
        fresh, document = _read_chain(key, freshness, from_rows, from_chain, min_ledger)
        CACHE_READS.labels("chain").inc()
    else:
        CACHE_READS.labels("postgresql").inc()
    keep(key, document, fresh, found[1])
    return _answer(document.body, etag(document.body), fresh, document.synced_ledger, min_ledger)


def _is_known_absent(key: str) -> bool:
    """Whether the chain said so in the last seconds."""
    return bool(with_redis(lambda r: r.exists(f"{PREFIX}absent:{key}")))


def keep(key: str, document: Document, fresh: Freshness, mark: bytes | None) -> None:
    """Put what the tables said into Redis, under the mark that the reader saw before it asked them."""
    seen = _load_mark(mark)
    if seen and fresh.era == seen.freshness.era:
        with_redis(lambda r: _set_if_newer(r, key, document, seen.epoch, fresh.ledger))


def parse(value: bytes | None, mark: bytes | None) -> tuple[bytes, str, int, Freshness] | None:
    """Body, ETag, synced ledger and freshness of what Redis holds; None where it does not count."""
    if not value or not (now := _load_mark(mark)):
        return None
    head, _, body = value.partition(b"\n")
    epoch, _, synced_ledger, tag = head.decode().split(" ")
    return (body, tag, int(synced_ledger), now.freshness) if epoch == now.epoch else None


_load_mark = lru_cache(maxsize=4)(Mark.load)


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
    from_chain: Callable[[], None],
    min_ledger: int,
) -> tuple[Freshness, Document]:
    """One caller reads the chain, the others wait for what it finds; all give up after `WAIT` seconds."""
    deadline = time.monotonic() + WAIT
    with _waiting_place():
        while True:
            with _flight(key) as mine:
                # another flight may have landed since the caller looked
                document = from_rows()
                if document is None and _is_known_absent(key):
                    raise Absent
                if mine and (document is None or document.synced_ledger < min_ledger):
                    from_chain()
                elif not mine:
                    time.sleep(POLL)
            fresh = freshness()
            document = from_rows()
            if document and document.synced_ledger >= min_ledger:
                return fresh, document
            if mine and not document:
                with_redis(lambda r: r.set(f"{PREFIX}absent:{key}", 1, ex=ABSENT_FOR))
                raise Absent
            if time.monotonic() > deadline:
                raise Unavailable("The chain has not been read in time.")
            if mine:
                time.sleep(10 * POLL)  # the node has not come to that ledger yet


@lru_cache(maxsize=1)
def _places() -> threading.BoundedSemaphore:
    """At most a quarter of the web threads wait for the chain; the others go on serving what is known."""
    return threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 4))


@contextmanager
def _waiting_place() -> Iterator[None]:
    if not _places().acquire(blocking=False):
        raise Unavailable("Too many requests wait for the chain.")
    try:
        yield
    finally:
        _places().release()


_local_flights: set[str] = set()
_local_lock = threading.Lock()


@contextmanager
def _flight(key: str) -> Iterator[bool]:
    """Whether this caller is the one that reads `key` from the chain: in this process, and across processes by Redis.

    The lock in Redis expires, so a reader that died is followed by another. Without Redis each process has one reader.
    """
    with _local_lock:
        mine = key not in _local_flights
        if mine:
            _local_flights.add(key)
    if not mine:
        yield False
        return
    token = secrets.token_hex(8)
    try:
        taken = with_redis(lambda r: (r.set(f"{PREFIX}flight:{key}", token, nx=True, ex=FLIGHT),))
        yield taken is None or bool(taken[0])
    finally:
        with_redis(lambda r: r.eval(_UNLOCK, 1, f"{PREFIX}flight:{key}", token))
        with _local_lock:
            _local_flights.discard(key)
