"""The cache-aside helper: Redis → PostgreSQL → chain. It knows no tables; callers hand it their loaders.

`server` asks Redis, `bodies` says what of it counts, `through` reads what is not there. Redis may vanish at any moment:
everything works without it, slower.
"""

from ajo.cache.bodies import (
    MARK,
    Document,
    Freshness,
    Mark,
    advance,
    begin,
    etag,
    forget_all,
    keep,
    keep_page,
    look,
    look_for_page,
    mark,
    outdated,
    parse,
    parse_page,
    refresh,
)
from ajo.cache.server import DOWN_FOR, PREFIX, breaker, client, with_redis
from ajo.cache.through import DEADLINE, Absent, Answer, Unavailable, read_through, waiting_place

__all__ = [
    "DEADLINE",
    "DOWN_FOR",
    "MARK",
    "PREFIX",
    "Absent",
    "Answer",
    "Document",
    "Freshness",
    "Mark",
    "Unavailable",
    "advance",
    "begin",
    "breaker",
    "client",
    "etag",
    "forget_all",
    "keep",
    "keep_page",
    "look",
    "look_for_page",
    "mark",
    "outdated",
    "parse",
    "parse_page",
    "read_through",
    "refresh",
    "waiting_place",
    "with_redis",
]
