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
from groups.sync import set_aside, write_groups

Run = Callable[[Callable[[SorobanClient], int]], int]  # runs a read with a node that manages it
BATCH = MAX_KEYS // 2  # groups a call: all keys of one group are read at one ledger


@dataclass(frozen=True, slots=True)
class Progress:
    done: int
    total: int


def sweep_groups(run_read: Run, only: Sequence[int] = ()) -> Iterator[Progress]:
    """Compare all groups, or `only` some, with the chain, yielding after each call; killed, the next begins anew."""
    with recorded(SyncRun.Kind.SWEEP) as (run, held):
        checkpoint = Checkpoint.objects.current()
        if checkpoint is None or not checkpoint.is_loaded:
            raise Superseded("the tables are not filled yet: the sync does that")
        if checkpoint.halted:
            raise ChainError(checkpoint.halted)
        counts = run.counts = {"calls": 0, "groups": 0, "groups_changed": 0, "drift_state": 0, "drift_metadata": 0}
        ids = sorted(set(only)) or list(range(1, checkpoint.group_count + 1))
        for start in range(0, len(ids), BATCH):
            held.renew()
            batch = ids[start : start + BATCH]
            ledger = run_read(lambda client, ids=batch: _compare(client, checkpoint, ids, counts))  # type: ignore[misc]
            run.ledger = min(run.ledger or ledger, ledger)
            yield Progress(min(start + BATCH, len(ids)), len(ids))
        drift = counts["drift_state"] + counts["drift_metadata"]
        changes: dict[str, object] = {"drift_total": F("drift_total") + drift}
        if not only and run.ledger:
            changes["swept_ledger"] = run.ledger
        Checkpoint.objects.filter(pk=checkpoint.pk).update(**changes)


def _compare(client: SorobanClient, checkpoint: Checkpoint, ids: Sequence[int], counts: dict[str, int]) -> int:
    keys = {group_id: (GroupKey(group_id), MetadataKey(group_id)) for group_id in ids}
    names = {group_id: tuple(key.to_xdr(checkpoint.contract) for key in pair) for group_id, pair in keys.items()}
    answer = client.get_entries([name for pair in names.values() for name in pair])
    counts["calls"] += 1
    counts["groups"] += len(ids)
    stored = {
        group_id: (group_xdr, metadata_xdr)
        for group_id, group_xdr, metadata_xdr in Group.objects.filter(
            id__in=ids, synced_ledger__lte=answer.ledger
        ).values_list("id", "entry_xdr", "metadata_xdr")
    }
    newer = set(Group.objects.filter(id__in=ids, synced_ledger__gt=answer.ledger).values_list("id", flat=True))
    differing = [
        i for i in ids if i not in newer and stored.get(i) != _xdrs(names[i], answer) and names[i][0] in answer.found
    ]
    if not differing:
        return answer.ledger
    readings = GroupReader(client, checkpoint.contract, answer.ledger).read(differing)
    counts["calls"] += readings.calls
    changed = write_groups(readings.groups)
    set_aside(readings.undecoded)
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
    return answer.ledger


def _xdrs(names: tuple[str, ...], answer: Entries) -> tuple[str, ...]:
    return tuple(answer.found[name].xdr if name in answer.found else "" for name in names)
