"""Limit requests by client address, counted in Redis for all processes. Without Redis nobody is limited."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from redis import Redis
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from ajo.api.rate_limits import Headers, RateUse, note_use, read_rate_headers
from ajo.cache import PREFIX, with_redis

UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
FLUSH_INTERVAL = 0.5  # seconds
MAX_CLIENTS = 10_000  # whose counts one process remembers
MAX_RESERVED = 50  # requests of one client that one process reserves at once
EXHAUSTED: Final = -1  # in place of a number of reserved requests: none was left
MAX_FORWARDED = 1_000  # characters of the forwarding header, from its end, where the nearest proxies write
IPV6_SITE = 64  # bits: a subscriber has at least one such network and changes addresses within it at will


class ReadThrottle(BaseThrottle):
    """Limit every request to READ_RATE, save the browsers' own preflights."""

    retry_after: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method != "OPTIONS":
            self.retry_after = _count_use(request, "read", settings.READ_RATE)
        return self.retry_after is None

    def wait(self) -> float | None:
        return self.retry_after


def throttle_chain_read(request: HttpRequest | Request) -> None:
    """Count a request that is about to cost an RPC call towards CHAIN_RATE. Raise Throttled beyond it."""
    retry_after = _count_use(request, "chain", settings.CHAIN_RATE)
    if retry_after is not None:
        raise Throttled(wait=retry_after)


def _count_use(request: HttpRequest | Request, kind: str, rate: str) -> float | None:
    """Count the request as `hit` does, and note on it what its answer says of the rate."""
    use = _count(kind, rate, client_address(request))
    if use is None:
        return None
    note_use(request, use)
    return use.retry_after


def hit(kind: str, rate: str, client: str) -> float | None:
    """Count one request of `client` in the rate's window; return seconds until it may retry if that is one too many.

    None if it is not, if `rate` is empty, or where Redis cannot be asked.
    """
    use = _count(kind, rate, client)
    return None if use is None else use.retry_after


def _count(kind: str, rate: str, client: str) -> RateUse | None:
    if not rate:
        return None
    limit, window = parse_rate(rate)
    number, into = divmod(time.time(), window)
    key = f"{PREFIX}rate:{kind}:{client}:{window}:{int(number)}"
    counted = read_counter.flush({key: 1}).get(key)
    return None if counted is None else RateUse(kind, limit, window, counted, window - into)


