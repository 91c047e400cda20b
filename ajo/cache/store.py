"""Finished bodies in Redis, and the mark that says of which it is true that they are fresh.

The mark says to which ledger bodies are fresh, and for which era of the tables. It is written after the bodies that a
pass changed and read together with a body, so no body is older than its label. Bodies of single resources name their
mark's epoch: without a mark, or after another one began, they do not count, however many are left. Pages of lists name
the whole mark under which they were rendered: nobody says which of them a pass has changed, so the next one drops all.
Each body that is refreshed sets another sign: while mark and sign stand still, so does what was read beside them.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

import redis
from django.conf import settings
from redis.commands.core import Script

from ajo.cache.redis_client import PREFIX, exchange, with_redis

T = TypeVar("T")

WATERMARK: Final = PREFIX + "mark"
REFRESHED: Final = PREFIX + "refreshed"
HEAD_LENGTH = 63  # bytes of a value in which its epoch and revision stand
PAGE_FOR = 10  # seconds that a page is kept where no pass drops it
PAGE_BYTES = 64 * 2**10  # with PAGE_FOR and what rendering takes, a bound for what Redis holds of pages

# Stored only under the mark that the reader saw: its epoch, and a ledger that is not older than the mark's.
# KEYS: body, mark, and the sign where it is a refresh: one step with the body, so that none is without the other.
# ARGV: epoch, snapshot ledger, revision, value, expiry in ms, another sign.
_SET_IF_NEWER = b"""
local mark = redis.call('GET', KEYS[2])
if not mark then return 0 end
local epoch, ledger = string.match(mark, '^(%w+) (%d+) ')
if epoch ~= ARGV[1] or tonumber(ledger) > tonumber(ARGV[2]) then return 0 end
local old = redis.call('GETRANGE', KEYS[1], 0, 63)
local old_epoch, old_revision = string.match(old, '^(%w+) (%d+) ')
if old_epoch == ARGV[1] and tonumber(old_revision) > tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[6]) end
return 1
"""
# Sent by its hash, for a pass puts thousands of bodies; called with a client each time.
_set_if_newer = Script(None, _SET_IF_NEWER)  # type: ignore[arg-type]
# The mark never goes back, nor comes back after it was taken away or another's took its place.
# KEYS: mark. ARGV: epoch, ledger, value.
_ADVANCE = """
local epoch, ledger = string.match(redis.call('GET', KEYS[1]) or '', '^(%w+) (%d+) ')
if epoch ~= ARGV[1] or tonumber(ledger) > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class Document:
    """A finished body. `revision` orders the versions of one resource, `synced_ledger` is when its state was read."""

    body: bytes
    revision: int
    synced_ledger: int
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", etag(self.body))


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
class Watermark:
    """To which ledger the bodies in Redis are fresh. `begun` is the `as_of` with which its epoch began."""

    epoch: str
    freshness: Freshness
    begun: float

    def dump(self) -> bytes:
        f = self.freshness
        return f"{self.epoch} {f.ledger} {f.heard_at:.3f} {f.era} {f.as_of:.6f} {self.begun:.6f}".encode()

    @classmethod
    def load(cls, raw: bytes | None) -> Watermark | None:
        """None for what is no mark of this release: without one, nothing in Redis counts."""
        try:
            epoch, ledger, heard_at, era, as_of, begun = (raw or b"").decode().split(" ")
            return cls(epoch, Freshness(era, int(ledger), float(heard_at), float(as_of)), float(begun))
        except ValueError:
            return None


