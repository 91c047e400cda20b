"""Durations, shares and times in the words of people. Zones are always named."""

from __future__ import annotations

from datetime import datetime
from typing import Final

_UNITS: Final = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))
_FOREVER: Final = 1000 * 365 * 86_400  # seconds; a longer duration is no plan of people


def duration(seconds: float) -> str:
    """Return a duration by its largest unit, and the next one where the first is small: 15 min, 7 days, 1 day 3 h."""
    left = int(abs(seconds))
    if left >= _FOREVER:
        return "more than 1,000 years"
    for place, (size, name) in enumerate(_UNITS):
        count, rest = divmod(left, size)
        if count:
            words = f"{count:,} {_plural(name, count)}"
            if place + 1 < len(_UNITS) and count < 3:
                small, smaller = _UNITS[place + 1]
                more = rest // small
                words += f" {more} {_plural(smaller, more)}" * bool(more)
            return words
    return "0 s"


def _plural(unit: str, count: int) -> str:
    return f"{unit}s" if unit == "day" and count != 1 else unit


def relative(moment: datetime, now: datetime) -> str:
    """Return `in 3 h` or `48 min ago`."""
    seconds = (moment - now).total_seconds()
    return f"in {duration(seconds)}" if seconds >= 0 else f"{duration(seconds)} ago"


def at(moment: datetime | None, now: datetime) -> str:
    """Return a time in UTC with how far away it is; words for one that no calendar holds."""
    if moment is None:
        return "at no time that a calendar holds"
    return f"{moment:%Y-%m-%d %H:%M} UTC ({relative(moment, now)})"


def percent(basis_points: int) -> str:
    """Return hundredths of a percent as percent, exact: 250 as 2.5 %."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}{f'.{rest:02d}'.rstrip('0') if rest else ''} %"
