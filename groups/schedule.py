"""The schedule of a group: what follows from its stored state (docs/chain.md §1.1). Nothing here reads a clock."""

from __future__ import annotations

from datetime import datetime

from ajo.api.fields import add_seconds
from groups.models import Group, Token

DAY = 86_400  # seconds
MAX_FREQUENCY = 1_000_000  # days; a longer round is no meaningful rhythm


def frequency(group: Group) -> int | None:
    """Return the length of a round in whole days, rounded up; None beyond MAX_FREQUENCY."""
    days = -(-group.cycle_duration // DAY)
    return days if days <= MAX_FREQUENCY else None


def round_ends_at(group: Group) -> datetime | None:
    """Return `cycle_start_time + cycle_duration`, after which a payment is late; None where no calendar holds it."""
    return add_seconds(group.round_started_at, group.cycle_duration)


def grace_ends_at(group: Group) -> datetime | None:
    """Return when execute_payout() begins to pay: the round's end plus the grace period, if there is one; or None."""
    return add_seconds(group.round_started_at, group.cycle_duration + (group.grace_period or 0))


def collected_amount(group: Group) -> int:
    """Return what the current round has collected so far, in the token's smallest unit."""
    return int(group.contribution_amount * group.contributions_received)


def payout_amount(group: Group) -> int:
    """Return what the next payout pays, in the token's smallest unit: amount × members (docs/chain.md §1.3)."""
    return int(group.contribution_amount * group.member_count)


def is_active(group: Group) -> bool:
    """Return whether the group is neither completed nor cancelled."""
    return group.status == Group.Status.ACTIVE


def pays_out(group: Group) -> bool:
    """Return whether a payout is to come. In a finished group none is, though its fields keep their last values."""
    return is_active(group) and group.payout_index < group.member_count


def readable_token(token: Token | None) -> Token | None:
    """Return the token, or None where neither its symbol nor its decimals could be read."""
    return token if token and (token.symbol is not None or token.decimals is not None) else None
