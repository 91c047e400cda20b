"""Finished bodies in Redis: single resources under a revision, pages of lists under a whole watermark.

A pass writes the bodies that it changed, then advances the watermark; a reader gets both in one MGET. So no body is
older than its label. A resource's body names the epoch under which it was written and counts in no other. A page names
the whole watermark under which it was rendered: nothing says which pages a pass has changed, so the next one drops all.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import redis
from django.conf import settings
from redis.commands.core import Script

from ajo.cache.redis_client import PREFIX, exchange, with_redis
from ajo.cache.watermark import VERSION_KEY, Freshness, Watermark, invalidate_on_refusal, load_watermark, random_word

HEAD_LENGTH = 63  # bytes of a value in which its epoch and revision stand
PAGE_TTL = 10  # seconds that a page is kept where no pass drops it
PAGE_MAX_BYTES = 64 * 2**10  # with PAGE_TTL and the time of a rendering, a bound for what Redis holds of pages

# Store a body only under the watermark that its writer saw: in its epoch, from a ledger that is not older.
# A refresh changes the version in the same step, so that neither is without the other.
# KEYS: body, version. ARGV: epoch, snapshot ledger, revision, value, expiry in ms, the version's new last word if it is
# a refresh.
_SET_IF_NEWER = b"""
local version = redis.call('GET', KEYS[2])
if not version then return 0 end
local epoch, ledger = string.match(version, '^(%w+) (%d+) ')
if epoch ~= ARGV[1] or tonumber(ledger) > tonumber(ARGV[2]) then return 0 end
local old = redis.call('GETRANGE', KEYS[1], 0, 63)
local old_epoch, old_revision = string.match(old, '^(%w+) (%d+) ')
if old_epoch == ARGV[1] and tonumber(old_revision) > tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
if ARGV[6] then redis.call('SET', KEYS[2], string.match(version, '^.* ') .. ARGV[6]) end
return 1
"""
# Sent by its hash, as a pass writes thousands of bodies; called with a client each time.
_set_if_newer = Script(None, _SET_IF_NEWER)  # type: ignore[arg-type]

Layer = Literal["process", "redis", "postgresql", "chain"]  # where a body was found: the label of /metrics


class Undecodable(Exception):
    """The resource is on the chain, and this version cannot decode it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A finished body with its strong ETag.

    `revision` orders the versions of one resource, `synced_ledger` is when its state was read; a page has neither (0).
    Without a body it is a tombstone: the resource is on the chain and cannot be decoded by this version. It takes the
    place of the body before, in Redis too, where it is stored as an empty one.
    """

    body: bytes | None
    revision: int
    synced_ledger: int
    etag: str = ""

    def __post_init__(self) -> None:
        if not self.etag:
            object.__setattr__(self, "etag", etag(self.body or b""))


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with its strong ETag, the ledger up to which it is fresh, and whether the chain has been silent."""

    body: bytes
    etag: str
    ledger: int
    stale: bool


class Found(NamedTuple):
    """A document, how fresh the tables were when it was read, and where it was found."""

    document: Document
    freshness: Freshness
    layer: Layer

    def ledger(self, min_ledger: int) -> int:
        """Return up to which ledger it is fresh.

        Where it was asked for by `min_ledger`, that is the ledger of its own reading if it is newer than the tables.
        """
        ledger = self.freshness.ledger
        return max(ledger, self.document.synced_ledger) if min_ledger else ledger

    def answer(self, min_ledger: int) -> Answer:
        """Return what a client is told. Raise Undecodable."""
        if self.document.body is None:
            raise Undecodable
        return Answer(self.document.body, self.document.etag, self.ledger(min_ledger), self.freshness.stale)


class Lookup(NamedTuple):
    """What Redis has of a resource or a page; nothing where it cannot be asked.

    `version` was read together with the rest. `is_absent`: the resource was not on the chain some seconds ago.
    """

    version: bytes | None = None
    found: Found | None = None
    is_absent: bool = False


