"""The schedule of a group: every round, who is paid in it, until when to pay, and what happened or is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from ajo.api.clock import chain_now
from ajo.api.fields import AddressField, AmountField, TimeField, U32Field, add_seconds
from ajo.api.schema import GROUP_ID
from contributions.models import Payout
from groups import schedule
from groups.models import Group, GroupMember
from groups.views import InGroupViewSet

STATUSES = ("paid", "current", "expected")


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a group. `due_at` and `grace_ends_at` are null where its beginning is not known."""

    round: int
    status: str
    recipient: str
    position: int
    starts_at: datetime | None
    due_at: datetime | None
    grace_ends_at: datetime | None
    amount: int | None
    paid_at: datetime | None
    tx_hash: str | None
    ledger: int | None


class RoundSerializer(serializers.Serializer[Round]):
    """A round: it was paid out, it is the current one, or it is expected."""

    round = U32Field(help_text="From 1.")
    status = serializers.ChoiceField(
        read_only=True, choices=[(each, each) for each in STATUSES], help_text="As the group's state has it."
    )
    recipient = AddressField(help_text="The member whose turn it is.")
    position = U32Field(help_text="The recipient's place in the payout order, from 0.")
    starts_at = TimeField(
        allow_null=True, help_text="When it began; of an expected round, the earliest time. Null if not known."
    )
    due_at = TimeField(
        allow_null=True, help_text="Until when paying is in time; of an expected round, the earliest such time."
    )
    grace_ends_at = TimeField(
        allow_null=True, help_text="From when on it can be paid out; of an expected round, at the earliest."
    )
    amount = AmountField(
        allow_null=True,
        help_text="What was paid, or is to be with the members that there are now; null if the payout is unknown.",
    )
    paid_at = TimeField(allow_null=True, help_text="When it was paid out; null if it was not, or nobody knows when.")
    tx_hash = serializers.CharField(read_only=True, allow_null=True, help_text="The payout's transaction, if known.")
    ledger = U32Field(allow_null=True, help_text="The payout's ledger, if known.")


@extend_schema_view(
    list=extend_schema(
        summary="Every round of a group, first to last",
        description="A group has a round for each member. Times of rounds to come are the earliest possible: everyone "
        "pays in time and somebody calls each payout at once. Of a cancelled group only the rounds that were paid out "
        "are listed. Computed when asked.",
        parameters=[GROUP_ID],
    )
)
class ScheduleViewSet(InGroupViewSet):
    queryset = (
        GroupMember.objects.select_related("group")
        .prefetch_related("user")
        .defer("group__entry_xdr", "group__metadata_xdr", "group__description", "group__rules")
        .order_by("position")
    )
    serializer_class = RoundSerializer
    edge_cacheable = False

    def to_objects(self, rows: Sequence[GroupMember]) -> Sequence[Round]:
        if not rows:
            return []
        group = rows[0].group
        numbers = [number for row in rows for number in (row.position, row.position + 1)]  # a round, and the one before
        payouts = {payout.round: payout for payout in Payout.objects.filter(group=group, round__in=numbers)}
        now = chain_now()
        is_over = group.status != Group.Status.ACTIVE
        return [_round(row, payouts, now) for row in rows if row.position < group.payout_index or not is_over]


def _round(member: GroupMember, payouts: Mapping[int, Payout], now: datetime) -> Round:
    group, number = member.group, member.position + 1
    ahead = member.position - group.payout_index
    status = STATUSES[(ahead > 0) - (ahead < 0) + 1]
    starts_at = _starts_at(group, number, ahead, payouts, now)
    payout = payouts.get(number) if ahead < 0 else None
    amount = payout.amount if payout else None if ahead < 0 else schedule.payout_amount(group)
    return Round(
        round=number,
        status=status,
        recipient=member.user.wallet_address,
        position=member.position,
        starts_at=starts_at,
        due_at=add_seconds(starts_at, group.cycle_duration),
        grace_ends_at=add_seconds(starts_at, group.cycle_duration + (group.grace_period or 0)),
        amount=None if amount is None else int(amount),
        paid_at=payout.created_at if payout else None,
        tx_hash=payout.tx_hash if payout else None,
        ledger=payout.ledger if payout else None,
    )


def _starts_at(group: Group, number: int, ahead: int, payouts: Mapping[int, Payout], now: datetime) -> datetime | None:
    """Return when a round begins: with the payout of the one before, the first with the group (docs/chain.md §1.1)."""
    if ahead == 0:
        return group.round_started_at
    if ahead < 0:
        before: Any = payouts.get(number - 1)
        return group.created_at if number == 1 else before.created_at if before else None
    ends = schedule.grace_ends_at(group)
    if ends is None:
        return None
    return add_seconds(max(ends, now), (ahead - 1) * (group.cycle_duration + (group.grace_period or 0)))
