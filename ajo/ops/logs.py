"""Log lines: one JSON object each, or words where stderr is a terminal. No secret is in any of them.

What a line belongs to (request_id, task, task_id) is bound by ajo/ops/middleware.py and ajo/celery.py.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import Processor

from ajo.conf.redaction import Secrets

EXTRAS: Final = ("ledger", "kind", "outcome", "counts", "node", "status_code")  # of `extra=`; others may be objects
LONGEST: Final = 1000  # characters of a message; an address that a client made up may have 60,000


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
    """A processor that hides the configured secrets in every text of a line."""

    def __init__(self) -> None:
        self._hide = Secrets().hide

    def __call__(self, logger: object, name: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {key: self._clean(value) for key, value in line.items()}

    def _clean(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {str(key): self._clean(each) for key, each in value.items()}
        return self._hide(str(value))
