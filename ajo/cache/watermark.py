"""The version in Redis: up to which ledger its bodies are fresh, of which dataset, in which epoch.

The words are defined in the package's docstring.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import redis
from django.conf import settings

from ajo.cache.redis_client import PREFIX, with_redis

T = TypeVar("T")

VERSION_KEY: Final = PREFIX + "mark"

# The watermark never goes back, and never comes back after it was deleted or another epoch's took its place.
# KEYS: version. ARGV: epoch, ledger, new version.
_ADVANCE = """
local epoch, ledger = string.match(redis.call('GET', KEYS[1]) or '', '^(%w+) (%d+) ')
if epoch ~= ARGV[1] or tonumber(ledger) > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh the tables are: they hold everything announced up to `ledger`.

    `dataset_id` is 32 hexadecimal digits, or empty before the first sync. `chain_advanced_at` is when the chain last
    grew, `as_of` when the tables were asked: both in Unix seconds by the database's clock.
    """

    dataset_id: str
    ledger: int
    chain_advanced_at: float
    as_of: float = 0.0

    @property
    def stale(self) -> bool:
        """Whether the chain has been silent for more than STALE_AFTER seconds.

        A time that far ahead is stale too: it is from before the clock stepped back.
        """
        return abs(time.time() - self.chain_advanced_at) > settings.STALE_AFTER

    def follows(self, earlier: Freshness) -> bool:
        """Return whether the tables are those of `earlier`, and neither their ledger nor their clock has stepped back.

        Where the clock has, nobody can tell what changed since; where the ledger has, the network never reached it.
        """
        same_tables = self.dataset_id == earlier.dataset_id
        return same_tables and self.ledger >= earlier.ledger and self.as_of >= earlier.as_of


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to which ledger the bodies in Redis are fresh. `begun` is the `as_of` with which its epoch began."""

    epoch: str
    freshness: Freshness
    begun: float

    def dump(self) -> bytes:
        """Return a version with this watermark, unlike any before.

        The scripts parse its first two words, and replace its last.
        """
        f = self.freshness
        words = f"{self.epoch} {f.ledger} {f.chain_advanced_at:.3f} {f.dataset_id} {f.as_of:.6f} {self.begun:.6f}"
        return f"{words} {random_word()}".encode()

    @classmethod
    def load(cls, raw: bytes | None) -> Watermark | None:
        """Parse what `dump` made. Return None for anything else: without a watermark nothing in Redis counts."""
        try:
            epoch, ledger, chain_advanced_at, dataset_id, as_of, begun, _ = (raw or b"").decode().split(" ")
            return cls(epoch, Freshness(dataset_id, int(ledger), float(chain_advanced_at), float(as_of)), float(begun))
        except ValueError:
            return None


def random_word() -> str:
    """Return what no other call returns."""
    return secrets.token_hex(8)


load_watermark = lru_cache(maxsize=4)(Watermark.load)  # the same few values come back with every read


def current_watermark() -> Watermark | None:
    """Read the watermark. Return None where there is none, and silently where Redis cannot be asked."""
    return Watermark.load(with_redis(lambda r: r.get(VERSION_KEY)))


def start_epoch(freshness: Freshness) -> None:
    """Start a new epoch: no body that Redis holds counts any more. Do nothing where Redis cannot be asked."""
    new = Watermark(random_word(), freshness, freshness.as_of)
    with_redis(lambda r: r.set(VERSION_KEY, new.dump()))


def advance(old: Watermark, freshness: Freshness) -> None:
    """Move the watermark to what `refresh` has made true.

    Do nothing where another epoch has begun since `old` was read, where the watermark is further already, or where
    Redis cannot be asked.
    """
    new = Watermark(old.epoch, freshness, old.begun)
    with_redis(
        invalidate_on_refusal(lambda r: r.eval(_ADVANCE, 1, VERSION_KEY, new.epoch, freshness.ledger, new.dump()))
    )


def invalidate_on_refusal(action: Callable[[redis.Redis], T]) -> Callable[[redis.Redis], T]:
    """Wrap an action for `with_redis`: where Redis refuses it, as a full one does, the watermark is deleted.

    What cannot be refreshed is no cache.
    """

    def act(r: redis.Redis) -> T:
        try:
            return action(r)
        except redis.ResponseError:
            r.delete(VERSION_KEY)
            raise

    return act


def invalidate_all() -> bool:
    """Delete the watermarks of all releases of this service, and with them the worth of every body.

    Return False if Redis cannot be asked: then bodies may still be served.
    """
    keys = f"{settings.REDIS_NAMESPACE}*:mark"
    return with_redis(lambda r: r.delete(VERSION_KEY, *r.scan_iter(keys))) is not None
