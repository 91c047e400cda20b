"""What people may have to do about groups: cards of the front page, each with a link to the rows behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, QuerySet
from django.db.models.functions import TruncDate
from django.template.defaultfilters import pluralize

from ajo.adminkit.display import changelist_url
from ajo.soroban.models import ChainTransaction
from contributions.models import Contribution
from contributions.periods import parse_period, within
from groups import deadlines
from groups.models import Group, RefundRequest

MAX_COUNT: Final = 1000  # rows; more are shown as "more than"
CHART_DAYS: Final = 14
MAX_CHARTED: Final = 100_000  # contributions
CHART_WIDTH, CHART_HEIGHT, BAR_WIDTH = 560, 120, 32  # of the drawing's own units


@dataclass(frozen=True, slots=True)
class Card:
    """A number with a name and the page of its rows. `waits`: a person may have to do something about them."""

    name: str
    value: str
    address: str
    waits: bool = False


def cards(now: datetime) -> list[Card]:
    """Return the cards in the order of the page. `now`: the time by which rounds are over."""
    active = Group.objects.filter(status=Group.Status.ACTIVE)
    votes = RefundRequest.objects.filter(executed=False, voting_deadline__gte=now, group__status=Group.Status.ACTIVE)
    pending = ChainTransaction.objects.filter(status=ChainTransaction.Status.PENDING)
    overdue = deadlines.overdue(active, now, wanted=True)
    payouts = deadlines.payout_due(active, now, wanted=True)
    return [
        _card("Active groups", active, Group, {"status": "active"}),
        _card("Groups with overdue payments", overdue, Group, {"due": "overdue"}, may_wait=True),
        _card("Payouts due and not taken", payouts, Group, {"due": "payout"}, may_wait=True),
        _card("Refund votes open", votes, Group, {"due": "vote"}, may_wait=True),
        _card("Contributions today", _in("today", now), Contribution, {"period": "today"}),
        _card("Contributions this week", _in("week", now), Contribution, {"period": "week"}),
        _card("Transactions pending", pending, ChainTransaction, {"status": "pending"}),
    ]


def _in(name: str, now: datetime) -> QuerySet[Any]:
    return within(Contribution.objects.all(), parse_period(name, now), "order_key")


def _card(name: str, rows: QuerySet[Any], model: Any, lookups: Mapping[str, str], *, may_wait: bool = False) -> Card:
    count = len(rows.order_by().values_list("pk")[: MAX_COUNT + 1])
    text = f"more than {MAX_COUNT:,}" if count > MAX_COUNT else f"{count:,}"
    return Card(name, text, changelist_url(model, lookups), may_wait and count > 0)


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of the chart: `x`, `y`, `height` in the drawing's units."""

    day: datetime
    count: int
    x: int
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Contributions a day, drawn as SVG by a template. `words` say the same for those who do not see it."""

    bars: list[Bar]
    words: str
    width: int = CHART_WIDTH
    height: int = CHART_HEIGHT
    bar_width: int = BAR_WIDTH


def chart(now: datetime) -> Chart:
    """Return the contributions of the last CHART_DAYS days, today's among them, by days in UTC.

    Of more than MAX_CHARTED the newest ones are drawn.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in reversed(range(CHART_DAYS))]
    times = Contribution.objects.filter(created_at__gte=days[0]).order_by("-created_at", "-order_key")
    cut = times.values_list("created_at", flat=True)[MAX_CHARTED:].first()
    drawn = times.filter(created_at__gt=cut) if cut else times
    counts = dict(drawn.order_by().values_list(TruncDate("created_at")).annotate(Count("pk")))
    most = max(counts.values(), default=0)
    bars = []
    for place, day in enumerate(days):
        count = counts.get(day.date(), 0)
        height = round(CHART_HEIGHT * count / most) if most else 0
        bars.append(Bar(day, count, place * CHART_WIDTH // CHART_DAYS, CHART_HEIGHT - height, height))
    total = sum(bar.count for bar in bars)
    newest = f"The newest alone, later than {cut:%Y-%m-%d %H:%M}: " if cut else ""
    words = f"{newest}{total:,} contribution{pluralize(total)} in {CHART_DAYS} days, {bars[-1].count:,} of them today"
    return Chart(bars, words + (f"; the most in a day were {most:,}." if most else "."))
