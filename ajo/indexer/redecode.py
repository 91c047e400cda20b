"""Takes up what was set aside, once the binding can read it: after an upgrade of ours, or of what the chain holds."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery

from ajo.indexer.backfill import read_history
from ajo.soroban.contract.keys import GroupKey, InstanceKey, MetadataKey, RefundRequestKey, decode_key
from ajo.soroban.deadline import Deadline
from ajo.soroban.models import Checkpoint, ContractEvent, UndecodedEntry
from ajo.soroban.rpc.client import Run, SorobanClient
from ajo.soroban.rpc.errors import ChainError
from contributions.event_rows import LoggedEvent, decode_events, log_row, raw_event, replay, write_history
from contributions.evidence import backfill_rows
from groups.cached import refresh_groups
from groups.creation import read_groups
from groups.models import Group
from groups.sync import write_snapshots

BATCH = 100  # groups a transaction


def redecode(run_read: Run) -> tuple[int, int]:
    """Try every entry and event again; returns how many could be read now and how many still cannot."""
    checkpoint = Checkpoint.objects.current()
    if checkpoint and checkpoint.halt_reason:
        raise ChainError(checkpoint.halt_reason)
    before = UndecodedEntry.objects.count()
    waiting = UndecodedEntry.objects.exclude(group_id=None).values_list("group_id", flat=True)
    group_ids = sorted({group_id for group_id in waiting if group_id})
    for start in range(0, max(len(group_ids), 1), BATCH):
        batch = group_ids[start : start + BATCH]
        run_read(lambda client, some=batch: _groups(client, some))  # type: ignore[misc]
    _events(list(ContractEvent.objects.filter(id__in=UndecodedEntry.objects.values("key"))))
    left = UndecodedEntry.objects.count()
    return before - left, left


def resolve_undecoded(deadline: Deadline) -> None:
    """Settle what was set aside of groups that have been read whole since, or some of it. Asks the chain nothing."""
    newest = Checkpoint.objects.newest_possible()  # what was set aside at a later ledger, a liar told
    instance = Checkpoint.objects.order_by("id").values_list("contract", "instance_ledger").first()
    if instance and instance[1]:
        own = UndecodedEntry.objects.filter(key=InstanceKey().to_xdr(instance[0]))
        own.filter(Q(ledger__lt=instance[1]) | Q(ledger__gt=newest)).delete()
    synced = Group.objects.filter(pk=OuterRef("group_id"), unreadable_since=None).values("synced_ledger")
    later = UndecodedEntry.objects.exclude(group_id=None).annotate(read_at=Subquery(synced))
    is_later = Q(read_at__gte=F("ledger")) | Q(read_at__gt=0, ledger__gt=newest)
    entries = [entry for entry in later.filter(is_later) if _was_read(entry, entry.read_at, newest)]
    for start in range(0, len(entries), BATCH):
        with transaction.atomic():
            _settle(entries[start : start + BATCH])
        if deadline.is_past():
            return


def _was_read(entry: UndecodedEntry, ledger: int, newest: int) -> bool:
    """Whether the reading of its group at this ledger has read it. Without a name it is whole; history is not read."""
    match decode_key(entry.key)[1]:
        case GroupKey() | RefundRequestKey():
            return True
        case MetadataKey():
            return ledger > entry.ledger or entry.ledger > newest
        case _:
            return False


def _settle(entries: Sequence[UndecodedEntry]) -> None:
    """What happened in these groups while nobody could read them is in the log. What is set aside anew stays."""
    ledgers = {entry.pk: entry.ledger for entry in entries}
    now = UndecodedEntry.objects.filter(pk__in=ledgers).select_for_update()
    UndecodedEntry.objects.filter(pk__in=[e.pk for e in now if e.ledger == ledgers[e.pk]]).delete()
    replay(ContractEvent.objects.filter(group_id__in={entry.group_id for entry in entries}))


def _groups(client: SorobanClient, ids: list[int]) -> None:
    checkpoint = Checkpoint.objects.current()
    at_least = checkpoint.ledger if checkpoint else 0  # a row must not be older than the tables' label
    contract = settings.AJO_CONTRACT_ID
    snapshots = read_groups(client, contract, at_least, ids, with_instance=True)
    still = {undecoded.key for undecoded in snapshots.undecoded}
    changed = write_snapshots(snapshots)
    if snapshots.instance:  # the next pass takes what it says
        UndecodedEntry.objects.filter(key=InstanceKey().to_xdr(contract)).delete()
    proofs = read_history(client, contract, list(Group.objects.filter(id__in=snapshots.groups)), {}, again=True)
    with transaction.atomic():
        _settle(list(UndecodedEntry.objects.filter(group_id__in=snapshots.groups).exclude(key__in=still)))
        backfill_rows(proofs)  # sets aside again what still cannot be read
    refresh_groups(changed | snapshots.groups.keys())


def _events(rows: list[ContractEvent]) -> None:
    log: list[LoggedEvent] = [entry for entry in decode_events(map(raw_event, rows)) if entry.event]
    with transaction.atomic():
        ContractEvent.objects.bulk_update(
            [ContractEvent(**log_row(entry)) for entry in log], ["type", "group_id", "round", "data"]
        )
        write_history(log)
        UndecodedEntry.objects.filter(key__in=[entry.raw.id for entry in log]).delete()
