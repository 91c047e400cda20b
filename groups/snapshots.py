"""Reads groups from the chain as exact snapshots. This module touches no tables.

A snapshot is one answer of getLedgerEntries, so all of it was true at one ledger (docs/chain.md §2). The keys of a
group depend on its members and round, which its GROUP entry holds (docs/chain.md §1.1): that entry is read first, then
all keys in one call, and again if members or round changed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from ajo.soroban.contract import entries as on_chain
from ajo.soroban.contract.codec import DecodeError
from ajo.soroban.contract.entries import decode_entry
from ajo.soroban.contract.keys import ContribKey, GroupKey, InstanceKey, Key, MetadataKey, RefundRequestKey
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.answers import Entries, LedgerEntry, earliest_live_until
from ajo.soroban.rpc.client import MAX_KEYS, SorobanClient, in_halves
from ajo.soroban.rpc.errors import NodeLagging

T = TypeVar("T")

MAX_MEMBERS = MAX_KEYS - 3  # members of a group that fits one call; the contract allows 100
# Contributions of one group: twice what the contract allows with 100 members, each of whom is paid once. The bound
# limits the cost of one group.
MAX_CONTRIBUTIONS = 20_000
MAX_ATTEMPTS = 5  # readings of a group that changes between every two calls


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Holds one group as its entries were at `ledger`.

    `paid`: the members whose CONTRIB entry of the current round exists. `live_until`: the earliest ledger at which
    GROUP or METADATA is archived; 0: archived or unknown, None: the node does not say.
    """

    ledger: int
    group: on_chain.Group
    group_xdr: str
    metadata: on_chain.Metadata | None
    metadata_xdr: str
    refund_request: on_chain.RefundRequest | None
    refund_request_xdr: str
    paid: frozenset[str]
    modified_ledger: int
    live_until: int | None


@dataclass(frozen=True, slots=True)
class Undecoded:
    """Holds an entry (base64) that this version cannot decode, with the ledger at which it was read."""

    key: str
    group_id: int | None
    xdr: str
    error: str
    ledger: int


@dataclass(slots=True)
class Snapshots:
    """Holds the result of reading several groups. `ledger`: the oldest ledger of its answers."""

    groups: dict[int, GroupSnapshot] = field(default_factory=dict)
    absent: set[int] = field(default_factory=set)  # without a GROUP entry
    renamed: set[int] = field(default_factory=set)  # whose METADATA entry differs from the given one
    undecoded: list[Undecoded] = field(default_factory=list)
    recreated: set[int] = field(default_factory=set)  # whose creation differs from the stored one in two readings
    disputed: set[int] = field(default_factory=set)  # left out: two readings and the stored row all differ
    instance: on_chain.Instance | None = None
    instance_entry: LedgerEntry | None = None
    instance_ledger: int = 0
    ledger: int = 0

    @property
    def settled(self) -> set[int]:
        """Return the groups with a result. The others were not read before the deadline."""
        unreadable = {each.group_id for each in self.undecoded if each.group_id is not None}
        return self.groups.keys() | self.absent | unreadable | self.disputed

    def take(self, other: Snapshots) -> None:
        """Replace what this has of the groups that `other` has settled; the rest stays."""
        self.absent = self.absent - other.settled | other.absent
        self.groups |= other.groups
        self.undecoded += other.undecoded
        self.recreated |= other.recreated
        self.disputed |= other.disputed


