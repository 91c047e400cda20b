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
    policies = ", ".join(_policy(use.kind, use.limit, use.window) for use in uses)
    states = ", ".join(f'"{use.kind}";r={use.remaining};t={math.ceil(use.resets_in)}' for use in uses)
    return [("RateLimit-Policy", policies), ("RateLimit", states)]


@lru_cache(maxsize=8)
def _policy(kind: str, limit: int, window: int) -> str:
    return f'"{kind}";q={limit};w={window}'
