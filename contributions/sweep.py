"""The sweep: every group's GROUP and METADATA entries, 200 keys a call, compared with what is stored.

What equals the stored XDR is not decoded. What differs is read whole and written, never over a newer row; if no event
has announced it, or will, it is drift, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import F

from ajo.soroban.binding.keys import GroupKey, MetadataKey
from ajo.soroban.client import MAX_KEYS, Entries, SorobanClient
from ajo.soroban.errors import ChainError
from ajo.soroban.lease import Superseded
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.runs import recorded
from groups.models import Group
from groups.readings import GroupReader
from groups.reads import refresh_groups
from groups.sync import write_readings

BATCH = MAX_KEYS // 2  # groups a call: all keys of one group are read at one ledger
COUNTS = ("calls", "groups", "groups_changed", "drift_state", "drift_metadata")

Counts = dict[str, int]
Compare = Callable[[SorobanClient, Checkpoint, Sequence[int], Counts], None]
Run = Callable[[Callable[[SorobanClient], None]], None]  # runs a read with a node that manages it


@dataclass(frozen=True, slots=True)
class Progress:
    """Groups that were compared, of how many."""

    done: int
    total: int


def sweep_groups(run_read: Run, only: Sequence[int] = ()) -> Iterator[Progress]:
    """Compare all groups, or `only` some, with the chain, yielding after each call; killed, the next one goes on."""
    return sweep(run_read, _compare, COUNTS, only=only, size=BATCH, position="swept_to")


def sweep(
    run_read: Run, compare: Compare, names: Sequence[str], *, only: Sequence[int], size: int, position: str
) -> Iterator[Progress]:
    """Run `compare` over groups in batches, recorded as one SyncRun with these counts; what is drift is added up.

    `position` is the checkpoint's field that keeps how far a sweep of all groups has come.
    """
    checkpoint = Checkpoint.objects.current()
    if checkpoint is None or not checkpoint.is_loaded:
        raise Superseded("the tables are not filled yet: the sync does that")
    with recorded(SyncRun.Kind.SWEEP) as (run, held):
        if checkpoint.refusal:
            raise ChainError(checkpoint.refusal)
        counts = run.counts = dict.fromkeys(names, 0)
        run.ledger = checkpoint.ledger
        begin = 0 if only else getattr(checkpoint, position)
        ids = sorted(set(only)) or range(begin + 1, checkpoint.group_count + 1)
        total = len(ids) + begin
        for start in range(0, len(ids), size):
            held.renew()
            batch, before = ids[start : start + size], _drift(counts)
            run_read(lambda client, some=batch: compare(client, checkpoint, some, counts))  # type: ignore[misc]
            changes: dict[str, object] = {"drift_total": F("drift_total") + _drift(counts) - before}
            if not only:
                changes[position] = batch[-1]
            Checkpoint.objects.filter(pk=checkpoint.pk).update(**changes)
            yield Progress(min(begin + start + size, total), total)
        if not only:
            Checkpoint.objects.filter(pk=checkpoint.pk).update(**{position: 0})


def _drift(counts: Counts) -> int:
    return sum(number for name, number in counts.items() if name.startswith("drift"))


def _compare(client: SorobanClient, checkpoint: Checkpoint, ids: Sequence[int], counts: Counts) -> None:
    keys = {group_id: (GroupKey(group_id), MetadataKey(group_id)) for group_id in ids}
    names = {group_id: tuple(key.to_xdr(checkpoint.contract) for key in pair) for group_id, pair in keys.items()}
    answer = client.get_entries([name for pair in names.values() for name in pair])
    counts["calls"] += 1
    counts["groups"] += len(ids)
    stored: dict[int, tuple[str, ...]] = {}
    newer: set[int] = set()
    rows = Group.objects.filter(id__in=ids).values_list("id", "synced_ledger", "entry_xdr", "metadata_xdr")
    for group_id, synced_ledger, *xdrs in rows:
        if synced_ledger > answer.ledger:
            newer.add(group_id)
        else:
            stored[group_id] = tuple(xdrs)
    differing = [
        i for i in ids if i not in newer and stored.get(i) != _xdrs(names[i], answer) and names[i][0] in answer.found
    ]
    if not differing:
        return
    readings = GroupReader(client, checkpoint.contract, answer.ledger).read(differing)
    counts["calls"] += readings.calls
    changed = write_readings(readings)
    refresh_groups(changed)
    counts["groups_changed"] += len(changed)
    # A GROUP entry that changed after the events that we have read is news, not drift: its event is still to come.
    reached = Checkpoint.objects.values_list("ledger", flat=True).get(pk=checkpoint.pk)
    for group_id in changed:
        group_key, metadata_key = names[group_id]
        old = stored.get(group_id, ("", ""))
        if old[0] != answer.found[group_key].xdr and answer.found[group_key].last_modified <= reached:
            counts["drift_state"] += 1
        elif metadata_key in answer.found and old[1] != answer.found[metadata_key].xdr:
            counts["drift_metadata"] += 1


def _xdrs(names: tuple[str, ...], answer: Entries) -> tuple[str, ...]:
    return tuple(answer.found[name].xdr if name in answer.found else "" for name in names)
