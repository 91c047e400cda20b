"""The chain's times: seconds since 1970 in a u64 that anyone may have chosen."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp_to_datetime(seconds: int) -> datetime | None:
    """As a UTC datetime; None for a time that no calendar holds (after the year 9999)."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