class GroupReader:
    """Reads groups of one contract through one client.

    `at_least`: the ledger that the node must have reached. After the deadline no further groups are read, but some of
    the first ones are read in any case.
    """

    def __init__(self, client: SorobanClient, contract: str, at_least: int = 0, *, deadline: Deadline = NEVER) -> None:
        self._client = client
        self._contract = contract
        self._at_least = at_least
        self._deadline = deadline
        self._texts: dict[int, str] = {}
        self._result = Snapshots()

    def read(
        self, group_ids: Iterable[int], *, with_instance: bool = False, texts: Mapping[int, str] | None = None
    ) -> Snapshots:
        """Return snapshots of these groups in their order, with the contract's instance entry if asked.

        The calls are as few as possible. `texts`: METADATA entries (base64) of other groups, by id. As many as the
        first call has room for are compared; the rest are silently skipped. Raises ChainError; NodeLagging where the
        first groups change between every two calls.
        """
        ids = dict.fromkeys(group_ids)
        wanted: list[tuple[int | None, Key]] = [(None, InstanceKey())] if with_instance else []
        wanted += [(group_id, GroupKey(group_id)) for group_id in ids]
        self._texts = {group_id: text for group_id, text in (texts or {}).items() if group_id not in ids}
        room = max(MAX_KEYS - len(wanted), 0)
        wanted += [(group_id, MetadataKey(group_id)) for group_id in islice(self._texts, room)]
        moved = self._snapshots(self._shapes(wanted))
        for _ in range(MAX_ATTEMPTS - 1):
            if not moved:
                break
            moved = self._snapshots(moved)
        if moved and not (self._deadline.is_past() and self._result.settled):
            some = [group.id for group in moved[:5]]
            raise NodeLagging(f"groups {some} changed between every two of {MAX_ATTEMPTS} readings")
        return self._result

    def _shapes(self, wanted: Sequence[tuple[int | None, Key]]) -> Iterator[on_chain.Group]:
        """Yield the GROUP entry of each group, which determines its keys; one call is made for each 200."""
        is_first = True
        for start in range(0, len(wanted), MAX_KEYS):
            part = [(each, [each[1].to_xdr(self._contract)]) for each in wanted[start : start + MAX_KEYS]]
            for some, answer in self._answers(part):
                for (group_id, key), _ in some:
                    if group_id is None:
                        self._instance(key, answer)
                    elif isinstance(key, MetadataKey):
                        self._compare_texts(group_id, key, answer)
                    elif group := self._group(group_id, answer):
                        is_first = False
                        yield group
                if self._deadline.is_past() and not is_first:
                    return

    def _compare_texts(self, group_id: int, key: Key, answer: Entries) -> None:
        entry = answer.found.get(key.to_xdr(self._contract))
        if (entry["xdr"] if entry else "") != self._texts[group_id]:
            self._result.renamed.add(group_id)

    def _snapshots(self, shapes: Iterable[on_chain.Group]) -> list[on_chain.Group]:
        """Read each group with all its keys. Return the GROUP entries of those whose keys changed meanwhile."""
        moved: list[on_chain.Group] = []
        for batch in _batches(shapes, self._contract):
            for some, answer in self._answers([(each, each[1].all) for each in batch]):
                for (shape, keys), _ in some:
                    group = self._group(shape.id, answer)
                    if group is None:
                        continue
                    if (group.members, group.current_cycle) != (shape.members, shape.current_cycle):
                        moved.append(group)
                    elif snapshot := self._snapshot(group, keys, answer):
                        self._result.groups[shape.id] = snapshot
                if self._deadline.is_past():
                    return moved
        return moved

    def _snapshot(self, group: on_chain.Group, keys: _GroupKeys, answer: Entries) -> GroupSnapshot | None:
        """Return the snapshot; None where its refund request cannot be decoded, for to show none would be wrong."""
        metadata = self._decoded(keys.metadata, group.id, answer, on_chain.Metadata)
        request = self._decoded(keys.refund_request, group.id, answer, on_chain.RefundRequest)
        found = answer.found
        if request is None and keys.refund_request in found:
            return None
        entry, texts = found[keys.group], found.get(keys.metadata)
        return GroupSnapshot(
            ledger=answer.ledger,
            group=group,
            group_xdr=entry["xdr"],
            metadata=metadata,
            metadata_xdr=texts["xdr"] if texts and metadata else "",
            refund_request=request,
            refund_request_xdr=found[keys.refund_request]["xdr"] if request else "",
            paid=frozenset(member for member, key in keys.contributions if key in found),
            modified_ledger=max(found[key]["lastModifiedLedgerSeq"] for key in keys.all if key in found),
            live_until=earliest_live_until(
                entry.get("liveUntilLedgerSeq"), texts.get("liveUntilLedgerSeq") if texts else None
            ),
        )

    def _group(self, group_id: int, answer: Entries) -> on_chain.Group | None:
        key = GroupKey(group_id).to_xdr(self._contract)
        if key not in answer.found:
            self._result.absent.add(group_id)
            return None
        group = self._decoded(key, group_id, answer, on_chain.Group)
        if group and not _is_plausible(group, group_id):
            contents = f"group {group.id} with {len(group.members)} members in round {group.current_cycle}"
            reason = f"the entry of group {group_id} says it is {contents}"
            self._result.undecoded.append(Undecoded(key, group_id, answer.found[key]["xdr"], reason, answer.ledger))
            return None
        return group

    def _instance(self, key: Key, answer: Entries) -> None:
        xdr = key.to_xdr(self._contract)
        self._result.instance = self._decoded(xdr, None, answer, on_chain.Instance)
        self._result.instance_entry = answer.found.get(xdr)
        self._result.instance_ledger = answer.ledger

    def _decoded(self, key: str, group_id: int | None, answer: Entries, kind: type[T]) -> T | None:
        entry = answer.found.get(key)
        if entry is None:
            return None
        try:
            decoded = decode_entry(entry["xdr"])
            if not isinstance(decoded.value, kind) or decoded.key.to_xdr(decoded.contract) != key:
                raise DecodeError("the entry is not the one that its key names")
        except DecodeError as failure:
            self._result.undecoded.append(Undecoded(key, group_id, entry["xdr"], str(failure), answer.ledger))
            return None
        return decoded.value

    def _answers(self, parts: Sequence[tuple[T, list[str]]]) -> Iterator[tuple[Sequence[tuple[T, list[str]]], Entries]]:
        """Yield the parts with the answers to all of their keys. A part is never split between two calls."""
        return in_halves(lambda some: self._call([key for _, keys in some for key in keys]), parts)

    def _call(self, keys: Sequence[str]) -> Entries:
        answer = read_entries(self._client, keys, at_least=self._at_least)
        self._result.ledger = min(self._result.ledger or answer.ledger, answer.ledger)
        return answer


