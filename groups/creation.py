"""Who made a group and when never changes, so it tells one chain from another, and a slip from the truth.

A reading that says otherwise than the tables is asked for again, of another node where there is one. That concerns its
group alone: the others are written whatever comes of it.
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
from groups.snapshots import GroupReader, Snapshots, Undecoded
from groups.sync import is_entry_of, store_undecoded

WITNESSES = 5  # groups by which a chain is recognised

Creation = tuple[str, datetime | None]  # wallet and time


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
    """What GroupReader reads, without groups whose creation two askings tell otherwise than each other and the tables.

    Those are set aside, and their rows stay. Raises WrongChain where a second asking agrees and no group of ours is on
    that chain.
    """
    reader = GroupReader(client, contract, at_least, deadline=deadline)
    snapshots = reader.read(group_ids, with_instance=with_instance, texts=texts)
    if snapshots.renamed:
        reader.read(sorted(snapshots.renamed))
    stored = _stored(snapshots.groups)
    other = {pk: snapshots.groups[pk] for pk, made in stored.items() if _creation(snapshots.groups[pk].group) != made}
    entries = dict(Group.objects.filter(pk__in=other).values_list("pk", "entry_xdr")) if other else {}
    # of a creation the stored entry knows better than the columns made from it
    doubted = {pk: first for pk, first in other.items() if not is_entry_of(entries[pk], first.group)}
    if not doubted:
        return snapshots
    again = nodes().second_opinion(client, lambda second: GroupReader(second, contract, at_least).read(doubted))
    snapshots.calls += again.calls
    for group_id, first in doubted.items():
        second = again.groups.get(group_id)
        said = second and _creation(second.group)
        if second and said == _creation(first.group):
            snapshots.recreated.add(group_id)
        elif second and said == stored[group_id]:
            snapshots.groups[group_id] = second
        else:
            del snapshots.groups[group_id]
            snapshots.disputed.add(group_id)
            why = "it was created by another wallet or at another time than the stored one; a second asking differs"
            key = GroupKey(group_id).to_xdr(contract)
            store_undecoded([Undecoded(key, group_id, first.group_xdr, why, first.ledger)])
    wrong = {group_id: snapshots.groups[group_id].group for group_id in snapshots.recreated}
    if wrong and not _is_announced(wrong.values()) and not is_our_chain(client, contract, wrong):
        raise WrongChain(f"group {min(wrong)} was created by another wallet or at another time than the stored one")
    return snapshots


def is_our_chain(client: SorobanClient, contract: str, but: Collection[int] = ()) -> bool:
    """Whether the node has one of the oldest groups of the tables, others than `but`, as it was created."""
    readable = Group.objects.filter(unreadable_since=None).exclude(pk__in=but).order_by("pk")
    known = _stored(readable.values_list("pk", flat=True)[:WITNESSES])
    found = GroupReader(client, contract).read(known).groups if known else {}
    return any(_creation(reading.group) == known[group_id] for group_id, reading in found.items())


def _is_announced(groups: Iterable[on_chain.Group]) -> bool:
    """Whether the event log, which another call of the RPC filled, tells the creation of one of these like that."""
    made = {group.id: _creation(group) for group in groups}
    told = ContractEvent.objects.filter(type="created", group_id__in=made).values_list("group_id", "data", "created_at")
    return any(group_id and made[group_id] == (data and data["creator"], at) for group_id, data, at in told)


def _stored(group_ids: Iterable[int]) -> dict[int, Creation]:
    rows = Group.objects.filter(pk__in=list(group_ids)).values_list("pk", "creator__wallet_address", "created_at")
    return {group_id: (wallet, at) for group_id, wallet, at in rows}


def _creation(group: on_chain.Group) -> Creation:
    return group.creator, timestamp_to_datetime(group.created_at)
