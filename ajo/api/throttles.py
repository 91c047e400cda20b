"""Limits by client address, counted in Redis for all processes. Without Redis nobody is limited: reads come first."""

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

from ajo.cache import PREFIX, with_redis

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ADD_UP_AFTER = 0.5  # seconds
MANY = 10_000  # clients whose counts one process remembers
LONGEST = 1_000  # characters of the forwarding header, from its end: the nearest proxies' words
IPV6_SITE = 64  # bits: what one subscriber has at least, and may change within at will


class ReadThrottle(BaseThrottle):
    """READ_RATE: every request but the browsers' own preflights."""

    retry_after: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method != "OPTIONS":
            self.retry_after = exceeded("read", settings.READ_RATE, client_address(request))
        return self.retry_after is None

    def wait(self) -> float | None:
        return self.retry_after


def admit_chain_call(request: HttpRequest | Request) -> None:
    """CHAIN_RATE: counts a request that is about to cost an RPC call. Raises Throttled."""
    retry_after = exceeded("chain", settings.CHAIN_RATE, client_address(request))
    if retry_after is not None:
        raise Throttled(wait=retry_after)


def exceeded(kind: str, rate: str, client: str) -> float | None:
    """Count one request of this client; seconds until it may try again if that is one too many."""
    if not rate:
        return None
    limit, window = parse_rate(rate)
    number, into = divmod(time.time(), window)
    key = f"{PREFIX}rate:{kind}:{client}:{window}:{int(number)}"
    counted = reads.add_up({key: 1}).get(key)
    return None if counted is None or counted <= limit else window - into


class Tally:
    """READ_RATE's requests that this process has counted, and what Redis knew of all processes' when it was last told.

    A client's first request here is counted in Redis; those that follow are added up there every half second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, int] = {}
        self._known: dict[str, int] = {}

    def admits(self, environ: Mapping[str, Any]) -> bool:
        """Count one request that is answered without Django; False if that is one too many, which Django counts."""
        rate = settings.READ_RATE
        if not rate:
            return True
        limit, window = parse_rate(rate)
        key = f"{PREFIX}rate:read:{address_of_client(environ)}:{window}:{int(time.time() // window)}"
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                counted = known + self._pending.get(key, 0) + 1
                if counted > limit:
                    return False
                if not self._pending:
                    timer = threading.Timer(ADD_UP_AFTER, self.add_up)
                    timer.daemon = True
                    timer.start()
                self._pending[key] = counted - known
                return True
        return self.add_up({key: 1}).get(key, 0) <= limit

    def add_up(self, more: Mapping[str, int] | None = None) -> dict[str, int]:
        """Tell Redis what was counted since the last time, and these; all processes' counts. Empty without Redis."""
        with self._lock:
            told = Counter(self._pending)
            self._pending = {}
        told.update(more or {})

        def count(r: Redis) -> list[int]:
            pipe = r.pipeline(transaction=False)
            for key, number in told.items():
                pipe.incrby(key, number)
                pipe.expire(key, int(key.rsplit(":", 2)[1]))
            return list(pipe.execute()[::2])

        counted = dict(zip(told, (with_redis(count) or []) if told else [], strict=False))
        with self._lock:
            if len(self._known) > MANY or len(counted) < len(told):
                self._known.clear()  # without Redis nobody is limited
            self._known.update(counted)
        return counted


reads = Tally()


@lru_cache(maxsize=8)
def parse_rate(rate: str) -> tuple[int, int]:
    """`600/min` as (600, 60): requests, and seconds of the window."""
    limit, _, unit = rate.partition("/")
    return int(limit), SECONDS[unit[0]]


def client_address(request: HttpRequest | Request) -> str:
    """The nearest address that is none of TRUSTED_PROXIES'; what they forwarded is believed, from the nearest on."""
    return address_of_client(request.META)


def address_of_client(meta: Mapping[str, Any]) -> str:
    """The same, from WSGI's environment."""
    proxies = tuple(settings.TRUSTED_PROXIES)
    forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")[-LONGEST:] if proxies else ""
    return _client(meta.get("REMOTE_ADDR", ""), forwarded, proxies)


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


def is_trusted_proxy(address: str) -> bool:
    """Whether TRUSTED_PROXIES names this address."""
    found = _address(address)
    return found is not None and any(found in network for network in _networks(tuple(settings.TRUSTED_PROXIES)))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: perhaps with a port, in brackets, or an IPv4 address mapped into IPv6."""
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
