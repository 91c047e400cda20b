"""Collects evidence: what CONTRIB, PAYOUT and REFUND entries prove of a group's history. Makes rows from it.

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
from ajo.soroban.rpc.answers import LedgerEntry, earliest_live_until
from ajo.soroban.times import timestamp_to_datetime
from contributions.event_rows import Identity, identity_of
from contributions.models import HISTORY, Contribution, HistoryRow, Payout, Refund
from groups.models import Group, GroupMember
from groups.snapshots import Undecoded
from groups.sync import store_undecoded


@dataclass(slots=True)
class Evidence:
    """Holds what one group's entries prove, at `ledger`, of its history from round `from_round` on.

    `contributions`, `payouts` and `refunds` hold, by (round, wallet), the ledger at which the entry was written.
    """

    group: Group
    members: dict[str, GroupMember]
    from_round: int
    ledger: int = 0
    contributions: dict[tuple[int, str], int] = field(default_factory=dict)
    payouts: dict[tuple[int, str], int] = field(default_factory=dict)
    refunds: dict[tuple[int, str], int] = field(default_factory=dict)
    refund_records: dict[str, on_chain.Refund] = field(default_factory=dict)  # by wallet
    undecoded_refunds: set[str] = field(default_factory=set)  # wallets whose entry exists and cannot be decoded
    undecoded: list[Undecoded] = field(default_factory=list)
    live_until: int | None = None  # the ledger at which the first of its entries is archived
    wallets: dict[int, str] = field(init=False)  # the members' addresses, by primary key

    def __post_init__(self) -> None:
        self.wallets = {member.user_id: wallet for wallet, member in self.members.items()}

    @property
    def is_complete(self) -> bool:
        """Return whether these entries, of all rounds, agree with each other and with the group's row.

        Every member before `payout_index` has a PAYOUT entry and a CONTRIB entry of that round. Every member who has
        paid this round, or was refunded, has a CONTRIB entry. If one is missing, the node has left entries out, and
        the absence of others proves nothing.
        """
        group, members = self.group, self.members.items()
        paid_out = {(m.position + 1, wallet) for wallet, m in members if m.position < group.payout_index}
        paying = {(group.current_round, wallet) for wallet, m in members if m.has_contributed}
        has_paid = paid_out | paying | self.refunds.keys()
        return paid_out <= self.payouts.keys() and has_paid <= self.contributions.keys()

    def merge(self, other: Evidence) -> None:
        """Add the entries of another reading of the same group: no entry of history ever goes away."""
        self.contributions |= other.contributions
        self.payouts |= other.payouts
        self.refunds |= other.refunds
        self.refund_records |= other.refund_records
        self.undecoded_refunds |= other.undecoded_refunds

    def confirms(self, model: type[HistoryRow], row: Row) -> bool:
        """Return whether the entries, of all rounds, confirm the row's round, wallet, amount and reason.

        A REFUND entry that cannot be decoded confirms whatever the row says.
        """
        wallet = self.wallets.get(row["user_id"], "")
        key, amount = (row["round"], wallet), self.group.contribution_amount
        if model is Contribution:
            return key in self.contributions and row["amount"] == amount
        if model is Payout:
            return key in self.payouts and row["amount"] == amount * self._contributors()[row["round"]]
        record = self.refund_records.get(wallet)
        if record is None or key not in self.refunds:
            return wallet in self.undecoded_refunds
        return (row["amount"], row["reason"]) == (record.amount, record.reason)

    def has_overwritten(self, row: Row) -> bool:
        """Return whether the wallet's REFUND entry may have confirmed the row before a later refund overwrote it."""
        wallet = self.wallets.get(row["user_id"], "")
        record, written = self.refund_records.get(wallet), self.refunds.get((row["round"], wallet))
        if record is None or written is None:
            return False
        if row["ledger"] is not None and row["ledger"] > written:
            return False
        return row["reason"] != record.reason and bool(row["amount"] == self.group.contribution_amount)

    def rows(self, model: type[HistoryRow]) -> Iterator[dict[str, Any]]:
        """Yield the rows that the entries prove, in order of round and wallet.

        A payout's amount is the contributions of its round among these entries; see `backfill_rows` for the others.
        """
        entries = {Contribution: self.contributions, Payout: self.payouts, Refund: self.refunds}[model]
        contributors = self._contributors()
        for (cycle, wallet), ledger in sorted(entries.items()):
            row = {
                "group_id": self.group.pk, "user_id": self.members[wallet].user_id, "round": cycle,
                "amount": self.group.contribution_amount * (contributors[cycle] if model is Payout else 1),
                "tx_hash": None, "event_id": None, "ledger": ledger, "created_at": None,
            }  # fmt: skip
            if model is Refund:
                record = self.refund_records[wallet]
                row |= {
                    "amount": record.amount,
                    "created_at": timestamp_to_datetime(record.timestamp),
                    "reason": record.reason,
                }
            yield row

    def _contributors(self) -> Counter[int]:
        """Count the contributions of each round."""
        return Counter(cycle for cycle, _ in self.contributions)

    def add_entry(self, key: Key, name: str, entry: LedgerEntry) -> None:
        """Add an entry that exists, under its base64 LedgerKey `name`. A payout's round is its recipient's position.

        A REFUND entry that cannot be decoded is kept as undecoded. Other keys count for the archival ledger only.
        """
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
                    self.undecoded_refunds.add(key.member)
                    self.undecoded.append(Undecoded(name, self.group.pk, entry["xdr"], str(failure), self.ledger))
                else:
                    self.refunds[self.group.current_round, key.member] = entry["lastModifiedLedgerSeq"]
                    self.refund_records[key.member] = value


