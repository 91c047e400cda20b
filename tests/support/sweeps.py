"""The sweeps that heal a group, and what the tables hold of the chain."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

from django.core.management import call_command

from ajo.indexer.discrepancies import COLUMNS
from ajo.indexer.verify_history import daily_quota, sweep_deep
from ajo.soroban.models import ContractEvent
from ajo.soroban.rpc.pool import nodes
from contributions.models import HISTORY
from groups.models import Group, GroupMember, RefundRequest
from groups.rows import ENTRY_FIELDS, REFUND_REQUEST_FIELDS


def stored_state() -> dict[str, list[Any]]:
    """Return all that the tables hold of the chain, without the times and ledgers of its reading."""
    history = {
        model.plural(): list(model.objects.order_by("group", "round", "user").values(*COLUMNS[model]))
        for model in HISTORY
    }
    members = GroupMember.objects.order_by("group", "position")
    return history | {
        "groups": list(Group.objects.order_by("id").values("id", *ENTRY_FIELDS)),
        "members": list(members.values("group", "user", "position", "joined_at", "has_contributed")),
        "requests": list(RefundRequest.objects.values(*REFUND_REQUEST_FIELDS)),
        "events": list(ContractEvent.objects.order_by("id").values()),
    }


def drifted() -> list[int]:
    """Return the ids of the groups that a sweep found other than the chain, and forget it."""
    found = Group.objects.filter(drifted_at__isnull=False)
    ids = list(found.order_by("pk").values_list("pk", flat=True))
    found.update(drifted_at=None)
    return ids


Sweep = Callable[[int], None]


def by_name(group_id: int) -> None:
    """Sweep one group."""
    call_command("sweep", str(group_id), stdout=StringIO())


def by_name_deeply(group_id: int) -> None:
    """Sweep one group deeply."""
    call_command("sweep", "--deep", str(group_id), stdout=StringIO())


def by_the_daily_share(group_id: int) -> None:
    """Sweep the share of a day deeply, whatever the group."""
    for _ in sweep_deep(nodes().run, limit=daily_quota()):
        pass


SWEEPS = [by_name, by_name_deeply, by_the_daily_share]
