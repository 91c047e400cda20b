"""What follows from a group's stored state and is computed when it is read. Nothing here looks at a clock."""

from __future__ import annotations

from datetime import datetime

from ajo.api.fields import add_seconds
from groups.models import Group, Token

DAY = 86_400  # seconds
MAX_FREQUENCY = 1_000_000  # days; beyond it nobody means a rhythm


def frequency(group: Group) -> int | None:
    """Whole days of a round, rounded up; None beyond a million."""
    days = -(-group.cycle_duration // DAY)
    return days if days <= MAX_FREQUENCY else None


def round_ends_at(group: Group) -> datetime | None:
    """`cycle_start_time + cycle_duration`, from when on paying is late."""
    return add_seconds(group.round_started_at, group.cycle_duration)


def grace_ends_at(group: Group) -> datetime | None:
    """From when on execute_payout() pays; the round's end in groups without a grace period."""
    return add_seconds(group.round_started_at, group.cycle_duration + (group.grace_period or 0))


def collected_amount(group: Group) -> int:
    """What the current round has collected so far."""
    return int(group.contribution_amount * group.contributions_received)


def payout_amount(group: Group) -> int:
    """What the next payout pays: execute_payout() takes the members that there are."""
    return int(group.contribution_amount * group.member_count)


def pays_out(group: Group) -> bool:
    """Whether a payout is to come: a finished group has none, though the contract's fields stay as they last were."""
    return group.status == Group.Status.ACTIVE and group.payout_index < group.member_count


def known_token(group: Group) -> Token | None:
    """The group's token, if it could be read at all."""
    return known(group.token)


def known(token: Token | None) -> Token | None:
    """The token, unless nothing that it says of itself could be read."""
    return token if token and (token.symbol is not None or token.decimals is not None) else None
