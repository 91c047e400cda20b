"""Limits by client address, counted in Redis for all processes. Without Redis nobody is limited: reads come first."""

from __future__ import annotations

import time
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from redis import Redis
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from ajo.cache import PREFIX, with_redis

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
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

    def count(r: Redis) -> int:
        pipe = r.pipeline(transaction=False)
        pipe.incr(key)
        pipe.expire(key, window)
        counted: int = pipe.execute()[0]
        return counted

    counted = with_redis(count)
    return None if counted is None or counted <= limit else window - into


@lru_cache(maxsize=8)
def parse_rate(rate: str) -> tuple[int, int]:
    """`600/min` as (600, 60): requests, and seconds of the window."""
    limit, _, unit = rate.partition("/")
    return int(limit), SECONDS[unit[0]]


def client_address(request: HttpRequest | Request) -> str:
    """The nearest address that is none of TRUSTED_PROXIES'; what they forwarded is believed, from the nearest on."""
    nearest = _address(request.META.get("REMOTE_ADDR", ""))
    if nearest is None:
        return "unknown"
    trusted = _networks(tuple(settings.TRUSTED_PROXIES))
    for text in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
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
