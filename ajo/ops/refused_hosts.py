"""Say which Host was refused: a new address that nobody named in the settings looks like a broken service."""

from __future__ import annotations

import logging
import time
from typing import Final

INTERVAL: Final = 60.0  # seconds between two lines of a process: anybody can cause them
MAX_HOST: Final = 100  # characters; a host name has at most 253


class RefusedHosts(logging.Filter):
    """Turns Django's error about a Host, with its traceback, into a warning of one line, once in INTERVAL."""

    def __init__(self) -> None:
        super().__init__()
        self._next_at = 0.0  # by time.monotonic

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._next_at or not logging.getLogger().isEnabledFor(logging.WARNING):
            return False
        self._next_at = now + INTERVAL
        request = getattr(record, "request", None)
        host = str(request.META.get("HTTP_HOST", "")) if request is not None else ""
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.exc_info = record.exc_text = None
        record.args = ()
        record.msg = (
            f"the Host header {host[:MAX_HOST]!a} is not in ALLOWED_HOSTS, and such requests get a 400: set PUBLIC_URL "
            "to the address that clients use, or name further hosts in ALLOWED_HOSTS (said once a minute)"
        )
        return True
