"""`GET groups/{id}/entries/`: the ledger entries behind a group, so that anybody can compare them with any RPC.

GROUP, METADATA and REFREQ are stored as they were read. CONTRIB, PAYOUT and REFUND are written anew from their rows:
their values follow from them (ajo/soroban/contract/entries.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ajo.api.fields import AddressField, U32Field
from ajo.api.params import path_group_id
from ajo.api.schema import GROUP_ID
from ajo.soroban.contract import entries as on_chain
from ajo.soroban.contract.entries import Entry
from ajo.soroban.contract.keys import ContribKey, GroupKey, Key, MetadataKey, PayoutKey, RefundKey, RefundRequestKey
from ajo.soroban.models import Checkpoint, ContractEvent
from contributions.models import Contribution, HistoryRow, Payout, Refund
from groups.models import Group, GroupMember
from groups.views import InGroupViewSet

# The events that announce a change of the GROUP and of the REFREQ entry (docs/chain.md §1).
GROUP_EVENTS: Final = ("created", "joined", "payout", "cancel", "refund", "emrefund")
REQUEST_EVENTS: Final = ("refreq", "refvote")


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """A ledger entry: key (LedgerKey) and xdr (LedgerEntryData) in base64. A ledger that nobody knows is None."""

    key: str
    xdr: str
    last_modified_ledger: int | None
    live_until_ledger: int | None


class EntrySerializer(serializers.Serializer[ShownEntry]):
    """One ledger entry, in the form of the RPC's getLedgerEntries."""

    key = serializers.CharField(read_only=True, help_text="The LedgerKey, base64 XDR: what getLedgerEntries takes.")
    xdr = serializers.CharField(read_only=True, help_text="The LedgerEntryData, base64 XDR: what it answers as `xdr`.")
    last_modified_ledger = U32Field(
        allow_null=True, help_text="When it was last written, as events tell; null where no event tells of it."
    )
    live_until_ledger = U32Field(
        allow_null=True, help_text="It is not archived before this ledger; null if archived or not known."
    )


class EntriesSerializer(serializers.Serializer[Any]):
    """The entries behind a group as they stood at `read_ledger`, as far as this service knows."""

    contract = AddressField(help_text="The contract that the entries belong to.")
    network_passphrase = serializers.CharField(read_only=True, help_text="The network that it is on.")
    read_ledger = U32Field(
        help_text="The ledger at which the group was last read: what was written later may differ on the chain."
    )
    entries = EntrySerializer(
        many=True, read_only=True,
        help_text="GROUP; METADATA and REFREQ where there are any; CONTRIB of the current round, PAYOUT, and REFUND by "
        "member. The first three are stored as they were read; the others are written anew from the service's rows.",
    )  # fmt: skip


class GroupEntriesViewSet(InGroupViewSet):
    queryset = Group.objects.all()
    serializer_class = EntriesSerializer
    pagination_class = None

    @extend_schema(
        summary="The ledger entries behind a group",
        description="Key and value of every entry that the group's body shows, so that nobody needs to believe this "
        "service: any Stellar RPC's getLedgerEntries gives the same for these keys. The guide has a checker of 40 "
        "lines. Entries of earlier rounds are named by `entry_key` of their contributions and payouts.",
        parameters=[GROUP_ID],
    )
    def retrieve(self, request: Request, group_id: str) -> Response:
        self.filter_by_path(GroupMember.objects.none())  # reads the group from the chain unless the tables have it
        group = Group.objects.select_related("refund_request").get(pk=path_group_id(group_id))
        checkpoint = Checkpoint.objects.current()
        found = {
            "contract": checkpoint.contract if checkpoint else None,
            "network_passphrase": checkpoint.network_passphrase if checkpoint else None,
            "read_ledger": min(group.synced_ledger, Checkpoint.objects.newest_possible()),
            "entries": list(entries_of(group, checkpoint.contract)) if checkpoint else [],
        }
        return Response(self.get_serializer(found).data)


def entries_of(group: Group, contract: str) -> list[ShownEntry]:
    """Return the entries behind a group, in the order of EntriesSerializer.entries. Six queries at most."""
    members = {member.user_id: member for member in group.memberships.select_related("user").order_by("position")}
    history = [*_history(group, contract, members)]
    live_until = group.live_until_ledger or None
    request = getattr(group, "refund_request", None)
    request_ledger = _last_event(group, REQUEST_EVENTS) if request and not request.executed else None
    group_ledger = _last_event(group, GROUP_EVENTS)
    # METADATA has no event: only as the newest of all entries does it tell when it was written
    others = [group_ledger, request_ledger if request else 0, *(entry.last_modified_ledger for entry in history)]
    is_newest = None not in others and group.modified_ledger > max(each or 0 for each in others)
    texts_ledger = group.modified_ledger if is_newest else None
    shown = [ShownEntry(GroupKey(group.pk).to_xdr(contract), group.entry_xdr, group_ledger, live_until)]
    if group.metadata_xdr:
        shown.append(ShownEntry(MetadataKey(group.pk).to_xdr(contract), group.metadata_xdr, texts_ledger, live_until))
    if request:
        key = RefundRequestKey(group.pk).to_xdr(contract)
        shown.append(ShownEntry(key, request.entry_xdr, request_ledger, group.history_live_until_ledger or None))
    return shown + history


def _history(group: Group, contract: str, members: dict[int, GroupMember]) -> Iterator[ShownEntry]:
    end = group.history_live_until_ledger or None
    paid = {row.user_id: row for row in Contribution.objects.filter(group=group, round=group.current_round)}
    for user_id, member in members.items():
        if member.has_contributed:
            key = ContribKey(group.pk, group.current_round, member.user.wallet_address)
            yield _mark(key, contract, paid.get(user_id), end)
    payouts = {row.user_id: row for row in Payout.objects.filter(group=group)}
    for user_id, member in members.items():
        if member.position < group.payout_index:
            yield _mark(PayoutKey(group.pk, member.user.wallet_address), contract, payouts.get(user_id), end)
    refunds = Refund.objects.filter(group=group).exclude(created_at=None).order_by("created_at", "id")
    newest = {row.user_id: row for row in refunds}
    for user_id, member in members.items():
        if row := newest.get(user_id):
            wallet, timestamp = member.user.wallet_address, int(row.created_at.timestamp())
            value = on_chain.Refund(group.pk, wallet, int(row.amount), timestamp, int(row.reason))
            refund = RefundKey(group.pk, wallet)
            xdr = Entry(contract, refund, value).to_xdr()
            yield ShownEntry(refund.to_xdr(contract), xdr, row.ledger, end)


def _mark(key: Key, contract: str, row: HistoryRow | None, end: int | None) -> ShownEntry:
    return ShownEntry(key.to_xdr(contract), Entry(contract, key, True).to_xdr(), row.ledger if row else None, end)


def _last_event(group: Group, types: tuple[str, ...]) -> int | None:
    """Return the ledger of the group's newest event of these types; None without one."""
    events = ContractEvent.objects.filter(group_id=group.pk, type__in=types).order_by("-id")
    ledger: int | None = events.values_list("ledger", flat=True).first()
    return ledger
