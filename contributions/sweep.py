"""The sweep: every group's GROUP and METADATA entries, 200 keys a call, compared with what is stored.

What equals the stored XDR is not decoded. What differs is read whole and written, never over a newer row; if no event
has announced it, or will, it is drift, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from django.db import connection
from django.db.models import F

from ajo.soroban.binding.keys import GroupKey, MetadataKey, numbered_keys
from ajo.soroban.client import MAX_KEYS, LedgerEntry, SorobanClient
from ajo.soroban.errors import ChainError, RpcTooMuch
from ajo.soroban.lease import Superseded
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.runs import recorded
from groups.models import Group
from groups.readings import GroupReader
from groups.reads import refresh_groups
from groups.sync import write_readings

CALL = MAX_KEYS // 2  # groups a call: all keys of one group are read at one ledger
BATCH = 5 * CALL  # groups compared together, for a statement costs as much as parsing a call's answer
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
    """Compare all groups, or `only` some, with the chain, yielding after each batch; killed, the next one goes on."""
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


class _Seen(NamedTuple):
    """A group's GROUP and METADATA entries; the latter's XDR is empty where there is none."""

    ledger: int
    entry: LedgerEntry
    text: str


def _read(client: SorobanClient, contract: str, ids: Sequence[int]) -> Iterator[tuple[int, _Seen]]:
    """Those of these groups that are on the chain, in one call."""
    entry_keys, text_keys = (numbered_keys(kind, contract, ids) for kind in (GroupKey, MetadataKey))
    answer = client.get_entries(entry_keys + text_keys)
    found = answer.found
    for group_id, entry, text in zip(ids, entry_keys, text_keys, strict=True):
        if entry in found:
            yield group_id, _Seen(answer.ledger, found[entry], found[text].xdr if text in found else "")


def _compare(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> None:
    seen: dict[int, _Seen] = {}
    for start in range(0, len(ids), CALL):
        seen.update(_read(client, checkpoint.contract, ids[start : start + CALL]))
        counts["calls"] += 1
    with connection.cursor() as cursor:
        cursor.execute(STORED, [f"{{{','.join(map(str, ids))}}}"])  # one text: a list costs as much as the rows
        rows = [row for row in cursor.fetchall() if row[0] in seen]
    stored = {group_id: (entry, text) for group_id, *_, entry, text in rows}
    newer = {group_id for group_id, synced_ledger, *_ in rows if synced_ledger > seen[group_id].ledger}
    # an entry's life can be extended by anybody, which changes nothing else
    ends = {group_id: until for group_id, _, until, *_ in rows if group_id not in newer}
    extended = [i for i, until in ends.items() if until != seen[i].entry.live_until]
    Group.objects.bulk_update(
        [Group(id=i, live_until_ledger=seen[i].entry.live_until) for i in extended], ["live_until_ledger"]
    )
    differing = [i for i, now in seen.items() if stored.get(i) != (now.entry.xdr, now.text) and i not in newer]
    if not differing:
        return
    newest = max(now.ledger for now in seen.values())
    readings = GroupReader(client, checkpoint.contract, newest).read(differing)
    counts["calls"] += readings.calls
    changed = write_readings(readings)
    refresh_groups(changed)
    counts["groups_changed"] += len(changed)
    # A GROUP entry that changed after the events that we have read is news, not drift: its event is still to come.
    reached = Checkpoint.objects.values_list("ledger", flat=True).get(pk=checkpoint.pk)
    for group_id in changed:
        now, (old_entry, old_text) = seen[group_id], stored.get(group_id, ("", ""))
        if now.entry.xdr != old_entry and now.entry.last_modified <= reached:
            counts["drift_state"] += 1
        elif now.text and now.text != old_text:
            counts["drift_metadata"] += 1
