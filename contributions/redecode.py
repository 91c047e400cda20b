"""Takes up what was set aside, after an upgrade of ours taught the binding to read it."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import transaction

from ajo.soroban.binding.keys import InstanceKey
from ajo.soroban.client import RawEvent, SorobanClient
from ajo.soroban.models import Checkpoint, ContractEvent, UndecodedEntry
from contributions.history import LoggedEvent, decode_events, log_row, write_history
from groups.readings import GroupReader
from groups.reads import refresh_groups
from groups.sync import set_aside, write_groups

BATCH = 100  # groups a transaction


def redecode(run_read: Callable[[Callable[[SorobanClient], None]], None]) -> tuple[int, int]:
    """Try every entry and event again; returns how many could be read now and how many still cannot."""
    before = UndecodedEntry.objects.count()
    waiting = UndecodedEntry.objects.exclude(group_id=None).values_list("group_id", flat=True)
    group_ids = sorted({group_id for group_id in waiting if group_id})
    for start in range(0, max(len(group_ids), 1), BATCH):
        batch = group_ids[start : start + BATCH]
        run_read(lambda client, some=batch: _groups(client, some))  # type: ignore[misc]
    _events(list(ContractEvent.objects.filter(id__in=UndecodedEntry.objects.values("key"))))
    left = UndecodedEntry.objects.count()
    return before - left, left


def _groups(client: SorobanClient, ids: list[int]) -> None:
    checkpoint = Checkpoint.objects.current()
    at_least = checkpoint.ledger if checkpoint else 0  # a row must not be older than the tables' label
    instance_key = InstanceKey().to_xdr(settings.AJO_CONTRACT_ID)
    readings = GroupReader(client, settings.AJO_CONTRACT_ID, at_least).read(ids, with_instance=True)
    with transaction.atomic():
        write_groups(readings.groups)
        set_aside(readings.undecoded)
        still = {undecoded.key for undecoded in readings.undecoded}
        UndecodedEntry.objects.filter(group_id__in=readings.groups).exclude(key__in=still).delete()
        if readings.instance:  # the next pass takes what it says
            UndecodedEntry.objects.filter(key=instance_key).delete()
        # what happened in these groups while they had no row is in the log
        rows = ContractEvent.objects.filter(group_id__in=readings.groups).order_by("id")
        write_history(decode_events(_raw(row) for row in rows))
    refresh_groups(readings.groups)


def _events(rows: list[ContractEvent]) -> None:
    log: list[LoggedEvent] = [entry for entry in decode_events(map(_raw, rows)) if entry.event]
    with transaction.atomic():
        ContractEvent.objects.bulk_update(map(log_row, log), ["type", "group_id", "round", "data"])
        write_history(log)
        UndecodedEntry.objects.filter(key__in=[entry.raw.id for entry in log]).delete()


def _raw(row: ContractEvent) -> RawEvent:
    return RawEvent(
        id=row.id,
        is_system=row.is_system,
        ledger=row.ledger,
        closed_at=row.created_at,
        tx_hash=row.tx_hash,
        topics=tuple(row.topics),
        value=row.value,
    )
