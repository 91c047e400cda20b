"""The configured secrets, hidden in whatever is written down: log lines, and what staff see of a node's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.conf import settings

HIDDEN: Final = "[hidden]"
LEAST: Final = 4  # characters of a secret that is looked for everywhere; a shorter one is in every other word
LEAST_SEGMENT: Final = 8  # a path's segment that is shorter is a word such as /soroban/rpc, no key
# Whatever is in the place of a secret is taken for one: user:password@ in an address, what requests say of a path.
PLACES: Final = re.compile(
    r"(?<=://)[^/\s]*@|(?<=with url: )\S+|(?i:(?<=password=)|(?<=token=)|(?<=key=)|(?<=secret=))[^\s&'\"]+"
)


class Secrets:
    """As they are configured now, and the same percent-decoded."""

    def __init__(self) -> None:
        texts = {form for text in _secrets() for form in (text, unquote(text)) if len(form) >= LEAST}
        longest_first = sorted(texts, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def hide(self, text: str) -> str:
        return PLACES.sub(HIDDEN, self._known.sub(HIDDEN, text))


def _secrets() -> Iterator[str]:
    """What must not be read anywhere: keys and passwords, and in RPC addresses whatever may be a provider's key."""
    yield settings.SECRET_KEY
    yield from settings.SECRET_KEY_FALLBACKS
    yield settings.METRICS_TOKEN
    yield str(settings.DATABASES["default"].get("PASSWORD") or "")
    for value in settings.SOROBAN_RPC_HEADERS.values():
        yield value
        yield value.rpartition(" ")[2]  # without "Bearer"
    for address in (settings.REDIS_URL, settings.CELERY_BROKER_URL):
        yield _split(address).password or ""
    for address in settings.SOROBAN_RPC_URL:
        parts = _split(address)
        yield from (parts.username or "", parts.password or "", parts.query)
        yield f"{parts.netloc}{parts.path}" if parts.path.strip("/") else ""
        yield from (segment for segment in parts.path.split("/") if len(segment) >= LEAST_SEGMENT)
        yield from (value for _, value in parse_qsl(parts.query))


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # refused by ajo/conf/checks.py, whose message has no value
        return urlsplit("")
