"""Times of the chain: Unix seconds in a u64 that anyone may have chosen."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp_to_datetime(seconds: int) -> datetime | None:
    """Convert Unix seconds to a UTC datetime; return None for a time after the year 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
