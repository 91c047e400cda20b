"""Gaps that a node with a longer memory can tell of: its events are read and applied, and the gap shrinks or closes."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce, Now

from ajo.indexer.backfill import AT_A_STRETCH
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap
from ajo.soroban.rpc.client import EventPage, SorobanClient
from ajo.soroban.rpc.errors import RpcLimitExceeded, RpcOutOfRange
from contributions.event_rows import decode_events, undecoded, write_history
from contributions.models import Contribution, Payout, Refund
from groups.models import Group
from groups.sync import store_undecoded

log = logging.getLogger(__name__)


def first_ledger(client: SorobanClient) -> int:
    """From where on events can be had. A node whose window is full prunes while we read: a little above its oldest."""
    health = client.get_health()
    is_pruning = health.latest_ledger - health.oldest_ledger + 1 >= health.retention
    return min(health.oldest_ledger + (2 if is_pruning else 0), health.latest_ledger)


def first_event_is_known() -> bool:
    """Whether the log begins where the contract's story does: with the creation of group 1."""
    first = ContractEvent.objects.exclude(group_id=None).order_by("id").values_list("type", "group_id").first()
    return first == ("created", 1)


def fill_gaps(client: SorobanClient, checkpoint: Checkpoint, oldest: int, counts: dict[str, int]) -> bool:
    """Read the events of recorded gaps that this node has, whose oldest ledger is `oldest`, newest gap first.

    False if some were read: what they changed is shown by the next pass, which goes on after some seconds' worth.
    Killed, it goes on where it committed last.
    """
    gaps = HistoryGap.objects.due_for_retry()
    if not gaps.filter(to_ledger__gte=oldest).exists():
        return True
    deadline, first = time.monotonic() + AT_A_STRETCH, first_ledger(client)
    counts["calls"] = counts.get("calls", 0) + 1
    has_read = False
    for gap in gaps.filter(to_ledger__gte=first):
        has_read = True
        try:
            if not _fill(client, checkpoint, _part(gap, first), deadline, counts):
                return False
        except RpcOutOfRange as failure:
            log.warning("gap %s: the node has pruned its events meanwhile: %s", gap, failure)
            return True
    if first_event_is_known():  # before it there was nothing
        HistoryGap.objects.missing().filter(from_ledger=0, to_ledger__lt=first).update(**_FILLED)
    return not has_read


_FILLED = {"filled_at": Now(), "recovered_at": Coalesce("recovered_at", Now())}


def _part(gap: HistoryGap, first: int) -> HistoryGap:
    """The gap from this ledger on; what comes before stays a gap of its own."""
    if gap.from_ledger >= first:
        return gap
    with transaction.atomic():
        HistoryGap.objects.filter(pk=gap.pk).update(to_ledger=first - 1)
        gap.pk, gap.from_ledger = None, first
        gap.save(force_insert=True)
    return gap


def _fill(
    client: SorobanClient, checkpoint: Checkpoint, gap: HistoryGap, deadline: float, counts: dict[str, int]
) -> bool:
    """False if the time is over before all is read."""
    cursor: str | None = None
    while time.monotonic() <= deadline:
        page = _page(client, checkpoint, gap, cursor, counts)
        entries = decode_events(page.events)
        cursor, filled_to = page.cursor, min(page.complete_to, gap.to_ledger)
        with transaction.atomic():
            told = write_history(entries)
            store_undecoded(undecoded(entries, page.latest_ledger))
            is_over = _note(gap, filled_to)
        for name, number in told.items():
            counts[f"filled_{name}"] = counts.get(f"filled_{name}", 0) + number
        if is_over:
            return True
    return False


def _note(gap: HistoryGap, filled_to: int) -> bool:
    """Note that the gap's events up to this ledger are told; True if there are no more, or some were left out.

    What was recovered from entries of these ledgers has its event now, or the node does not have them all.
    """
    row = HistoryGap.objects.filter(pk=gap.pk)
    ledgers = (gap.from_ledger, filled_to)
    if any(
        model.objects.filter(event_id=None, ledger__range=ledgers).exists() for model in (Contribution, Payout, Refund)
    ):
        log.warning("gap %s: the node left out events of ledgers %d to %d", gap, *ledgers)
        row.update(asked_at=Now())
        return True
    if filled_to >= gap.to_ledger:
        row.update(**_FILLED)
        return True
    if filled_to >= gap.from_ledger:
        gap.from_ledger = filled_to + 1
        row.update(from_ledger=gap.from_ledger)
    return False


def _page(
    client: SorobanClient, checkpoint: Checkpoint, gap: HistoryGap, cursor: str | None, counts: dict[str, int]
) -> EventPage:
    """The events after the cursor, or from the gap's beginning; fewer where the node gives up on so many at once."""
    limit = settings.RPC_EVENTS_LIMIT
    start = None if cursor else gap.from_ledger
    while True:
        counts["calls"] = counts.get("calls", 0) + 1
        try:
            return client.get_events(checkpoint.contract, limit=limit, cursor=cursor, start_ledger=start)
        except RpcLimitExceeded:
            if limit == 1:
                raise
            limit //= 2


def note_first_gap(checkpoint: Checkpoint, page: EventPage) -> None:
    """Record what happened before the first event that the node retained, if the contract is older than that.

    The contract's story begins with the creation of group 1; until an event is known, the group's own time tells.
    """
    first = Group.objects.order_by("id").values_list("created_at", flat=True).first()
    is_told = ContractEvent.objects.exclude(group_id=None).exists()
    begins_later = not first_event_is_known() if is_told else first is not None and first < page.oldest_closed_at
    if begins_later and not HistoryGap.objects.exists():
        note_gap(checkpoint, 0, checkpoint.start_ledger - 1, "the contract is older than what the RPC retained")


def note_gap(checkpoint: Checkpoint, from_ledger: int, to_ledger: int, why: str) -> None:
    """Record a stretch of history that the RPC no longer has, once."""
    HistoryGap.objects.get_or_create(
        network_passphrase=checkpoint.network_passphrase,
        contract=checkpoint.contract,
        from_ledger=from_ledger,
        to_ledger=to_ledger,
        defaults={"why": why},
    )