def etag(body: bytes) -> str:
    """Return a strong ETag: of the body alone, so that it changes only when the data does."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def absent_key(key: str) -> str:
    """Return the Redis key that exists while the resource `key` is known to be absent from the chain."""
    return f"{PREFIX}absent:{key}"


def get(key: str) -> Lookup:
    """Read a resource. A body of another epoch does not count."""
    values = with_redis(lambda r: exchange(r, "MGET", PREFIX + key, VERSION_KEY, absent_key(key)))
    if not values:
        return Lookup()
    value, version, absent = values
    now = load_watermark(version)
    found = _parse(value, now) if value and now else None
    return Lookup(version, found, absent is not None)


def _parse(value: bytes, now: Watermark) -> Found | None:
    head, _, body = value.partition(b"\n")
    epoch, revision, synced_ledger, tag = head.decode().split(" ")
    if epoch != now.epoch:
        return None
    return Found(Document(body or None, int(revision), int(synced_ledger), tag), now.freshness, "redis")


def set_if_current(key: str, found: Found, version: bytes | None) -> None:
    """Store what the tables said, under the watermark that the reader saw before it asked them.

    Do nothing where there was none, where it has moved past the tables, where a newer revision is stored, or where
    Redis cannot be asked.
    """
    seen, fresh = load_watermark(version), found.freshness
    if not seen or fresh.dataset_id != seen.freshness.dataset_id:
        return
    values = _values(found.document, seen.epoch, fresh.ledger)

    def put(r: redis.Redis) -> None:
        try:
            exchange(r, "EVALSHA", _set_if_newer.sha, 2, PREFIX + key, VERSION_KEY, *values)
        except redis.exceptions.NoScriptError:
            exchange(r, "EVAL", _SET_IF_NEWER, 2, PREFIX + key, VERSION_KEY, *values)

    with_redis(put)


def get_page(name: str) -> Lookup:
    """Read a page. One that was rendered under another watermark does not count."""
    value, version = with_redis(lambda r: exchange(r, "MGET", f"{PREFIX}page:{name}", VERSION_KEY)) or (None, None)
    now = load_watermark(version)
    if not value or not version or not now:
        return Lookup(version)
    watermark, tag, body = value.split(b"\n", 2)
    if watermark != _watermark_words(version):
        return Lookup(version)
    return Lookup(version, Found(Document(body, 0, 0, tag.decode()), now.freshness, "redis"))


def _watermark_words(version: bytes) -> bytes:
    return version.rpartition(b" ")[0]


def set_page_if_current(name: str, body: bytes, tag: str, ledger: int, version: bytes) -> None:
    """Store a page under the watermark that was read before its rows; under another one it is never served.

    `ledger` is what the tables said of themselves: tables that were emptied or restored meanwhile are older, and their
    page is silently dropped, as is one that is larger than PAGE_MAX_BYTES.
    """
    now = load_watermark(version)
    if now and ledger >= now.freshness.ledger and len(body) <= PAGE_MAX_BYTES:
        value = b"%b\n%b\n%b" % (_watermark_words(version), tag.encode(), body)
        with_redis(lambda r: exchange(r, "SET", f"{PREFIX}page:{name}", value, "PX", _expiry(PAGE_TTL)))


def refresh(old: Watermark, documents: Mapping[str, Document], ledger: int) -> bool:
    """Store the bodies that a pass changed, in one pipeline, each with a new version.

    `ledger` is what the tables said of themselves before the bodies were built. Return False if Redis did not take
    them: then the watermark may not move.
    """

    def put(r: redis.Redis) -> bool:
        pipe = r.pipeline(transaction=False)
        for key, document in documents.items():
            values = [*_values(document, old.epoch, ledger), random_word()]
            _set_if_newer([PREFIX + key, VERSION_KEY], values, pipe)
        pipe.execute()
        return True

    return not documents or bool(with_redis(invalidate_on_refusal(put)))


def stale_keys(now: Watermark, revisions: Mapping[str, int]) -> set[str] | None:
    """Return those of these keys whose stored revision is older than the given one.

    Keys without a body of this epoch are not stale. None if Redis cannot be asked.
    """

    def read_heads(r: redis.Redis) -> list[bytes]:
        pipe = r.pipeline(transaction=False)
        for key in revisions:
            pipe.getrange(PREFIX + key, 0, HEAD_LENGTH)
        return list(pipe.execute())

    found: set[str] = set()
    heads = with_redis(read_heads) if revisions else []
    if heads is None:
        return None
    for key, head in zip(revisions, heads, strict=True):
        epoch, _, rest = head.decode(errors="replace").partition(" ")
        if epoch == now.epoch and int(rest.split(" ", 1)[0]) < revisions[key]:
            found.add(key)
    return found


def _values(document: Document, epoch: str, ledger: int) -> tuple[str | bytes | int, ...]:
    """Return _SET_IF_NEWER's arguments, but the last."""
    head = f"{epoch} {document.revision} {document.synced_ledger} {document.etag}\n".encode()
    return epoch, ledger, document.revision, head + (document.body or b""), _expiry(settings.CACHE_TTL)


def _expiry(seconds: float) -> int:
    """Return milliseconds with 10 % of jitter, so that what was stored together does not expire at once."""
    return int(seconds * 1000 * random.uniform(0.9, 1.1))  # noqa: S311  # nothing to guess
