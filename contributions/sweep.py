"""The sweep: every group's GROUP and METADATA entries, 200 keys a call, compared with what is stored.

What equals the stored XDR is not decoded. What differs is read whole and written, never over a newer row; if no event
has announced it, or will, it is drift, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import connection
from django.db.models import F

from ajo.soroban.binding.keys import GroupKey, MetadataKey, numbered_keys
from ajo.soroban.client import MAX_KEYS, SorobanClient
from ajo.soroban.errors import ChainError, RpcTooMuch
from ajo.soroban.lease import Superseded
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.runs import recorded
from groups.models import Group
from groups.readings import GroupReader
from groups.reads import refresh_groups
from groups.sync import write_readings

BATCH = MAX_KEYS // 2  # groups a call: all keys of one group are read at one ledger
STORED = (
    "SELECT id, synced_ledger, live_until_ledger, entry_xdr, metadata_xdr FROM groups_group"
    " WHERE id = ANY(%s::bigint[])"
)
COUNTS = ("calls", "groups", "groups_changed", "drift_state", "drift_metadata")

Counts = dict[str, int]
Compare = Callable[[Checkpoint, Sequence[int], Counts, SorobanClient], None]
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
        here = Checkpoint.objects.filter(pk=checkpoint.pk)
        counts = run.counts = dict.fromkeys(names, 0)
        run.ledger = checkpoint.ledger
        begin = 0 if only else getattr(checkpoint, position)
        ids = sorted(set(only)) or range(begin + 1, checkpoint.group_count + 1)
        total = len(ids) + begin
        for start in range(0, len(ids), size):
            held.renew()
            batch, before = ids[start : start + size], _drift(counts)
            run_read(partial(_in_parts, compare, checkpoint, batch, counts))
            counts["groups"] += len(batch)
            changes: dict[str, object] = {} if only else {position: batch[-1]}
            if drift := _drift(counts) - before:
                changes["drift_total"] = F("drift_total") + drift
            here.update(**changes)
            yield Progress(min(begin + start + size, total), total)
        if not only:
            here.update(**{position: 0})


def _drift(counts: Counts) -> int:
    return sum(number for name, number in counts.items() if name.startswith("drift"))


def _in_parts(
    compare: Compare, checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient
) -> None:
    """Compare these groups at once, or by halves where that is more than the node manages, down to one."""
    try:
        compare(checkpoint, ids, counts, client)
    except RpcTooMuch:
        if len(ids) == 1:
            raise
        half = len(ids) // 2
        for part in (ids[:half], ids[half:]):
            _in_parts(compare, checkpoint, part, counts, client)


def _compare(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> None:
    entry_keys, text_keys = (numbered_keys(kind, checkpoint.contract, ids) for kind in (GroupKey, MetadataKey))
    answer = client.get_entries(entry_keys + text_keys)
    counts["calls"] += 1
    found = answer.found
    on_chain = {
        group_id: (found[entry].xdr, found[text].xdr if text in found else "")
        for group_id, entry, text in zip(ids, entry_keys, text_keys, strict=True)
        if entry in found
    }
    with connection.cursor() as cursor:
        cursor.execute(STORED, [f"{{{','.join(map(str, ids))}}}"])  # one text: a list costs as much as the rows
        rows = cursor.fetchall()
    stored = {group_id: (entry, text) for group_id, *_, entry, text in rows}
    newer = {group_id for group_id, synced_ledger, *_ in rows if synced_ledger > answer.ledger}
    # an entry's life can be extended by anybody, which changes nothing else
    ends = {i: found[key].live_until for i, key in zip(ids, entry_keys, strict=True) if key in found and i not in newer}
    extended = [Group(id=i, live_until_ledger=ends[i]) for i, _, until, *_ in rows if i in ends and ends[i] != until]
    Group.objects.bulk_update(extended, ["live_until_ledger"])
    differing = [i for i, xdrs in on_chain.items() if stored.get(i) != xdrs and i not in newer]
    if not differing:
        return
    readings = GroupReader(client, checkpoint.contract, answer.ledger).read(differing)
    counts["calls"] += readings.calls
    changed = write_readings(readings)
    refresh_groups(changed)
    counts["groups_changed"] += len(changed)
    # A GROUP entry that changed after the events that we have read is news, not drift: its event is still to come.
    reached = Checkpoint.objects.values_list("ledger", flat=True).get(pk=checkpoint.pk)
    keys = dict(zip(ids, entry_keys, strict=True))
    for group_id in changed:
        (entry, text), (old_entry, old_text) = on_chain[group_id], stored.get(group_id, ("", ""))
        if entry != old_entry and found[keys[group_id]].last_modified <= reached:
            counts["drift_state"] += 1
        elif text and text != old_text:
            counts["drift_metadata"] += 1