def keys_to_read(evidence: Evidence) -> Iterator[Key]:
    """Yield the keys of a group's history: of each round from `from_round` on and each member.

    A member who joined after a round has no entry of it, which rightly means no contribution.
    """
    group = evidence.group
    yield RefundRequestKey(group.pk)  # for its archival ledger only: its value is part of the snapshot
    for wallet, member in evidence.members.items():
        for cycle in range(evidence.from_round, group.current_round + 1):
            yield ContribKey(group.pk, cycle, wallet)
        if member.position < group.payout_index:
            yield PayoutKey(group.pk, wallet)
        if not group.is_active:
            yield RefundKey(group.pk, wallet)


def backfill_rows(all_evidence: Sequence[Evidence]) -> dict[str, int]:
    """Insert the rows that entries prove and the tables lack, and note the rounds as verified. Idempotent.

    Rows that an event announced stay as they are. Groups whose entries contradict themselves (a payout without its
    recipient's contribution) keep their unverified rounds and are read again. Returns how many rows of each table were
    inserted, by name.
    """
    groups = {evidence.group.pk: evidence.group for evidence in all_evidence}
    store_undecoded([undecoded for evidence in all_evidence for undecoded in evidence.undecoded])
    counts, left_out = {}, set()
    contributed: set[Identity] = set()
    for model in HISTORY:
        known = set(model.objects.filter(group_id__in=groups).values_list(*model.identity))
        missing: dict[Identity, dict[str, Any]] = {}
        for row in (row for evidence in all_evidence for row in evidence.rows(model)):
            identity = identity_of(model, row)
            if model is Payout and identity not in contributed:
                left_out.add(row["group_id"])  # a recipient has paid: the node left entries out
            elif identity not in known:
                missing[identity] = row
        if model is Contribution:
            contributed = known | missing.keys()
        if model is Payout:  # a payout's amount is all contributions of its round
            contributors = Counter((group_id, cycle) for group_id, cycle, _ in contributed)
            for row in missing.values():
                amount = groups[row["group_id"]].contribution_amount
                row["amount"] = amount * contributors[row["group_id"], row["round"]]
        counts[model.plural()] = model.objects.recover(list(missing.values()))
    record_verified(all_evidence, left_out)
    return counts


def record_verified(all_evidence: Sequence[Evidence], left_out: Set[int]) -> None:
    """Write the last round of these groups that is verified, and the ledger at which their first entry is archived.

    The current round of an active group is still open. The verified round of groups in `left_out` stays, so that their
    entries are read again.
    """
    changed: list[Group] = []
    for evidence in all_evidence:
        group = evidence.group
        before = (group.verified_round, group.history_live_until_ledger)
        if group.pk not in left_out:
            group.verified_round = group.current_round - int(group.is_active)
        group.history_live_until_ledger = evidence.live_until
        if before != (group.verified_round, group.history_live_until_ledger):
            changed.append(group)
    Group.objects.bulk_update(changed, ["verified_round", "history_live_until_ledger"])
