"""Periods of history in UTC, as bounds on the event id, by which history is ordered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q, QuerySet

Period = tuple[datetime, datetime | None]  # from (inclusive) to (exclusive); None: open


def _today(now: datetime) -> Period:
    return _midnight(now), None


def _week(now: datetime) -> Period:
    today = _midnight(now)
    return today - timedelta(days=today.weekday()), None


def _month(now: datetime) -> Period:
    return _midnight(now).replace(day=1), None


def _last_month(now: datetime) -> Period:
    this = _midnight(now).replace(day=1)
    return (this - timedelta(days=1)).replace(day=1), this


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


PERIODS: Final[dict[str, tuple[str, Callable[[datetime], Period]]]] = {
    "today": ("today", _today),
    "week": ("this week", _week),
    "month": ("this month", _month),
    "last-month": ("last month", _last_month),
}


def within(rows: QuerySet[Any], since: datetime | None, until: datetime | None) -> QuerySet[Any]:
    """Return the rows that the chain dates from `since` on and before `until`; None: no bound.

    Rows without a time, which were recovered from the contract's state, are in no period. A range of event ids lets the
    index that gives the order also bound it: ids grow with time.
    """
    if since is not None:
        first = _event_id(rows.model.objects.filter(created_at__gte=since).order_by("created_at", "order_key"))
        rows = rows.filter(
            Q(order_key__gte=first) | Q(order_key="") if first else Q(order_key=""), created_at__gte=since
        )
    if until is not None:
        last = _event_id(rows.model.objects.filter(created_at__lt=until).order_by("-created_at", "-order_key"))
        rows = rows.filter(order_key__lte=last or "", created_at__lt=until)
    return rows


def _event_id(rows: QuerySet[Any]) -> str | None:
    """Return the event id of the first of these rows that has one."""
    return rows.exclude(order_key="").values_list("order_key", flat=True).first()
