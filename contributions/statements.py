"""Statements: all that a wallet or a group paid, received and was refunded, oldest first, in constant memory.

Three tables are merged by event id, a batch of each at a time. Rows that were recovered without an event come first;
those without a time are left out where a period is asked for, and counted.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from django.db.models import Prefetch, Q, QuerySet

from ajo.database.keyset import read_page
from contributions.models import Contribution, HistoryRow, Payout, Refund
from groups.models import Group, Token

BATCH = 500  # rows of one table in memory at a time
# each kind of row, with the word for it and the total that it adds to
KINDS: Final[dict[type[HistoryRow], tuple[str, str]]] = {
    Contribution: ("contribution", "paid"),
    Payout: ("payout", "received"),
    Refund: ("refund", "refunded"),
}
TOTALS: Final = tuple(total for _, total in KINDS.values())


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a statement covers: `since` is within, `until` no more. None: open."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.since is None and self.until is None


@dataclass(slots=True)
class Statement:
    """The rows of one wallet or group (`of`: the filter that names it) in a period, and their totals so far."""

    of: dict[str, Any]
    period: Period
    totals: dict[str | None, dict[str, int]] = field(default_factory=dict)  # by token address

    def rows(self) -> Iterator[HistoryRow]:
        """Yield the rows, oldest first, and add each to the totals."""
        parts = [self._rows_of(model) for model in KINDS]
        for row in heapq.merge(*parts, key=attrgetter("order_within")):
            total = self.totals.setdefault(row.group.token_id, dict.fromkeys(TOTALS, 0))
            total[KINDS[type(row)][1]] += int(row.amount)
            yield row

    def undated(self) -> int:
        """Return how many rows the period leaves out because nobody knows their time."""
        if self.period.is_open:
            return 0
        return sum(
            model._default_manager.filter(**self.of, order_within="", created_at=None).count() for model in KINDS
        )

    def tokens(self) -> dict[str, Token]:
        """Return the tokens of the totals, by address."""
        addresses = [address for address in self.totals if address]
        return {token.address: token for token in Token.objects.filter(address__in=addresses)}

    def _rows_of(self, model: type[HistoryRow]) -> Iterator[HistoryRow]:
        groups = Prefetch("group", Group.objects.only("id", "name", "token").prefetch_related("token"))
        queryset: QuerySet[Any] = model._default_manager.filter(**self.of).prefetch_related("user", groups)
        queryset = self._within(model, queryset).order_by("order_within", "id")
        page = read_page(queryset, BATCH, None)
        while page.rows:
            yield from page.rows
            if page.next is None:
                return
            page = read_page(queryset, BATCH, page.next)

    def _within(self, model: type[HistoryRow], queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the period, by bounds on the event id: the index of a wallet or group has no times."""
        if self.period.is_open:
            return queryset
        announced, recovered = Q(order_within__gt=""), Q(order_within="", created_at__isnull=False)
        if since := self.period.since:
            first = _first_key_from(model, since)
            announced &= Q(order_within__gte=first) if first else Q(pk__in=())
            recovered &= Q(created_at__gte=since)
        if until := self.period.until:
            end = _first_key_from(model, until)
            announced &= Q(order_within__lt=end) if end else Q()
            recovered &= Q(created_at__lt=until)
        # of the recovered rows only refunds have a time
        return queryset.filter(announced | recovered if model is Refund else announced)


def _first_key_from(model: type[HistoryRow], moment: datetime) -> str | None:
    """Return the first event id of the table at that time or later: ids grow with time. None without one."""
    rows = (
        model._default_manager.filter(created_at__gte=moment).exclude(order_key="").order_by("created_at", "order_key")
    )
    key: str | None = rows.values_list("order_key", flat=True).first()
    return key