def etag(body: bytes) -> str:
    """A strong ETag: of the body alone, so that it changes only when the data does."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def watermark() -> Watermark | None:
    """The mark as it stands; None if there is none, or no Redis."""
    return Watermark.load(with_redis(lambda r: r.get(WATERMARK)))


_load_watermark = lru_cache(maxsize=4)(Watermark.load)


def absent_key(key: str) -> str:
    return f"{PREFIX}absent:{key}"


def get(key: str) -> Sequence[bytes | None]:
    """The value of a key, mark and count, and whether the key is known to be absent: four Nones without Redis."""
    found = with_redis(lambda r: exchange(r, "MGET", PREFIX + key, WATERMARK, REFRESHED, absent_key(key)))
    return found or (None, None, None, None)


def parse(value: bytes | None, watermark: bytes | None) -> tuple[bytes, str, int, Freshness] | None:
    """Body, ETag, synced ledger and freshness of what Redis holds; None where it does not count."""
    if not value or not (now := _load_watermark(watermark)):
        return None
    head, _, body = value.partition(b"\n")
    epoch, _, synced_ledger, tag = head.decode().split(" ")
    return (body, tag, int(synced_ledger), now.freshness) if epoch == now.epoch else None


def set_if_current(key: str, document: Document, fresh: Freshness, watermark: bytes | None) -> None:
    """Put what the tables said into Redis, under the mark that the reader saw before it asked them."""
    seen = _load_watermark(watermark)
    if not seen or fresh.era != seen.freshness.era:
        return
    values = _values(document, seen.epoch, fresh.ledger)

    def put(r: redis.Redis) -> None:
        try:
            exchange(r, "EVALSHA", _set_if_newer.sha, 2, PREFIX + key, WATERMARK, *values)
        except redis.exceptions.NoScriptError:
            exchange(r, "EVAL", _SET_IF_NEWER, 2, PREFIX + key, WATERMARK, *values)

    with_redis(put)


def get_page(name: str) -> Sequence[bytes | None]:
    """The value of a page, mark and count: three Nones without Redis."""
    return with_redis(lambda r: exchange(r, "MGET", f"{PREFIX}page:{name}", WATERMARK, REFRESHED)) or (None, None, None)


def parse_page(value: bytes | None, watermark: bytes | None) -> tuple[bytes, str, Freshness] | None:
    """Body, ETag and freshness of a page that was rendered under this very mark."""
    if not value or not watermark or not value.startswith(watermark + b"\n") or not (now := _load_watermark(watermark)):
        return None
    tag, _, body = value[len(watermark) + 1 :].partition(b"\n")
    return body, tag.decode(), now.freshness


def set_page_if_current(name: str, body: bytes, tag: str, ledger: int, watermark: bytes) -> None:
    """Put a page under the mark that was read before its rows. Under a mark that is over by now it is never served.

    `ledger` is what the tables said of themselves: tables that were emptied or restored meanwhile are older.
    """
    now = _load_watermark(watermark)
    if now and ledger >= now.freshness.ledger and len(body) <= PAGE_BYTES:
        value = b"%b\n%b\n%b" % (watermark, tag.encode(), body)
        with_redis(lambda r: exchange(r, "SET", f"{PREFIX}page:{name}", value, "PX", _expiry(PAGE_FOR)))


def start_epoch(freshness: Freshness) -> None:
    """Start a new epoch: whatever bodies Redis holds do not count any more."""
    new = Watermark(secrets.token_hex(8), freshness, freshness.as_of)
    with_redis(lambda r: r.set(WATERMARK, new.dump()))


def refresh(old: Watermark, documents: Mapping[str, Document], ledger: int) -> bool:
    """Put the bodies that a pass changed, in one pipeline. False if Redis did not take them: then move no mark.

    `ledger` is what the tables said of themselves before the bodies were built.
    """

    def put(r: redis.Redis) -> bool:
        pipe = r.pipeline(transaction=False)
        for key, document in documents.items():
            _set_if_newer([PREFIX + key, WATERMARK, REFRESHED], _values(document, old.epoch, ledger), pipe)
        pipe.execute()
        return True

    return not documents or bool(with_redis(_or_invalidate(put)))


def stale_keys(now: Watermark, revisions: Mapping[str, int]) -> set[str] | None:
    """Those of these keys under which an older revision than theirs is being served; None if Redis cannot be asked."""

    def get(r: redis.Redis) -> list[bytes]:
        pipe = r.pipeline(transaction=False)
        for key in revisions:
            pipe.getrange(PREFIX + key, 0, HEAD_LENGTH)
        return list(pipe.execute())

    found: set[str] = set()
    heads = with_redis(get) if revisions else []
    if heads is None:
        return None
    for key, head in zip(revisions, heads, strict=True):
        epoch, _, rest = head.decode(errors="replace").partition(" ")
        if epoch == now.epoch and int(rest.split(" ", 1)[0]) < revisions[key]:
            found.add(key)
    return found


def advance(old: Watermark, freshness: Freshness) -> None:
    """Move the mark to what `refresh` made true."""
    new = Watermark(old.epoch, freshness, old.begun)
    with_redis(_or_invalidate(lambda r: r.eval(_ADVANCE, 1, WATERMARK, new.epoch, freshness.ledger, new.dump())))


def _or_invalidate(action: Callable[[redis.Redis], T]) -> Callable[[redis.Redis], T]:
    """Where Redis refuses the action, as one that is full does, the mark goes: what cannot be renewed is no cache."""

    def act(r: redis.Redis) -> T:
        try:
            return action(r)
        except redis.ResponseError:
            r.delete(WATERMARK)
            raise

    return act


def invalidate_all() -> bool:
    """Drop the marks of all releases of this service, and with them every body. False if Redis cannot be asked."""
    return with_redis(lambda r: r.delete(WATERMARK, *r.scan_iter(f"{settings.REDIS_NAMESPACE}*:mark"))) is not None


def _values(document: Document, epoch: str, ledger: int) -> tuple[str | bytes | int, ...]:
    """What the script stores, as it wants it."""
    head = f"{epoch} {document.revision} {document.synced_ledger} {document.etag}\n".encode()
    return epoch, ledger, document.revision, head + document.body, _expiry(settings.CACHE_TTL), secrets.token_hex(8)


def _expiry(seconds: float) -> int:
    """In milliseconds, with jitter: what was put together need not expire at once."""
    return int(seconds * 1000 * random.uniform(0.9, 1.1))  # noqa: S311  # nothing to guess
