"""The cache-aside helper: Redis → PostgreSQL → chain. It knows no tables; callers hand it their loaders.

`redis_client` asks Redis behind a circuit breaker, `watermark` says what in Redis counts, `store` holds the bodies,
`read_through` reads what is not there with a single flight. Redis may vanish at any moment: everything goes on without
it, slower.

The words that a reader of the cache needs:

- dataset id: tells one fill of the tables from another (`Checkpoint.dataset_id`). A cache of another fill never counts.
- watermark: the ledger up to which the bodies in Redis are fresh, with the dataset id and the epoch. It moves only
  forward, after the bodies that a pass changed are in Redis.
- epoch: one life of the watermark, a random token. `start_epoch` and `invalidate_all` end it, and with it the worth of
  every body that was stored under it, however many are left in Redis.
- revision: orders the versions of one resource's body; it grows with the ledger. A body never replaces a newer one.
- version: the one value under VERSION_KEY: the watermark, and a random word that each refreshed body sets anew. While
  it stands still, so does everything that was read beside it; the edge's local cache (ajo/edge) relies on that.
"""

from ajo.cache.read_through import DEADLINE, Absent, Unavailable, fetch, waiter_slot, waiter_slot_count
from ajo.cache.redis_client import PREFIX, breaker, client, with_redis
from ajo.cache.store import (
    Answer,
    Document,
    Found,
    Layer,
    Lookup,
    Undecodable,
    etag,
    get,
    get_page,
    refresh,
    set_if_current,
    set_page_if_current,
    stale_keys,
)
from ajo.cache.watermark import (
    VERSION_KEY,
    Freshness,
    Watermark,
    advance,
    current_watermark,
    invalidate_all,
    start_epoch,
)

__all__ = [
    "DEADLINE",
    "PREFIX",
    "VERSION_KEY",
    "Absent",
    "Answer",
    "Document",
    "Found",
    "Freshness",
    "Layer",
    "Lookup",
    "Unavailable",
    "Undecodable",
    "Watermark",
    "advance",
    "breaker",
    "client",
    "current_watermark",
    "etag",
    "fetch",
    "get",
    "get_page",
    "invalidate_all",
    "refresh",
    "set_if_current",
    "set_page_if_current",
    "stale_keys",
    "start_epoch",
    "waiter_slot",
    "waiter_slot_count",
    "with_redis",
]
