"""History that no event tells any more: recovered from the CONTRIB, PAYOUT and REFUND entries, which stay.

Round, wallet, group and amount are exact; the transaction, event, ledger and time are unknown, and null. If the event
turns up later the same row is completed (`HistoryQuerySet.record`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from ajo.soroban.binding import entries as on_chain
from ajo.soroban.binding.codec import DecodeError
from ajo.soroban.binding.entries import decode_entry
from ajo.soroban.binding.keys import ContribKey, Key, PayoutKey, RefundKey, RefundRequestKey
from ajo.soroban.client import MAX_KEYS, Entries, LedgerEntry, SorobanClient, first_end, in_halves
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, HistoryGap
from ajo.soroban.times import moment
from contributions.models import Contribution, HistoryRow, Payout, Refund
from groups.models import Group, GroupMember
from groups.readings import Undecoded
from groups.sync import set_aside

GROUPS_AT_A_TIME = 50  # groups whose recovery commits together
AT_A_STRETCH = 10.0  # seconds of a pass


@dataclass(slots=True)
class Proof:
    """What one group's entries prove at `ledger`: its history of the rounds from `from_round` on, and how old each is.

    Keys are (round, wallet), values the ledger at which the entry was written.
    """

    group: Group
    members: dict[str, GroupMember]
    from_round: int
    ledger: int = 0
    contributions: dict[tuple[int, str], int] = field(default_factory=dict)
    payouts: dict[tuple[int, str], int] = field(default_factory=dict)
    refunds: dict[tuple[int, str], int] = field(default_factory=dict)
    refund_records: dict[str, on_chain.Refund] = field(default_factory=dict)
    unread_refunds: set[str] = field(default_factory=set)  # wallets whose entry is there and cannot be read
    undecoded: list[Undecoded] = field(default_factory=list)
    live_until: int | None = None  # when the first of its entries is archived

    def says(self, row: HistoryRow) -> bool:
        """Whether the entries say what the row does; of what was not asked for they say nothing else."""
        key = (row.round, row.user.wallet_address)
        match row:
            case Contribution():
                is_there = key in self.contributions and row.amount == self.group.contribution_amount
                return is_there or row.round < self.from_round
            case Payout():
                paid = sum(cycle == row.round for cycle, _ in self.contributions)
                is_whole = row.amount == self.group.contribution_amount * paid
                return key in self.payouts and (is_whole or row.round < self.from_round)
            case Refund():
                said = self.refund_records.get(key[1])
                is_there = key in self.refunds and said is not None
                is_same = said is not None and (row.amount, row.reason) == (said.amount, said.reason)
                return (is_there and is_same) or key[1] in self.unread_refunds
        return False

    def note(self, key: Key, name: str, entry: LedgerEntry) -> None:
        """Take an entry that exists. A payout's round is its recipient's position, from 1."""
        self.live_until = first_end(self.live_until, entry.get("liveUntilLedgerSeq"))
        match key:
            case ContribKey():
                self.contributions[key.cycle, key.member] = entry["lastModifiedLedgerSeq"]
            case PayoutKey():
                self.payouts[self.members[key.member].position + 1, key.member] = entry["lastModifiedLedgerSeq"]
            case RefundKey():
                try:
                    value = decode_entry(entry["xdr"]).value
                    if not isinstance(value, on_chain.Refund):
                        raise DecodeError("the entry is no refund")
                except DecodeError as failure:
                    self.unread_refunds.add(key.member)
                    self.undecoded.append(Undecoded(name, self.group.pk, entry["xdr"], str(failure), self.ledger))
                else:
                    self.refunds[self.group.current_round, key.member] = entry["lastModifiedLedgerSeq"]
                    self.refund_records[key.member] = value


def recover_gaps(client: SorobanClient, checkpoint: Checkpoint, counts: dict[str, int]) -> bool:
    """Recover what each open gap swallowed, group by group; killed, it goes on where it committed last.

    False after some seconds, if there is more: first the events of that time are followed.
    """
    deadline = Deadline(AT_A_STRETCH)
    readable = Group.objects.filter(unreadable_since=None)  # of the others not even the round is known
    for gap in HistoryGap.objects.filter(recovered_at=None).order_by("pk"):
        while groups := list(readable.filter(id__gt=gap.recovered_to).order_by("id")[:GROUPS_AT_A_TIME]):
            if deadline.is_past():
                return False
            proofs = read_history(client, checkpoint.contract, groups, counts, deadline=deadline)
            gap.recovered_to = proofs[-1].group.pk
            with transaction.atomic():
                for name, number in write_missing(proofs).items():
                    counts[f"recovered_{name}"] = counts.get(f"recovered_{name}", 0) + number
                HistoryGap.objects.filter(pk=gap.pk).update(recovered_to=gap.recovered_to)
        HistoryGap.objects.filter(pk=gap.pk).update(recovered_at=Now())
    return True


def read_history(
    client: SorobanClient,
    contract: str,
    groups: Sequence[Group],
    counts: dict[str, int],
    *,
    again: bool = False,
    deadline: Deadline = NEVER,
) -> list[Proof]:
    """What these groups' entries prove of each round not verified since it closed, or of all rounds `again`.

    Of the first groups only where the deadline comes before the others were read, but of one in any case.
    """
    proofs = [Proof(group, members, 1 if again else group.verified_round + 1) for group, members in _members(groups)]
    wanted = ((number, key, key.to_xdr(contract)) for number, proof in enumerate(proofs) for key in _keys(proof))
    at_least = max((group.synced_ledger for group in groups), default=0)

    def ask(part: Sequence[tuple[int, Key, str]]) -> Entries:
        answer = client.get_entries([name for *_, name in part], at_least=at_least)
        counts["calls"] = counts.get("calls", 0) + 1
        return answer

    while asked := list(islice(wanted, MAX_KEYS)):
        for part, answer in in_halves(ask, asked):
            for number, key, name in part:
                proof = proofs[number]
                proof.ledger = min(proof.ledger or answer.ledger, answer.ledger)
                if entry := answer.found.get(name):
                    proof.note(key, name, entry)
            whole = part[-1][0]  # of the group after these there may be more
            if whole and deadline.is_past():
                return proofs[:whole]
    return proofs


def _members(groups: Iterable[Group]) -> list[tuple[Group, dict[str, GroupMember]]]:
    members: dict[int, dict[str, GroupMember]] = {group.pk: {} for group in groups}
    rows = GroupMember.objects.filter(group_id__in=members).select_related("user")
    for member in rows.order_by("group_id", "position"):
        members[member.group_id][member.user.wallet_address] = member
    return [(group, members[group.pk]) for group in groups]


def _keys(proof: Proof) -> Iterator[Key]:
    """Every round that is asked for × its members: who joined later has no entry, which is no contribution."""
    group = proof.group
    yield RefundRequestKey(group.pk)  # for its life only: what it says is part of the group's state
    for wallet, member in proof.members.items():
        for cycle in range(proof.from_round, group.current_round + 1):
            yield ContribKey(group.pk, cycle, wallet)
        if member.position < group.payout_index:
            yield PayoutKey(group.pk, wallet)
        if not group.is_active:
            yield RefundKey(group.pk, wallet)


def write_missing(proofs: Sequence[Proof], *, up_to: int | None = None) -> dict[str, int]:
    """Insert what entries prove and no row shows; rows that an event told stay as they are. Returns how many of each.

    `up_to`: leave entries out that are younger than this ledger, for their events are still to come.
    """
    groups = {proof.group.pk: proof.group for proof in proofs}
    set_aside([undecoded for proof in proofs for undecoded in proof.undecoded])
    counts, left_out = {}, set()
    contributed: set[tuple[int, int, int]] = set()  # group, round, wallet
    for model, make in ((Contribution, _contributions), (Payout, _payouts), (Refund, _refunds)):
        known = set(model.objects.filter(group_id__in=groups).values_list("group_id", "round", "user_id"))
        missing: dict[tuple[int, int, int], Any] = {}
        for row, ledger in (pair for proof in proofs for pair in make(proof)):
            place = (row.group_id, row.round, row.user_id)
            if model is Payout and place not in contributed:
                left_out.add(row.group_id)  # who is paid out has paid: the node left entries out, and is asked again
            elif place not in known and (up_to is None or ledger <= up_to):
                missing[place] = row
            elif place not in known:
                left_out.add(row.group_id)
        if model is Contribution:
            contributed = known | missing.keys()
        if model is Payout:  # it paid one contribution for each entry of its round
            paid = Counter((group_id, cycle) for group_id, cycle, _ in contributed)
            for row in missing.values():
                row.amount = groups[row.group_id].contribution_amount * paid[row.group_id, row.round]
        model.objects.bulk_create(missing.values(), ignore_conflicts=True)
        counts[f"{model.__name__.lower()}s"] = len(missing)
    # The current round of an active group is still open. An event that is still to come may never do so: what it would
    # tell is asked for again.
    noted: list[Group] = []
    for proof in proofs:
        group = proof.group
        before = (group.verified_round, group.history_live_until_ledger)
        if group.pk not in left_out:
            group.verified_round = group.current_round - int(group.is_active)
        group.history_live_until_ledger = proof.live_until
        if before != (group.verified_round, group.history_live_until_ledger):
            noted.append(group)
    Group.objects.bulk_update(noted, ["verified_round", "history_live_until_ledger"])
    return counts


Rows = Iterator[tuple[HistoryRow, int]]  # with the ledger at which the entry was written


def _contributions(proof: Proof) -> Rows:
    for (cycle, wallet), ledger in sorted(proof.contributions.items()):
        yield Contribution(amount=proof.group.contribution_amount, **_identity(proof, cycle, wallet)), ledger


def _payouts(proof: Proof) -> Rows:
    for (cycle, wallet), ledger in sorted(proof.payouts.items()):
        yield Payout(amount=0, **_identity(proof, cycle, wallet)), ledger  # the amount is counted when it is written


def _refunds(proof: Proof) -> Rows:
    for (cycle, wallet), ledger in sorted(proof.refunds.items()):
        said = proof.refund_records[wallet]
        yield (
            Refund(
                amount=said.amount,
                reason=said.reason,
                created_at=moment(said.timestamp),
                **_identity(proof, cycle, wallet),
            ),
            ledger,
        )


def _identity(proof: Proof, cycle: int, wallet: str) -> dict[str, int]:
    return {"group_id": proof.group.pk, "round": cycle, "user_id": proof.members[wallet].user_id}
