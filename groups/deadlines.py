"""When rounds end, as SQL: what lists of overdue groups and due payouts are filtered, ordered and indexed by.

The same rules as groups.schedule (docs/chain.md §1.3). Times are Unix times in seconds, as float8: durations are u64,
and no calendar holds all of the sums. Null where the round has no known beginning.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db import models
from django.db.models import F, Q


class RoundEnd(models.Func):
    """The time after which paying is late."""

    output_field = models.FloatField()
    columns: tuple[str, ...] = ("cycle_duration",)

    def __init__(self) -> None:
        super().__init__(F("round_started_at"), *(F(name) for name in self.columns))

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]  # less is taken
        began, *durations = (compiler.compile(each)[0] for each in self.source_expressions)
        # AT TIME ZONE makes it immutable, which an index demands
        terms = [f"extract(epoch FROM {began} AT TIME ZONE 'UTC')::float8"]
        return f"({' + '.join([*terms, *(f'coalesce({each}, 0)::float8' for each in durations)])})", []


class GraceEnd(RoundEnd):
    """The time from which on a round that everyone has paid can be paid out."""

    columns = ("cycle_duration", "grace_period")


UNPAID: Final = Q(status="active", contributions_received__lt=F("member_count"))
PAID: Final = Q(status="active", contributions_received=F("member_count"))
INDEXES: Final = [
    models.Index(RoundEnd(), "id", condition=UNPAID, name="grp_unpaid_round_end"),
    models.Index(GraceEnd(), "id", condition=PAID, name="grp_paid_grace_end"),
]


def overdue(queryset: models.QuerySet[Any], now: datetime, *, wanted: bool) -> models.QuerySet[Any]:
    """Return the active groups whose round has ended before everyone paid, or (not `wanted`) all others.

    Each row has `round_end`.
    """
    is_overdue = UNPAID & Q(round_end__isnull=False, round_end__lt=now.timestamp())
    queryset = queryset.annotate(round_end=RoundEnd())
    return queryset.filter(is_overdue) if wanted else queryset.exclude(is_overdue)


def payout_due(queryset: models.QuerySet[Any], now: datetime, *, wanted: bool) -> models.QuerySet[Any]:
    """Return the active groups that everyone has paid and whose payout may be taken, or (not `wanted`) all others.

    Each row has `grace_end`.
    """
    is_due = PAID & Q(grace_end__isnull=False, grace_end__lte=now.timestamp(), payout_index__lt=F("member_count"))
    queryset = queryset.annotate(grace_end=GraceEnd())
    return queryset.filter(is_due) if wanted else queryset.exclude(is_due)
