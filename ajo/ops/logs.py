"""Log lines: one JSON object each, or words where stderr is a terminal. No secret is in any of them.

What a line belongs to (request_id, task, task_id) is bound by ajo/ops/middleware.py and ajo/celery.py.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import structlog
from django.conf import settings
from structlog.typing import Processor

EXTRAS: Final = ("ledger", "kind", "outcome", "counts", "node", "status_code")  # of `extra=`; others may be objects
HIDDEN: Final = "[hidden]"
LONGEST: Final = 1000  # characters of a message; an address that a client made up may have 60,000
LEAST: Final = 4  # characters of a secret that is looked for everywhere; a shorter one is in every other word
LEAST_SEGMENT: Final = 8  # a path's segment that is shorter is a word such as /soroban/rpc, no key
# Whatever is in the place of a secret is taken for one: user:password@ in an address, what requests say of a path.
PLACES: Final = re.compile(
    r"(?<=://)[^/\s]*@|(?<=with url: )\S+|(?i:(?<=password=)|(?<=token=)|(?<=key=)|(?<=secret=))[^\s&'\"]+"
)


def formatter() -> logging.Formatter:
    """The one formatter of all handlers (settings.LOGGING, ajo/web.py)."""
    last: Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        last = structlog.dev.ConsoleRenderer(timestamp_key="time", exception_formatter=structlog.dev.plain_traceback)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(EXTRAS),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            Redactor(),
            shorten,
            last,
        ],
    )


def shorten(logger: object, name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor that cuts long messages: after the secrets are hidden, so that no half of one is left."""
    message = line.get("event")
    if isinstance(message, str) and len(message) > LONGEST:
        line["event"] = f"{message[:LONGEST]}… ({len(message)} characters)"
    return line


class Redactor:
    """A processor that hides the configured secrets, as they are and percent-decoded, in every text of a line."""

    def __init__(self) -> None:
        texts = {form for text in _secrets() for form in (text, unquote(text)) if len(form) >= LEAST}
        longest_first = sorted(texts, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def __call__(self, logger: object, name: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {key: self._clean(value) for key, value in line.items()}

    def _clean(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {str(key): self._clean(each) for key, each in value.items()}
        return PLACES.sub(HIDDEN, self._secrets.sub(HIDDEN, str(value)))


def _secrets() -> Iterator[str]:
    """What must not be read in a log: keys and passwords, and in RPC addresses whatever may be a provider's key."""
    yield settings.SECRET_KEY
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
    except ValueError:  # refused by ajo/checks.py, whose message has no value
        return urlsplit("")
