"""Records stretches of history that the RPC no longer has."""

from __future__ import annotations

from ajo.soroban.client import EventPage
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap
from groups.models import Group


def note_first_gap(checkpoint: Checkpoint, page: EventPage) -> None:
    """What happened before the first event that the node retained, if the contract is older than that.

    The contract's story begins with the creation of group 1; until an event is known, the group's own time tells.
    """
    told = ContractEvent.objects.exclude(group_id=None).order_by("id").values_list("type", "group_id").first()
    first = Group.objects.order_by("id").values_list("created_at", flat=True).first()
    begins_later = told != ("created", 1) if told else first is not None and first < page.oldest_closed_at
    if begins_later and not HistoryGap.objects.exists():
        note_gap(checkpoint, 0, checkpoint.start_ledger - 1, "the contract is older than what the RPC retained")


def note_gap(checkpoint: Checkpoint, from_ledger: int, to_ledger: int, why: str) -> None:
    HistoryGap.objects.get_or_create(
        network_passphrase=checkpoint.network_passphrase,
        contract=checkpoint.contract,
        from_ledger=from_ledger,
        to_ledger=to_ledger,
        defaults={"why": why},
    )
