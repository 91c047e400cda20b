"""Redaction: the configured secrets are hidden in log lines and in nodes' messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.conf import settings

HIDDEN: Final = "[hidden]"
MIN_SECRET_LENGTH: Final = 4  # characters; a shorter secret is a part of ordinary words
MIN_SEGMENT_LENGTH: Final = 8  # characters; a shorter segment of a path is a word such as /soroban/rpc, no key
# Positions whose content counts as secret: user:password@ in an address, a path in a message of requests.
SECRET_POSITIONS: Final = re.compile(
    r"(?<=://)[^/\s]*@|(?<=with url: )\S+|(?i:(?<=password=)|(?<=token=)|(?<=key=)|(?<=secret=))[^\s&'\"]+"
)


class Secrets:
    """The secrets as they are configured now, and percent-decoded."""

    def __init__(self) -> None:
        texts = {form for text in _secrets() for form in (text, unquote(text)) if len(form) >= MIN_SECRET_LENGTH}
        longest_first = sorted(texts, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def hide(self, text: str) -> str:
        """Return the text with every secret replaced by HIDDEN."""
        return SECRET_POSITIONS.sub(HIDDEN, self._known.sub(HIDDEN, text))


def _secrets() -> Iterator[str]:
    """Yield keys and passwords, and from RPC addresses whatever may be a provider's key."""
    yield settings.SECRET_KEY
    yield from settings.SECRET_KEY_FALLBACKS
    yield settings.METRICS_TOKEN
    yield settings.ADMIN_PASSWORD
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
        yield from (segment for segment in parts.path.split("/") if len(segment) >= MIN_SEGMENT_LENGTH)
        yield from (value for _, value in parse_qsl(parts.query))


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # refused by ajo/conf/checks.py, whose message has no value
        return urlsplit("")
