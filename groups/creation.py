"""Compares the creation of groups, which never changes, with the stored one: it tells one chain from another.

A snapshot with another creation than the stored one is read a second time, from another node where there is one. That
concerns its group alone; the other groups are written in any case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from ajo.soroban.contract import entries as on_chain
from ajo.soroban.contract.keys import GroupKey
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import ContractEvent
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import WrongChain
from ajo.soroban.rpc.pool import nodes
from ajo.soroban.times import timestamp_to_datetime
from groups.models import Group
from groups.rows import is_entry_of
from groups.snapshots import GroupReader, GroupSnapshot, Snapshots, Undecoded
from groups.sync import store_undecoded

SAMPLE_SIZE = 5  # groups by which a chain is recognised

Creation = tuple[str, datetime | None]  # creator and time


def read_groups(
    client: SorobanClient,
    contract: str,
    at_least: int,
    group_ids: Iterable[int],
    *,
    with_instance: bool = False,
    deadline: Deadline = NEVER,
    texts: Mapping[int, str] | None = None,
) -> Snapshots:
    """Read groups as GroupReader does, and confirm every creation that differs from the stored one by a second reading.

    A group of which both readings and the row differ is disputed: its entry is stored as undecoded, and its row stays.
    Where both readings agree the group is recreated. Raises WrongChain if the event log has no such creation and the
    node has none of the oldest stored groups; ChainError as GroupReader does.
    """
    reader = GroupReader(client, contract, at_least, deadline=deadline)
    snapshots = reader.read(group_ids, with_instance=with_instance, texts=texts)
    if snapshots.renamed:
        reader.read(sorted(snapshots.renamed))
    stored = _stored(snapshots.groups)
    other = {
        pk: snapshots.groups[pk] for pk, creation in stored.items() if _creation(snapshots.groups[pk].group) != creation
    }
    entries = dict(Group.objects.filter(pk__in=other).values_list("pk", "entry_xdr")) if other else {}
    # the stored entry outweighs the columns that were made from it
    differing = {pk: first for pk, first in other.items() if not is_entry_of(entries[pk], first.group)}
    if not differing:
        return snapshots
    again = nodes().second_opinion(client, lambda second: GroupReader(second, contract, at_least).read(differing))
    _settle(differing, again, stored, snapshots, contract)
    wrong = {group_id: snapshots.groups[group_id].group for group_id in snapshots.recreated}
    if wrong and not _is_announced(wrong.values()) and not is_our_chain(client, contract, wrong):
        raise WrongChain(f"group {min(wrong)} was created by another wallet or at another time than the stored one")
    return snapshots


def _settle(
    differing: Mapping[int, GroupSnapshot],
    again: Snapshots,
    stored: Mapping[int, Creation],
    snapshots: Snapshots,
    contract: str,
) -> None:
    """Sort each differing group by its second reading: recreated, replaced by it, or disputed."""
    for group_id, first in differing.items():
        second = again.groups.get(group_id)
        creation = second and _creation(second.group)
        if second and creation == _creation(first.group):
            snapshots.recreated.add(group_id)
        elif second and creation == stored[group_id]:
            snapshots.groups[group_id] = second
        else:
            del snapshots.groups[group_id]
            snapshots.disputed.add(group_id)
            reason = "the stored one has another creator or creation time; a second request says otherwise"
            key = GroupKey(group_id).to_xdr(contract)
            store_undecoded([Undecoded(key, group_id, first.group_xdr, reason, first.ledger)])


def is_our_chain(client: SorobanClient, contract: str, exclude: Collection[int] = ()) -> bool:
    """Return whether the node has one of the oldest stored groups, except `exclude`, with its stored creation.

    False where no group is stored. Raises ChainError.
    """
    readable = Group.objects.filter(unreadable_since=None).exclude(pk__in=exclude).order_by("pk")
    known = _stored(readable.values_list("pk", flat=True)[:SAMPLE_SIZE])
    found = GroupReader(client, contract).read(known).groups if known else {}
    return any(_creation(snapshot.group) == known[group_id] for group_id, snapshot in found.items())


def _is_announced(groups: Iterable[on_chain.Group]) -> bool:
    """Return whether the event log, which other RPC calls filled, has one of these creations."""
    creations = {group.id: _creation(group) for group in groups}
    events = ContractEvent.objects.filter(type="created", group_id__in=creations)
    rows = events.values_list("group_id", "data", "created_at")
    return any(group_id and creations[group_id] == (data and data["creator"], at) for group_id, data, at in rows)


def _stored(group_ids: Iterable[int]) -> dict[int, Creation]:
    rows = Group.objects.filter(pk__in=list(group_ids)).values_list("pk", "creator__wallet_address", "created_at")
    return {group_id: (wallet, at) for group_id, wallet, at in rows}


def _creation(group: on_chain.Group) -> Creation:
    return group.creator, timestamp_to_datetime(group.created_at)
