"""The headers that say what is left of a client's rates (draft-ietf-httpapi-ratelimit-headers).

Every counted answer has them. `RateLimit-Policy: "read";q=600;w=60` is the rate: so many requests in so many seconds.
`RateLimit: "read";r=598;t=41` is what is left, and the seconds until all of it is there again. `r` is a hint: other
processes may be answering the same client.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RateUse:
    """How much of one rate a client has used: `used` of `limit` requests in a window of `window` seconds.

    `kind` is "read" or "chain". `resets_in`: seconds until the window ends.
    """

    kind: str
    limit: int
    window: int
    used: int
    resets_in: float

    @property
    def retry_after(self) -> float | None:
        """Return the seconds until the client may ask again; None while it may now."""
        return self.resets_in if self.used > self.limit else None

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


def note_use(request: Any, use: RateUse) -> None:
    """Remember on a request (Django's, or REST framework's around it) what its answer is to say."""
    plain = getattr(request, "_request", request)
    plain.rate_uses = [*uses_of(plain), use]


def uses_of(request: Any) -> Sequence[RateUse]:
    """Return what `note_use` has remembered."""
    found: Sequence[RateUse] = getattr(request, "rate_uses", ())
    return found


def rate_headers(uses: Sequence[RateUse]) -> Headers:
    """Return RateLimit-Policy and RateLimit; no headers where nothing was counted."""
    if not uses:
        return []
    policies = ", ".join(policy_header(use.kind, use.limit, use.window)[1] for use in uses)
    states = ", ".join(_state(use.kind, use.remaining, use.resets_in) for use in uses)
    return [("RateLimit-Policy", policies), ("RateLimit", states)]


def read_rate_headers(limit: int, window: int, remaining: int, resets_in: float) -> Headers:
    """Return the same headers for the rate of reads alone, without the detour: the edge sends them with each answer."""
    return [policy_header("read", limit, window), ("RateLimit", _state("read", remaining, resets_in))]


@lru_cache(maxsize=8)
def policy_header(kind: str, limit: int, window: int) -> tuple[str, str]:
    """Return the header of one rate."""
    return "RateLimit-Policy", f'"{kind}";q={limit};w={window}'


def _state(kind: str, remaining: int, resets_in: float) -> str:
    return f'"{kind}";r={remaining};t={math.ceil(resets_in)}'
