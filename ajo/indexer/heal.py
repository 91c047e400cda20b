"""Heals groups: whatever their rows said, afterwards they say what the chain's entries and our event log do.

Columns, members, refund requests and history are all compared, and only what differs is written. A sweep of groups that
are named, the deep sweep and the rebuild share it. Passes of the sync may run meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from ajo.indexer.backfill import note_verified, read_history
from ajo.indexer.discrepancies import HISTORY, compare_history, correct_history
from ajo.indexer.guards import refuse_all_absent, remove_invented
from ajo.soroban.deadline import Deadline
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from groups.cached import refresh_groups
from groups.creation import read_groups
from groups.models import Group
from groups.snapshots import GroupReader, Snapshots
from groups.sync import Differences, store_undecoded, write_snapshots

CONTRIBUTIONS_AT_ONCE = 20_000
Counts = dict[str, int]
TEXTS = {"name", "description", "rules", "metadata_xdr"}  # no event announces them
# Anybody can extend an entry's life or restore it from the archive, and no event announces that.
UNANNOUNCED = {*TEXTS, "live_until_ledger", "modified_ledger"}


@dataclass(slots=True)
class Healed:
    """What was done to some groups. `absent`: the chain does not have them; `history`: rows of it, by what was done.

    `done`: how many of them, from the first on, were healed before the deadline; `history_to`: the last one of those.
    """

    changed: set[int] = field(default_factory=set)
    absent: set[int] = field(default_factory=set)
    undecoded: int = 0
    done: int = 0
    history_to: int = 0
    history: Counter[str] = field(default_factory=Counter)

    def show(self) -> None:
        """Bring the cached bodies to where the tables are."""
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
    """Prove all that the tables have of these groups, and put right what is wrong. Adds calls and drift to `counts`.

    With `force` a row that says it is newer than the chain is overwritten too: nobody else may write meanwhile.
    `before_write` is called each time that the chain has answered.
    """
    reached = Checkpoint.objects.values_list("ledger", flat=True).get(pk=checkpoint.pk)
    # where nothing else may write, as in a rebuild, the chain's word on who made a group counts without the tables'
    read = _read if force else read_groups
    deadline = Deadline()
    snapshots = read(client, checkpoint.contract, reached, ids, deadline=deadline)
    _add(counts, calls=snapshots.calls)
    refuse_all_absent(ids[-1] if force else int(checkpoint.group_count), ids, snapshots.absent)
    before_write()
    found: Differences = {}
    changed = write_snapshots(snapshots, force=force, differences=found)
    result = Healed(changed, set(snapshots.absent), undecoded=len(snapshots.undecoded))
    _note_drift(snapshots, found, reached, counts)
    # a group that the node does not have proves nothing, neither does one that cannot be read
    groups = list(Group.objects.filter(id__in=snapshots.groups, unreadable_since=None).order_by("id"))
    result.done = len(list(takewhile(snapshots.settled.__contains__, ids)))
    for portion in _portions([group for group in groups if group.pk in set(ids[: result.done])]):
        if deadline.is_past() and result.history_to:
            result.done = ids.index(portion[0].pk)
            break
        _heal_history(client, checkpoint, portion, reached, counts, result, before_write)
        result.history_to = portion[-1].pk
    if not force and Group.objects.filter(id__in=result.absent).exists():
        removed = remove_invented(client, checkpoint, int(checkpoint.group_count), counts)
        _add(counts, drift_state=len(removed))
    return result


def _read(client: SorobanClient, contract: str, at_least: int, ids: Sequence[int], *, deadline: Deadline) -> Snapshots:
    return GroupReader(client, contract, at_least, deadline=deadline).read(ids)


def count_drift(counts: Counts, *, state: bool, text: bool) -> None:
    """Count a group that is healed. What changed after the events that the tables had, at the latest when its row was
    read, is news, not drift: its event was still to come. A name has none.
    """
    _add(counts, drift_state=int(state), drift_metadata=int(text and not state))


def find_surplus(client: SorobanClient, checkpoint: Checkpoint, ids: set[int], counts: Counts) -> set[int]:
    """Of these groups, which an answer left out, those that are stored and the contract neither counts nor has."""
    stored = set(Group.objects.filter(id__in=ids).values_list("pk", flat=True)) if ids else ids
    if not stored:
        return set()
    again = GroupReader(client, checkpoint.contract, checkpoint.ledger).read(stored, with_instance=True)
    _add(counts, calls=again.calls)
    counted = again.instance.group_counter if again.instance else checkpoint.group_count
    return {group_id for group_id in again.absent if group_id > counted}


def _note_drift(snapshots: Snapshots, found: Differences, reached: int, counts: Counts) -> None:
    for group_id, wrong in found.items():
        if "unreadable_since" not in wrong:  # what could not be read is not wrong
            is_due = snapshots.groups[group_id].modified_ledger <= reached
            count_drift(counts, state=bool(wrong - UNANNOUNCED) and is_due, text=bool(wrong & TEXTS))


def _portions(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """These groups in parts, by how many contributions each may have: all of a part is held in memory."""
    portion: list[Group] = []
    size = 0
    for group in groups:
        contributions = group.member_count * group.current_round
        if portion and size + contributions > CONTRIBUTIONS_AT_ONCE:
            yield portion
            portion, size = [], 0
        portion.append(group)
        size += contributions
    if portion:
        yield portion


def _heal_history(
    client: SorobanClient,
    checkpoint: Checkpoint,
    groups: list[Group],
    reached: int,
    counts: Counts,
    result: Healed,
    before_write: Callable[[], None],
) -> None:
    proofs = read_history(client, checkpoint.contract, groups, counts, again=True)
    found = compare_history(proofs, reached)
    if found.denies:  # one answer that leaves entries out removes nothing
        again = read_history(client, checkpoint.contract, groups, counts, again=True)
        for proof, other in zip(proofs, again, strict=True):
            proof.add(other)
    before_write()
    store_undecoded([undecoded for proof in proofs for undecoded in proof.undecoded])
    if found.is_empty:
        note_verified(proofs, found.left_out)
    else:
        events = found.events
        found = correct_history(proofs, reached, events)
        result.changed |= {group_id for group_id, _ in found.joined if group_id}
        joined = int(bool(found.joined))
        _add(
            counts, drift_history=len(events) + sum(table.drift for table in found.tables.values()), drift_state=joined
        )
    for group in groups:
        unconfirmed = found.unconfirmed.get(group.pk, 0)
        _add(counts, unconfirmed=unconfirmed)
        if unconfirmed != group.unproven_rows:
            Group.objects.filter(pk=group.pk).update(unproven_rows=unconfirmed)
    for model, name in HISTORY:
        table = found.tables[model]
        for what, rows in (("removed", table.denied), ("added", table.missing), ("changed", table.changed)):
            result.history[f"{name}_{what}"] += len(rows)


def _add(counts: Counts, **numbers: int) -> None:
    for name, number in numbers.items():
        counts[name] = counts.get(name, 0) + number
