"""The cache-aside helper: Redis → PostgreSQL → chain. It knows no tables; callers hand it their loaders.

`server` asks Redis, `bodies` says what of it counts, `through` reads what is not there. Redis may vanish at any moment:
everything works without it, slower.
"""

from ajo.cache.read_through import DEADLINE, Absent, Answer, Unavailable, fetch, waiter_slot
from ajo.cache.redis_client import COOLDOWN, PREFIX, breaker, client, with_redis
from ajo.cache.store import (
    WATERMARK,
    Document,
    Freshness,
    Watermark,
    advance,
    etag,
    get,
    get_page,
    invalidate_all,
    parse,
    parse_page,
    refresh,
    set_if_current,
    set_page_if_current,
    stale_keys,
    start_epoch,
    watermark,
)

__all__ = [
    "COOLDOWN",
    "DEADLINE",
    "PREFIX",
    "WATERMARK",
    "Absent",
    "Answer",
    "Document",
    "Freshness",
    "Unavailable",
    "Watermark",
    "advance",
    "breaker",
    "client",
    "etag",
    "fetch",
    "get",
    "get_page",
    "invalidate_all",
    "parse",
    "parse_page",
    "refresh",
    "set_if_current",
    "set_page_if_current",
    "stale_keys",
    "start_epoch",
    "waiter_slot",
    "watermark",
    "with_redis",
]
