"""Log lines: one JSON object each, or text where stderr is a terminal. Configured secrets are hidden in all of them.

ajo/ops/middleware.py and ajo/celery.py bind the context of a line: request_id, task and task_id.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import Processor

from ajo.conf.redaction import Secrets

EXTRAS: Final = (
    "ledger",
    "kind",
    "outcome",
    "counts",
    "node",
    "status_code",
    *("method", "path", "route", "seconds", "client"),  # of the access log
)  # keys of `extra=` to log; others may be objects
MAX_MESSAGE: Final = 1000  # characters; a client's URL may have 60,000


def formatter() -> logging.Formatter:
    """Return the formatter of all handlers (settings.LOGGING, ajo/web.py)."""
    renderer: Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer(
            timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
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
            truncate,
            renderer,
        ],
    )


def truncate(logger: object, name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut a long message. This processor runs after Redactor, so that no half of a secret is left."""
    message = line.get("event")
    if isinstance(message, str) and len(message) > MAX_MESSAGE:
        line["event"] = f"{message[:MAX_MESSAGE]}… ({len(message)} characters)"
    return line


class Redactor:
    """The processor that hides the configured secrets in every text of a line."""

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
