"""Heals groups: makes all their rows what the chain's entries and the event log say.

Columns, members, refund requests and history are compared, and only what differs is written. The sweep of named groups,
the deep sweep and the rebuild share it. Passes of the sync may run meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from django.db import transaction
from django.db.models.functions import Now

from ajo.indexer.backfill import read_history
from ajo.indexer.discrepancies import Discrepancies, compare_history, correct_history
from ajo.indexer.guards import check_not_all_absent, read_count, remove_invented
from ajo.indexer.jobs import Compared
from ajo.indexer.runs import Counts
from ajo.soroban.deadline import Deadline
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from contributions.evidence import record_verified
from groups.cached import refresh_groups
from groups.creation import read_groups
from groups.models import Group
from groups.snapshots import GroupReader, Snapshots
from groups.sync import Differences, store_undecoded, write_snapshots

MAX_CONTRIBUTIONS_HELD = 20_000  # rows of the groups whose history is in memory at once
TEXTS = {"name", "description", "rules", "metadata_xdr"}  # no event announces them
# anybody can extend an entry's life or restore it from the archive, and no event announces that
UNANNOUNCED = {*TEXTS, "live_until_ledger", "modified_ledger"}


@dataclass(slots=True)
class Healed:
    """Reports what was done to some groups. `changed` and `absent` (on the chain) are ids; `undecoded` counts entries.

    `done`: how many groups, from the first on, were healed before the deadline.
    `history`: how many rows were removed, added and changed, by table.
    """

    changed: set[int] = field(default_factory=set)
    absent: set[int] = field(default_factory=set)
    undecoded: int = 0
    done: int = 0
    history: Counter[str] = field(default_factory=Counter)

    def refresh_cache(self) -> None:
        """Bring the cached bodies of the changed groups to the tables' state."""
        refresh_groups(self.changed)


def heal(
    client: SorobanClient,
    checkpoint: Checkpoint,
    ids: Sequence[int],
    counts: Counts,
    *,
    force: bool = False,
    before_write: Callable[[], None] = lambda: None,
) -> Healed:
    """Prove all that the tables have of these groups, and correct what is wrong. Adds to `counts`.

    With `force` a row that claims to be newer than the chain is overwritten too: no other runner may write meanwhile.
    `before_write` is called after each answer of the chain and before its rows are written; it may raise.
    """
    reached = Checkpoint.objects.values_list("ledger", flat=True).get(pk=checkpoint.pk)
    deadline = Deadline()
    if force:  # nothing else may write: the chain decides who made a group, whatever the tables have
        snapshots = GroupReader(client, checkpoint.contract, reached, deadline=deadline).read(ids)
    else:
        snapshots = read_groups(client, checkpoint.contract, reached, ids, deadline=deadline)
    check_not_all_absent(ids[-1] if force else checkpoint.group_count, ids, snapshots.absent)
    before_write()
    differing: Differences = {}
    changed = write_snapshots(snapshots, force=force, differences=differing)
    result = Healed(changed, set(snapshots.absent), undecoded=len(snapshots.undecoded))
    drifted = _count_drift_of(snapshots, differing, reached, counts)
    if not force:  # a rebuild fills empty tables too
        mark_drifted(drifted)
    result.done = len(list(takewhile(snapshots.settled.__contains__, ids)))
    # a group that the node does not have proves nothing, neither does one that cannot be read
    read = snapshots.groups.keys() & set(ids[: result.done])
    groups = Group.objects.filter(id__in=read, unreadable_since=None).order_by("id")
    for number, portion in enumerate(_portions(groups)):
        if number and deadline.is_past():
            result.done = ids.index(portion[0].pk)
            break
        found = _heal_history(client, checkpoint.contract, portion, reached, before_write)
        _record_history(found, portion, counts, result)
        if not force:
            mark_drifted(found.drifted)
    if not force and Group.objects.filter(id__in=result.absent).exists():
        counts["drift_state"] += len(remove_invented(client, checkpoint, checkpoint.group_count))
    counts["groups_changed"] += len(result.changed)
    return result