class RateCounter:
    """Apply READ_RATE to requests that the edge answers, by counts that all processes share in Redis.

    A process reserves a few requests of a client there before it allows them, and gives back within FLUSH_INTERVAL
    seconds what it did not use: however many processes there are, they allow no more than the rate together.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reserved: dict[str, int] = {}  # requests not yet used, by the key of their count
        self._left: dict[str, int] = {}  # what was left for all processes beside them when Redis was last asked

    def reset_for_tests(self) -> None:
        """Forget all reservations."""
        with self._lock:
            self._reserved.clear()
            self._left.clear()

    def take(self, environ: Mapping[str, Any]) -> Headers | None:
        """Take one of the reserved requests, and return the headers that say what is left; none without a limit.

        None where no request may be left: Django then counts exactly.
        """
        rate = settings.READ_RATE
        if not rate:
            return []
        limit, window = parse_rate(rate)
        number, into = divmod(time.time(), window)
        key = f"{PREFIX}rate:read:{address_of_client(environ)}:{window}:{int(number)}"
        with self._lock:
            reserved = self._reserved.get(key)
            if reserved:
                if reserved == EXHAUSTED:
                    return None
                self._reserved[key] = reserved - 1
                return read_rate_headers(limit, window, self._left.get(key, 0) + reserved - 1, window - into)
        # most clients send one request and no more
        wanted = 1 if reserved is None else _batch_size(limit)
        counted = self._count({key: wanted}).get(key)
        if counted is None:
            return []  # without Redis nobody is limited
        granted = max(0, min(wanted, limit - (counted - wanted)))
        if granted < wanted:
            self._count({key: granted - wanted})
        with self._lock:
            before = max(0, self._reserved.get(key, 0))  # what another thread has reserved meanwhile
            self._reserved[key] = before + granted - 1 if granted else before or EXHAUSTED
            self._left[key] = max(0, limit - counted)
            remaining = self._left[key] + max(0, self._reserved[key])
            if self._reserved[key] > 0:
                timer = threading.Timer(FLUSH_INTERVAL, self.flush)
                timer.daemon = True
                timer.start()
        return read_rate_headers(limit, window, remaining, window - into) if granted else None

    def flush(self, more: Mapping[str, int] | None = None) -> dict[str, int]:
        """Give back what is reserved and not used, and add `more`, both by key.

        Return the counts of all processes together; empty where Redis cannot be asked.
        """
        with self._lock:
            changes = Counter({key: -reserved for key, reserved in self._reserved.items() if reserved > 0})
            self._reserved.update(dict.fromkeys(changes, 0))
            if len(self._reserved) > MAX_CLIENTS:
                self._reserved.clear()
                self._left.clear()
        changes.update(more or {})
        return self._count(changes)

    @staticmethod
    def _count(changes: Mapping[str, int]) -> dict[str, int]:
        def count(r: Redis) -> list[int]:
            pipe = r.pipeline(transaction=False)
            for key, number in changes.items():
                pipe.incrby(key, number)
                pipe.expire(key, int(key.rsplit(":", 2)[1]))
            return list(pipe.execute()[::2])

        return dict(zip(changes, (with_redis(count) or []) if changes else [], strict=False))


def _batch_size(limit: int) -> int:
    """Return how many requests one process reserves at once: all together hold back an eighth of the rate at most."""
    return max(1, min(limit // (8 * settings.WEB_WORKERS), MAX_RESERVED))


read_counter = RateCounter()


@lru_cache(maxsize=8)
def parse_rate(rate: str) -> tuple[int, int]:
    """Parse `600/min` as (600, 60): requests, and seconds of the window."""
    limit, _, unit = rate.partition("/")
    return int(limit), UNIT_SECONDS[unit[0]]


def client_address(request: HttpRequest | Request) -> str:
    """Return the client's address: the nearest that is none of TRUSTED_PROXIES, or "unknown".

    What trusted proxies forwarded is believed, from the nearest on. Of an IPv6 address it is the /64 network.
    """
    return address_of_client(request.META)


def address_of_client(meta: Mapping[str, Any]) -> str:
    """Return the client's address from WSGI's environment; see client_address."""
    proxies = tuple(settings.TRUSTED_PROXIES)
    forwarded = meta.get(_wsgi_name(settings.CLIENT_ADDRESS_HEADER), "")[-MAX_FORWARDED:] if proxies else ""
    return _client(meta.get("REMOTE_ADDR", ""), forwarded, proxies)


@lru_cache(maxsize=8)
def _wsgi_name(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}"


@lru_cache(maxsize=1024)
def is_trusted_proxy(remote: str, proxies: tuple[str, ...]) -> bool:
    """Return whether the forwarding headers of the peer `remote` are believed."""
    peer = _address(remote)
    return peer is not None and any(peer in network for network in _networks(proxies))


@lru_cache(maxsize=1024)
def _client(remote: str, forwarded: str, proxies: tuple[str, ...]) -> str:
    nearest = _address(remote)
    if nearest is None:
        return "unknown"
    trusted = _networks(proxies)
    for text in reversed(forwarded.split(",")):
        if not any(nearest in network for network in trusted):
            break
        further = _address(text)
        if further is None:
            break
        nearest = further
    if isinstance(nearest, IPv6Address):
        return str(ip_network((nearest, IPV6_SITE), strict=False).network_address)
    return str(nearest)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address as proxies write it: perhaps with a port, in brackets, or IPv4 mapped into IPv6. Else None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


@lru_cache(maxsize=8)
def _networks(proxies: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(proxy, strict=False) for proxy in proxies)