@dataclass(frozen=True, slots=True)
class _GroupKeys:
    """Holds the keys of one group: at most 103 while it has 100 members."""

    group: str
    metadata: str
    refund_request: str
    contributions: tuple[tuple[str, str], ...]  # (member, key)

    @property
    def all(self) -> list[str]:
        return [self.group, self.metadata, self.refund_request, *(key for _, key in self.contributions)]


def _is_plausible(group: on_chain.Group, group_id: int) -> bool:
    """Return whether the contract can have written this entry, as far as the cost of reading it depends on it."""
    is_bounded = group.current_cycle * len(group.members) <= MAX_CONTRIBUTIONS
    return group.id == group_id and len(set(group.members)) <= MAX_MEMBERS and is_bounded


def _keys(group: on_chain.Group, contract: str) -> _GroupKeys:
    return _GroupKeys(
        group=GroupKey(group.id).to_xdr(contract),
        metadata=MetadataKey(group.id).to_xdr(contract),
        refund_request=RefundRequestKey(group.id).to_xdr(contract),
        contributions=tuple(
            (member, ContribKey(group.id, group.current_cycle, member).to_xdr(contract))
            for member in dict.fromkeys(group.members)
        ),
    )


_Batch = list[tuple[on_chain.Group, _GroupKeys]]


def _batches(groups: Iterable[on_chain.Group], contract: str) -> Iterator[_Batch]:
    """Yield batches of groups whose keys fit one call. A group is never split."""
    batch: _Batch = []
    size = 0
    for group in groups:
        keys = _keys(group, contract)
        if batch and size + len(keys.all) > MAX_KEYS:
            yield batch
            batch, size = [], 0
        batch.append((group, keys))
        size += len(keys.all)
    if batch:
        yield batch