def heal_batch(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> Compared:
    """Heal these groups and their cached bodies, as the `compare` of a sweep's job."""
    healed = heal(client, checkpoint, ids, counts)
    healed.refresh_cache()
    return Compared(healed.done, healed.absent.intersection(ids[: healed.done]))


def count_drift(counts: Counts, *, state: bool, text: bool) -> bool:
    """Count the drift of one healed group: of its state, or else of its texts, whose changes no event announces.

    `state` is false for a change whose event is still to come: that is news, not drift. Returns whether it drifted.
    """
    counts.update(drift_state=int(state), drift_metadata=int(text and not state))
    return state or text


def mark_drifted(ids: Collection[int]) -> None:
    """Write that these groups were found other than the chain says. Locks rows in id order, as every writer of them."""
    if not ids:
        return
    with transaction.atomic():
        rows = Group.objects.filter(id__in=ids)
        list(rows.order_by("id").select_for_update(of=("self",)).values_list("pk"))
        rows.update(drifted_at=Now())


def find_surplus(client: SorobanClient, checkpoint: Checkpoint, ids: set[int]) -> set[int]:
    """Return those of these ids that are stored, though the contract neither counts nor has them."""
    stored = set(Group.objects.filter(id__in=ids).values_list("pk", flat=True)) if ids else ids
    if not stored:
        return set()
    again = read_count(client, checkpoint, checkpoint.ledger, stored)
    counted = again.instance.group_counter if again.instance else checkpoint.group_count
    return {group_id for group_id in again.absent if group_id > counted}


def _count_drift_of(snapshots: Snapshots, differing: Differences, reached: int, counts: Counts) -> set[int]:
    """Count the drift in the columns that differed; `reached`: the ledger whose events the tables had.

    Returns the ids of the groups that drifted.
    """
    drifted = set()
    for group_id, wrong in differing.items():
        if "unreadable_since" not in wrong:  # an undecodable entry was not wrong, and is no drift
            is_due = snapshots.groups[group_id].modified_ledger <= reached
            if count_drift(counts, state=bool(wrong - UNANNOUNCED) and is_due, text=bool(wrong & TEXTS)):
                drifted.add(group_id)
    return drifted


def _portions(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Split the groups into parts of at most MAX_CONTRIBUTIONS_HELD contributions, or of one group that has more."""
    portion: list[Group] = []
    size = 0
    for group in groups:
        contributions = group.member_count * group.current_round
        if portion and size + contributions > MAX_CONTRIBUTIONS_HELD:
            yield portion
            portion, size = [], 0
        portion.append(group)
        size += contributions
    if portion:
        yield portion


def _heal_history(
    client: SorobanClient, contract: str, groups: list[Group], reached: int, before_write: Callable[[], None]
) -> Discrepancies:
    """Compare these groups' history and event log with their entries, and correct it. Returns what was wrong.

    Rows are removed only after a second reading of the entries.
    """
    all_evidence = read_history(client, contract, groups, again=True)
    found = compare_history(all_evidence, reached)
    if found.denies:  # one answer that leaves entries out removes nothing
        again = read_history(client, contract, groups, again=True)
        for evidence, other in zip(all_evidence, again, strict=True):
            evidence.merge(other)
        found = compare_history(all_evidence, reached)
    before_write()
    store_undecoded([undecoded for evidence in all_evidence for undecoded in evidence.undecoded])
    if not found.is_empty:
        return correct_history(all_evidence, reached, found.events)
    record_verified(all_evidence, found.left_out)
    return found


def _record_history(found: Discrepancies, groups: list[Group], counts: Counts, result: Healed) -> None:
    """Count the drift and the rows of these groups' history, and write how many rows of each are unconfirmed."""
    if not found.is_empty:
        drift = len(found.events) + sum(len(table.drifted) for table in found.tables.values())
        counts.update(drift_history=drift, drift_state=int(bool(found.joined)))
    result.changed |= {group_id for group_id, _ in found.joined if group_id}
    for group in groups:
        unconfirmed = found.unconfirmed.get(group.pk, 0)
        counts["unproven"] += unconfirmed
        if unconfirmed != group.unproven_rows:
            Group.objects.filter(pk=group.pk).update(unproven_rows=unconfirmed)
    for model, table in found.tables.items():
        for what, rows in (("removed", table.denied), ("added", table.missing), ("changed", table.changed)):
            result.history[f"{model.plural()}_{what}"] += len(rows)
