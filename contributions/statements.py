"""Statements: all that a wallet or a group paid, received and was refunded, oldest first, in constant memory.

Three tables are merged by event id, a batch of each at a time. Rows that were recovered without an event come first;
those without a time are left out where a period is asked for, and counted.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from django.db.models import Prefetch, QuerySet

from ajo.database.keyset import all_rows
from contributions.models import Contribution, HistoryRow, Payout, Refund
from contributions.periods import Period, within
from groups.models import Group, Token

BATCH = 500  # rows of one table in memory at a time
# each kind of row, with the word for it and the total that it adds to
KINDS: Final[dict[type[HistoryRow], tuple[str, str]]] = {
    Contribution: ("contribution", "paid"),
    Payout: ("payout", "received"),
    Refund: ("refund", "refunded"),
}
TOTALS: Final = tuple(total for _, total in KINDS.values())


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
        queryset = within(queryset, self.period, "order_within").order_by("order_within", "id")
        return all_rows(queryset, BATCH)
