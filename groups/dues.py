"""The dues of a member: what it has to pay and when it is paid, from the stored state and the time `now`."""

from __future__ import annotations

from datetime import datetime

from ajo.api.fields import add_seconds
from groups import schedule
from groups.models import GroupMember


def is_paid_out(member: GroupMember) -> bool:
    """Return whether the member has taken its payout: they are made in join order."""
    return member.position < member.group.payout_index


def payout_round(member: GroupMember) -> int | None:
    """Return the round in which the member is paid, from 1; None once it was. Round and payout index move together."""
    return None if is_paid_out(member) else member.group.current_round + member.position - member.group.payout_index


def amount_due(member: GroupMember) -> int:
    """Return what the member has to pay now, in the token's smallest unit; 0 once it has paid this round."""
    return 0 if member.has_contributed else member.group.contribution_amount


def payout_amount(member: GroupMember) -> int | None:
    """Return what the member's payout pays with the members that there are now; None once it was paid."""
    return None if is_paid_out(member) else schedule.payout_amount(member.group)


def payout_at(member: GroupMember, now: datetime) -> datetime | None:
    """Return the earliest time of the member's payout; None once it was paid, or where no calendar holds the time.

    Each round until then lasts its duration and grace period, and the current one ends at `now` or later.
    """
    group = member.group
    ahead = member.position - group.payout_index
    ends = schedule.grace_ends_at(group)
    if ahead < 0 or ends is None:
        return None
    return add_seconds(max(ends, now), ahead * (group.cycle_duration + (group.grace_period or 0)))


def is_overdue(member: GroupMember, now: datetime) -> bool:
    """Return whether the current round has ended and this member has not paid it."""
    ends = schedule.round_ends_at(member.group)
    return not member.has_contributed and ends is not None and now > ends
