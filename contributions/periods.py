"""Periods of history in UTC, as bounds on the event id, by which history is ordered."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.db.models import Q, QuerySet

_DATES: Final = re.compile(r"(\d{4}-\d\d-\d\d)?\.\.(\d{4}-\d\d-\d\d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """A time of history: `since` is within, `until` no more. None: open."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.since is None and self.until is None


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _week(now: datetime) -> Period:
    today = _midnight(now)
    return Period(today - timedelta(days=today.weekday()))


def _last_month(now: datetime) -> Period:
    this = _midnight(now).replace(day=1)
    return Period((this - timedelta(days=1)).replace(day=1), this)


# By name: a label, and the period as it is at a time.
NAMED: Final[dict[str, tuple[str, Callable[[datetime], Period]]]] = {
    "today": ("today", lambda now: Period(_midnight(now))),
    "week": ("this week", _week),
    "month": ("this month", lambda now: Period(_midnight(now).replace(day=1))),
    "last-month": ("last month", _last_month),
}


def parse_period(text: str, now: datetime) -> Period:
    """Return the period of a name, or of two dates `2026-10-01..2026-10-31`, both within; either may be left out.

    Raises ValueError for any other text, where the first date is after the second, and for the last day of all.
    """
    if text in NAMED:
        return NAMED[text][1](now)
    match = _DATES.fullmatch(text)
    if match is None:
        raise ValueError("a period is a name or two dates")
    first, last = (date.fromisoformat(each) if each else None for each in match.groups())
    if first and last and first > last:
        raise ValueError("the first date is after the second")
    if last == date.max:
        raise ValueError("no day follows")
    return Period(_start(first) if first else None, _start(last + timedelta(days=1)) if last else None)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def within(rows: QuerySet[Any], period: Period, column: str) -> QuerySet[Any]:
    """Narrow rows of history to a period, by bounds on `column`: `order_key` or `order_within`, which orders them.

    The indexes of a wallet or a group have no times; event ids grow with time. Of the rows that were recovered without
    an event only refunds have a time.
    """
    if period.is_open:
        return rows
    announced, recovered = Q(**{f"{column}__gt": ""}), Q(**{column: ""}, created_at__isnull=False)
    if period.since:
        first = _first_key_from(rows, period.since)
        announced &= Q(**{f"{column}__gte": first}) if first else Q(pk__in=())
        recovered &= Q(created_at__gte=period.since)
    if period.until:
        end = _first_key_from(rows, period.until)
        announced &= Q(**{f"{column}__lt": end}) if end else Q()
        recovered &= Q(created_at__lt=period.until)
    has_recovered = any(field.name == "reason" for field in rows.model._meta.fields)
    return rows.filter(announced | recovered if has_recovered else announced)


def _first_key_from(rows: QuerySet[Any], moment: datetime) -> str | None:
    """Return the first event id of the whole table at that time or later; None without one."""
    found = rows.model._default_manager.filter(created_at__gte=moment).exclude(order_key="")
    key: str | None = found.order_by("created_at", "order_key").values_list("order_key", flat=True).first()
    return key
