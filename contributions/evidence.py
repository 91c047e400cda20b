"""Evidence: what CONTRIB, PAYOUT and REFUND entries prove of a group's history, and the rows made from it.

Entries of history never go away (docs/chain.md §1.1): they prove what no event announces any more. Round, wallet, group
and amount are exact. The ledger is the one at which the entry was last written: exact, or a later one if the entry was
restored from the archive since. A REFUND entry holds its time; the transaction, the event and other times are null. If
the event turns up later, `HistoryQuerySet.record` completes the same row. Nothing here asks the chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ajo.database.bulk import Row
from ajo.soroban.contract import entries as on_chain
from ajo.soroban.contract.codec import DecodeError
from ajo.soroban.contract.entries import decode_entry
from ajo.soroban.contract.keys import ContribKey, Key, PayoutKey, RefundKey, RefundRequestKey
from ajo.soroban.rpc.client import LedgerEntry, earliest_live_until
from ajo.soroban.times import timestamp_to_datetime
from contributions.event_rows import Identity, identity_of
from contributions.models import Contribution, HistoryRow, Payout, Refund
from groups.models import Group, GroupMember
from groups.snapshots import Undecoded
from groups.sync import store_undecoded


@dataclass(slots=True)
class Evidence:
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
    wallets: dict[int, str] = field(init=False)  # of the members, by their primary keys

    def __post_init__(self) -> None:
        self.wallets = {member.user_id: wallet for wallet, member in self.members.items()}

    @property
    def is_whole(self) -> bool:
        """Whether these entries of all rounds agree with each other and with the group's row.

        Who comes before `payout_index` was paid out and had paid in; who has paid this round, or was refunded, has an
        entry that says so. If not, the node has left entries out, and what is not among them may exist.
        """
        group, members = self.group, self.members.items()
        paid_out = {(m.position + 1, wallet) for wallet, m in members if m.position < group.payout_index}
        paying = {(group.current_round, wallet) for wallet, m in members if m.has_contributed}
        has_paid = paid_out | paying | self.refunds.keys()
        return paid_out <= self.payouts.keys() and has_paid <= self.contributions.keys()

    def add(self, other: Evidence) -> None:
        """Take what another reading of the same group has found: no entry of history ever goes away."""
        self.contributions |= other.contributions
        self.payouts |= other.payouts
        self.refunds |= other.refunds
        self.refund_records |= other.refund_records
        self.unread_refunds |= other.unread_refunds

    def confirms(self, model: type[HistoryRow], row: Row) -> bool:
        """Whether the entries, of all rounds, say what the row does."""
        wallet = self.wallets.get(row["user_id"], "")
        place, amount = (row["round"], wallet), self.group.contribution_amount
        if model is Contribution:
            return place in self.contributions and row["amount"] == amount
        if model is Payout:
            return place in self.payouts and row["amount"] == amount * self._paid()[row["round"]]
        said = self.refund_records.get(wallet)
        if said is None or place not in self.refunds:
            return wallet in self.unread_refunds
        return (row["amount"], row["reason"]) == (said.amount, said.reason)

    def has_overwritten(self, row: Row) -> bool:
        """Whether the wallet's REFUND entry may have said this, before a later refund was written over it."""
        wallet = self.wallets.get(row["user_id"], "")
        said, written = self.refund_records.get(wallet), self.refunds.get((row["round"], wallet))
        if said is None or written is None:
            return False
        if row["ledger"] is not None and row["ledger"] > written:
            return False
        return row["reason"] != said.reason and bool(row["amount"] == self.group.contribution_amount)

    def rows(self, model: type[HistoryRow]) -> Iterator[dict[str, Any]]:
        """What the entries prove, as rows; a payout's amount is counted from the rounds that were asked for."""
        entries = {Contribution: self.contributions, Payout: self.payouts, Refund: self.refunds}[model]
        paid = self._paid()
        for (cycle, wallet), ledger in sorted(entries.items()):
            row = {
                "group_id": self.group.pk, "user_id": self.members[wallet].user_id, "round": cycle,
                "amount": self.group.contribution_amount * (paid[cycle] if model is Payout else 1),
                "tx_hash": None, "event_id": None, "ledger": ledger, "created_at": None,
            }  # fmt: skip
            if model is Refund:
                said = self.refund_records[wallet]
                row |= {
                    "amount": said.amount,
                    "created_at": timestamp_to_datetime(said.timestamp),
                    "reason": said.reason,
                }
            yield row

    def _paid(self) -> Counter[int]:
        """How many have paid each round."""
        return Counter(cycle for cycle, _ in self.contributions)

    def add_entry(self, key: Key, name: str, entry: LedgerEntry) -> None:
        """Take an entry that exists. A payout's round is its recipient's position, from 1."""
        self.live_until = earliest_live_until(self.live_until, entry.get("liveUntilLedgerSeq"))
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


def keys_to_read(proof: Evidence) -> Iterator[Key]:
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


def backfill_rows(proofs: Sequence[Evidence]) -> dict[str, int]:
    """Insert what entries prove and no row shows; what an event told stays as it is. Returns how many of each."""
    groups = {proof.group.pk: proof.group for proof in proofs}
    store_undecoded([undecoded for proof in proofs for undecoded in proof.undecoded])
    counts, left_out = {}, set()
    contributed: set[Identity] = set()
    for model in (Contribution, Payout, Refund):
        known = set(model.objects.filter(group_id__in=groups).values_list(*model.identity))
        missing: dict[Identity, dict[str, Any]] = {}
        for row in (row for proof in proofs for row in proof.rows(model)):
            identity = identity_of(model, row)
            if model is Payout and identity not in contributed:
                left_out.add(row["group_id"])  # who is paid out has paid: the node left entries out, and is asked again
            elif identity not in known:
                missing[identity] = row
        if model is Contribution:
            contributed = known | missing.keys()
        if model is Payout:  # it paid one contribution for each entry of its round
            paid = Counter((group_id, cycle) for group_id, cycle, _ in contributed)
            for row in missing.values():
                amount = groups[row["group_id"]].contribution_amount
                row["amount"] = amount * paid[row["group_id"], row["round"]]
        counts[f"{model.__name__.lower()}s"] = model.objects.recover(list(missing.values()))
    note_verified(proofs, left_out)
    return counts


def note_verified(proofs: Sequence[Evidence], left_out: Set[int]) -> None:
    """Note up to which round these groups' history is what the entries prove, and when the first entry is archived.

    The current round of an active group is still open. Of the groups in `left_out` the entries are asked for again: an
    event that is still to come may never do so.
    """
    buffered_metrics: list[Group] = []
    for proof in proofs:
        group = proof.group
        before = (group.verified_round, group.history_live_until_ledger)
        if group.pk not in left_out:
            group.verified_round = group.current_round - int(group.is_active)
        group.history_live_until_ledger = proof.live_until
        if before != (group.verified_round, group.history_live_until_ledger):
            buffered_metrics.append(group)
    Group.objects.bulk_update(buffered_metrics, ["verified_round", "history_live_until_ledger"])
