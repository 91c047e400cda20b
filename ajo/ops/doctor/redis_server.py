"""Examines Redis, as the cache and as the broker of the tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from redis import Redis, RedisError

from ajo.conf.reachability import why_not_redis
from ajo.ops.doctor.finding import Finding, error, ok, warning

TIMEOUT = 3.0  # seconds
FULL: Final = 0.9  # of maxmemory
# Those under which a full Redis makes room among keys that expire: bodies and pages. Queue and watermark do not expire.
GOOD_POLICIES: Final = ("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl")


def redis_findings() -> Iterator[Finding]:
    """Yield what is known of each Redis. Waits some seconds at most for one that is silent."""
    addresses = {
        "redis": ("REDIS_URL", settings.REDIS_URL),
        "broker": ("CELERY_BROKER_URL", settings.CELERY_BROKER_URL),
    }
    if settings.CELERY_BROKER_URL == settings.REDIS_URL:
        del addresses["broker"]
    for part, (variable, address) in addresses.items():
        why = why_not_redis(address, TIMEOUT)
        if why:
            yield error(part, why, f"start Redis, or correct {variable}")
        else:
            yield from _server_findings(part, variable, address)


def _server_findings(part: str, variable: str, address: str) -> Iterator[Finding]:
    try:
        with Redis.from_url(address, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT) as client:
            about: dict[str, Any] = client.info()
    except RedisError as failure:
        what = f"it answers, and does not tell about itself ({type(failure).__name__})"
        yield warning(part, what, "let its user run INFO, to have memory and eviction policy examined")
        return
    used, limit = int(about.get("used_memory", 0)), int(about.get("maxmemory", 0))
    policy = str(about.get("maxmemory_policy", "unknown"))
    memory = f"{used / 2**20:.0f} MB of {f'{limit / 2**20:.0f} MB' if limit else 'no limit'}"
    yield ok(part, f"version {about.get('redis_version', 'unknown')}, {memory}, eviction policy {policy}")
    if about.get("role") == "slave":
        yield error(part, "it is a replica and takes no writes", f"let {variable} lead to the primary")
    if limit and policy not in GOOD_POLICIES:
        yield _policy(part, policy)
    if limit and used > FULL * limit:
        what = f"{used / limit:.0%} of its memory is used"
        yield warning(part, what, "raise maxmemory, or lower CACHE_TTL")


def _policy(part: str, policy: str) -> Finding:
    advice = "set maxmemory-policy volatile-lru"
    if policy == "noeviction":
        return warning(part, "once it is full it refuses writes: nothing is cached, and no task is queued", advice)
    return warning(part, f"{policy} throws away tasks and the freshness of bodies once it is full", advice)
