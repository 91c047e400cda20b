"""Decodes stored undecoded entries and events again: after an upgrade of ours, or once the chain holds others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery

from ajo.indexer.backfill import read_history
from ajo.indexer.lease import LEASE_PATIENCE
from ajo.indexer.runs import heartbeat, record_run
from ajo.soroban.contract.keys import GroupKey, InstanceKey, MetadataKey, RefundRequestKey, decode_key
from ajo.soroban.deadline import Deadline
from ajo.soroban.models import Checkpoint, ContractEvent, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import Run, SorobanClient
from ajo.soroban.rpc.errors import ChainError
from contributions.event_rows import LoggedEvent, decode_logged, log_row, replay, write_history
from contributions.evidence import backfill_rows
from groups.cached import refresh_groups
from groups.creation import read_groups
from groups.models import Group
from groups.sync import write_snapshots

REDECODE_BATCH = 100  # groups a transaction


def redecode(run_read: Run) -> tuple[int, int]:
    """Try every stored undecoded entry and event again, recorded as one SyncRun.

    Returns how many could be decoded now, and how many still cannot. Raises ChainError if the sync is halted or no node
    answers, Superseded if another redecode is running.
    """
    checkpoint = Checkpoint.objects.current()
    if checkpoint and checkpoint.halt_reason:
        raise ChainError(checkpoint.halt_reason)
    with record_run(SyncRun.Kind.REDECODE, LEASE_PATIENCE) as (run, handle):
        run.ledger = checkpoint.ledger if checkpoint else None
        before = UndecodedEntry.objects.count()
        undecoded_ids = UndecodedEntry.objects.exclude(group_id=None).values_list("group_id", flat=True)
        group_ids = sorted({group_id for group_id in undecoded_ids if group_id})
        for start in range(0, max(len(group_ids), 1), REDECODE_BATCH):  # once without groups: the instance entry's turn
            batch = group_ids[start : start + REDECODE_BATCH]
            run_read(partial(_redecode_groups, ids=batch, beat=heartbeat(run.counts, handle)))
        _redecode_events(list(ContractEvent.objects.filter(id__in=UndecodedEntry.objects.values("key"))))
        left = UndecodedEntry.objects.count()
        run.counts.update(decoded=before - left, undecoded=left)
    return before - left, left


def resolve_undecoded(deadline: Deadline) -> None:
    """Delete undecoded entries of groups that have been read whole since, and replay those groups' events.

    Works in batches and stops after the first one that ends past the deadline; the next pass goes on. Nothing here asks
    the chain.
    """
    newest = Checkpoint.objects.newest_possible()  # a later ledger is a faulty node's
    instance = Checkpoint.objects.order_by("id").values_list("contract", "instance_ledger").first()
    if instance and instance[1]:
        own = UndecodedEntry.objects.filter(key=InstanceKey().to_xdr(instance[0]))
        own.filter(Q(ledger__lt=instance[1]) | Q(ledger__gt=newest)).delete()
    synced = Group.objects.filter(pk=OuterRef("group_id"), unreadable_since=None).values("synced_ledger")
    waiting = UndecodedEntry.objects.exclude(group_id=None).annotate(read_at=Subquery(synced))
    is_later = Q(read_at__gte=F("ledger")) | Q(read_at__gt=0, ledger__gt=newest)
    entries = [entry for entry in waiting.filter(is_later) if _was_read(entry, entry.read_at, newest)]
    for start in range(0, len(entries), REDECODE_BATCH):
        with transaction.atomic():
            _settle(entries[start : start + REDECODE_BATCH])
        if deadline.is_past():
            return


def _was_read(entry: UndecodedEntry, ledger: int, newest: int) -> bool:
    """Return whether the snapshot of its group at this ledger has read the entry. Snapshots do not read history."""
    match decode_key(entry.key)[1]:
        case GroupKey() | RefundRequestKey():
            return True
        case MetadataKey():
            return ledger > entry.ledger or entry.ledger > newest
        case _:
            return False


def _settle(entries: Sequence[UndecodedEntry]) -> None:
    """Delete these entries, unless stored anew meanwhile, and replay what the log has of their groups."""
    ledgers = {entry.pk: entry.ledger for entry in entries}
    now = UndecodedEntry.objects.filter(pk__in=ledgers).select_for_update()
    UndecodedEntry.objects.filter(pk__in=[e.pk for e in now if e.ledger == ledgers[e.pk]]).delete()
    replay(ContractEvent.objects.filter(group_id__in={entry.group_id for entry in entries}))


def _redecode_groups(client: SorobanClient, *, ids: list[int], beat: Callable[[], None]) -> None:
    """Read these groups and the instance entry anew, and write what can be decoded now."""
    client = client.with_heartbeat(beat)
    checkpoint = Checkpoint.objects.current()
    at_least = checkpoint.ledger if checkpoint else 0  # a row must not be older than the tables' label
    contract = settings.AJO_CONTRACT_ID
    snapshots = read_groups(client, contract, at_least, ids, with_instance=True)
    still = {undecoded.key for undecoded in snapshots.undecoded}
    changed = write_snapshots(snapshots)
    if snapshots.instance:  # the next pass takes what it says
        UndecodedEntry.objects.filter(key=InstanceKey().to_xdr(contract)).delete()
    all_evidence = read_history(client, contract, list(Group.objects.filter(id__in=snapshots.groups)), again=True)
    with transaction.atomic():
        _settle(list(UndecodedEntry.objects.filter(group_id__in=snapshots.groups).exclude(key__in=still)))
        backfill_rows(all_evidence)  # stores again what still cannot be decoded
    refresh_groups(changed | snapshots.groups.keys())


def _redecode_events(rows: list[ContractEvent]) -> None:
    """Decode these logged events again, and write the history of those that can be decoded now."""
    log: list[LoggedEvent] = [entry for entry in decode_logged(rows) if entry.event]
    with transaction.atomic():
        ContractEvent.objects.bulk_update(
            [ContractEvent(**log_row(entry)) for entry in log], ["type", "group_id", "round", "data"]
        )
        write_history(log)
        UndecodedEntry.objects.filter(key__in=[entry.raw.id for entry in log]).delete()
