"""Records gaps in the event stream, and fills them from a node that has retained their events."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce, Now

from ajo.indexer.backfill import PASS_BUDGET
from ajo.indexer.pages import read_page
from ajo.indexer.runs import Counts
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap
from ajo.soroban.rpc.answers import EventPage
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import RpcOutOfRange
from contributions.event_rows import decode_events, undecoded_events, write_history
from contributions.models import HISTORY
from groups.models import Group
from groups.sync import store_undecoded

logger = logging.getLogger(__name__)


def first_ledger(client: SorobanClient) -> int:
    """Return the first ledger whose events can be had: a little above a pruning node's oldest."""
    health = client.get_health()
    is_pruning = health.latest_ledger - health.oldest_ledger + 1 >= health.retention
    return min(health.oldest_ledger + (2 if is_pruning else 0), health.latest_ledger)


def first_event_is_known() -> bool:
    """Return whether the log begins with the creation of group 1, the contract's first event."""
    first = ContractEvent.objects.exclude(group_id=None).order_by("id").values_list("type", "group_id").first()
    return first == ("created", 1)


def fill_gaps(client: SorobanClient, checkpoint: Checkpoint, oldest: int, counts: Counts) -> bool:
    """Read the events of recorded gaps that this node has retained, newest gap first. `oldest`: its oldest ledger.

    Returns False if some were read: the next pass brings the cache to what they changed, and goes on. Stops after
    PASS_BUDGET seconds. Resumable: each page's events commit with the gap's new beginning. Logs and returns True if the
    node has pruned the events meanwhile.
    """
    gaps = HistoryGap.objects.due_for_retry()
    if not gaps.filter(to_ledger__gte=oldest).exists():
        return True
    deadline, first = time.monotonic() + PASS_BUDGET, first_ledger(client)
    has_read = False
    for gap in gaps.filter(to_ledger__gte=first):
        has_read = True
        try:
            if not _fill(client, checkpoint, _part(gap, first), deadline, counts):
                return False
        except RpcOutOfRange as failure:
            logger.warning("gap %s: the node has pruned its events meanwhile: %s", gap, failure)
            return True
    if first_event_is_known():  # before it there was nothing
        HistoryGap.objects.missing().filter(from_ledger=0, to_ledger__lt=first).update(**_FILLED)
    return not has_read


_FILLED = {"filled_at": Now(), "recovered_at": Coalesce("recovered_at", Now())}


def _part(gap: HistoryGap, first: int) -> HistoryGap:
    """Return the gap from ledger `first` on; the ledgers before become a gap of their own."""
    if gap.from_ledger >= first:
        return gap
    with transaction.atomic():
        HistoryGap.objects.filter(pk=gap.pk).update(to_ledger=first - 1)
        gap.pk, gap.from_ledger = None, first
        gap.save(force_insert=True)
    return gap


def _fill(client: SorobanClient, checkpoint: Checkpoint, gap: HistoryGap, deadline: float, counts: Counts) -> bool:
    """Read and apply the gap's events. Returns False if the deadline (time.monotonic) passes first."""
    cursor = ""
    while time.monotonic() <= deadline:
        page, _ = read_page(
            client, checkpoint.contract, settings.RPC_EVENTS_LIMIT, cursor=cursor, start_ledger=gap.from_ledger
        )
        entries = decode_events(page.events)
        cursor, filled_to = page.cursor, min(page.complete_to, gap.to_ledger)
        with transaction.atomic():
            written = write_history(entries)
            store_undecoded(undecoded_events(entries, page.latest_ledger))
            # one node delivered them: the next check of the log asks for them again
            unchecked = Checkpoint.objects.filter(pk=checkpoint.pk, events_checked_to__gte=gap.from_ledger)
            unchecked.update(events_checked_to=max(gap.from_ledger - 1, 1))
            is_over = _shrink(gap, filled_to)
        counts.update({f"filled_{name}": number for name, number in written.items()})
        if is_over:
            return True
    return False


def _shrink(gap: HistoryGap, filled_to: int) -> bool:
    """Note that the gap's events up to ledger `filled_to` are read. Returns True if the node has no more to offer.

    If a row that was recovered from an entry of these ledgers has no event still, the node has left events out: that is
    logged, and the gap stays as it is.
    """
    row = HistoryGap.objects.filter(pk=gap.pk)
    ledgers = (gap.from_ledger, filled_to)
    if any(model.objects.filter(event_id=None, ledger__range=ledgers).exists() for model in HISTORY):
        logger.warning("gap %s: the node left out events of ledgers %d to %d", gap, *ledgers)
        row.update(asked_at=Now())
        return True
    if filled_to >= gap.to_ledger:
        row.update(**_FILLED)
        return True
    if filled_to >= gap.from_ledger:
        gap.from_ledger = filled_to + 1
        row.update(from_ledger=gap.from_ledger)
    return False


def record_first_gap(checkpoint: Checkpoint, page: EventPage) -> None:
    """Record the ledgers before the first event that the node retained as a gap, if the contract is older than that.

    The contract's first event is the creation of group 1. Until an event is known, the time of that group decides.
    """
    first = Group.objects.order_by("id").values_list("created_at", flat=True).first()
    has_events = ContractEvent.objects.exclude(group_id=None).exists()
    begins_later = not first_event_is_known() if has_events else first is not None and first < page.oldest_closed_at
    if begins_later and not HistoryGap.objects.exists():
        record_gap(checkpoint, 0, checkpoint.start_ledger - 1, "the contract is older than what the RPC retained")


def record_gap(checkpoint: Checkpoint, from_ledger: int, to_ledger: int, why: str) -> None:
    """Record ledgers whose events the RPC no longer has. Idempotent."""
    HistoryGap.objects.get_or_create(
        network_passphrase=checkpoint.network_passphrase,
        contract=checkpoint.contract,
        from_ledger=from_ledger,
        to_ledger=to_ledger,
        defaults={"why": why},
    )
