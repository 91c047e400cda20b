"""Builds unsaved rows from a snapshot of a group, and compares them with the stored ones. Nothing here queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.db.models.functions import Now

from ajo.soroban.contract import entries as on_chain
from ajo.soroban.contract.codec import DecodeError
from ajo.soroban.contract.entries import decode_entry, printable
from ajo.soroban.times import timestamp_to_datetime
from groups.models import Group, GroupMember, RefundRequest
from groups.snapshots import GroupSnapshot

# The columns that a snapshot does not decide: those of sweeps, and the search key, which a trigger writes.
_OTHER_COLUMNS = {"verified_round", "history_live_until_ledger", "unproven_rows", "drifted_at", "search_key"}
_SNAPSHOT_COLUMNS = [
    field
    for field in Group._meta.concrete_fields
    if not (field.primary_key or field.generated or field.name in _OTHER_COLUMNS)
]
SNAPSHOT_FIELDS = [field.name for field in _SNAPSHOT_COLUMNS]
# The columns that repeat the entries. The other ones of a snapshot say when it was read.
_READ_COLUMNS = {"synced_ledger", "synced_at", "changed_at", "revision"}
ENTRY_FIELDS = [field.attname for field in _SNAPSHOT_COLUMNS if field.name not in _READ_COLUMNS]
REFUND_REQUEST_FIELDS = [field.attname for field in RefundRequest._meta.concrete_fields]
# A revision starts at this multiple of the ledger, so that a restored table or a removed group never repeats one. It is
# more than the changes of a group within one ledger.
REVISIONS_PER_LEDGER = 1000
# The fields that tell whether a group changed, where not every one is compared.
COMPARED_FIELDS = [
    "entry_xdr", "metadata_xdr", "contributions_received", "modified_ledger", "live_until_ledger", "unreadable_since",
]  # fmt: skip

MemberValues = tuple[int, int, bool]  # user id, position, has_contributed


def wallet_addresses(snapshots: Iterable[GroupSnapshot]) -> set[str]:
    """Return the addresses of all wallets that these snapshots name."""
    found: set[str] = set()
    for snapshot in snapshots:
        found.update(snapshot.group.members, [snapshot.group.creator])
        if snapshot.refund_request:
            found.add(snapshot.refund_request.requester)
    return found


def group_row(snapshot: GroupSnapshot, users: Mapping[str, int]) -> Group:
    """Return the unsaved row of a group. `users`: the primary key of each wallet by address."""
    group = snapshot.group
    metadata = snapshot.metadata
    return Group(
        id=group.id,
        name=printable(metadata.name) if metadata else "",
        description=printable(metadata.description) if metadata else "",
        rules=printable(metadata.rules) if metadata else "",
        creator_id=users[group.creator],
        token_id=group.token_address,
        contribution_amount=group.contribution_amount,
        cycle_duration=group.cycle_duration,
        grace_period=group.grace_period,
        penalty_rate=group.penalty_rate,
        insurance_rate_bps=group.insurance_config.rate_bps if group.insurance_config else None,
        max_members=group.max_members,
        member_count=len(group.members),
        current_round=group.current_cycle,
        payout_index=group.payout_index,
        contributions_received=len(snapshot.paid),
        status=group.status,
        created_at=timestamp_to_datetime(group.created_at),
        round_started_at=timestamp_to_datetime(group.cycle_start_time),
        entry_xdr=snapshot.group_xdr,
        metadata_xdr=snapshot.metadata_xdr,
        modified_ledger=snapshot.modified_ledger,
        synced_ledger=snapshot.ledger,
        revision=REVISIONS_PER_LEDGER * snapshot.ledger,
        changed_at=Now(),
        synced_at=Now(),
        live_until_ledger=snapshot.live_until,
    )


def member_rows(group_id: int, snapshot: GroupSnapshot, users: Mapping[str, int]) -> list[GroupMember]:
    """Return the unsaved members of a group in payout order."""
    return [
        GroupMember(
            group_id=group_id, user_id=users[address], position=position, has_contributed=address in snapshot.paid
        )
        for position, address in enumerate(dict.fromkeys(snapshot.group.members))
    ]


def refund_request_row(group_id: int, snapshot: GroupSnapshot, users: Mapping[str, int]) -> RefundRequest | None:
    """Return the unsaved refund request of a group; None where it has none."""
    if not (request := snapshot.refund_request):
        return None
    return RefundRequest(
        group_id=group_id,
        requester_id=users[request.requester],
        created_at=timestamp_to_datetime(request.created_at),
        voting_deadline=timestamp_to_datetime(request.voting_deadline),
        votes_for=request.votes_for,
        votes_against=request.votes_against,
        executed=request.executed,
        approved=request.approved,
        entry_xdr=snapshot.refund_request_xdr,
    )


def is_same_group(old: Group, row: Group, snapshot: GroupSnapshot) -> bool:
    """Return whether creator and time of creation agree, in the columns or else in the stored entry."""
    columns = (old.created_at, old.creator_id) == (row.created_at, row.creator_id)
    return columns or is_entry_of(old.entry_xdr, snapshot.group)


def is_entry_of(xdr: str, group: on_chain.Group) -> bool:
    """Return whether a stored GROUP entry (base64) has this group's id and creation; False if it cannot be decoded."""
    try:
        stored = decode_entry(xdr).value
    except DecodeError:
        return False
    return isinstance(stored, on_chain.Group) and (stored.id, stored.creator, stored.created_at) == (
        group.id, group.creator, group.created_at,
    )  # fmt: skip


def has_changed(old: Group, row: Group, snapshot: GroupSnapshot) -> bool:
    """Return whether COMPARED_FIELDS or the refund request differ.

    Members need no comparison: within a round payments only add up, so an equal count is the same members.
    """
    request = old.refund_request.entry_xdr if hasattr(old, "refund_request") else ""
    return request != snapshot.refund_request_xdr or any(
        getattr(old, name) != getattr(row, name) for name in COMPARED_FIELDS
    )


def differing_fields(
    old: Group, row: Group, snapshot: GroupSnapshot, members: Sequence[MemberValues], users: Mapping[str, int]
) -> set[str]:
    """Return the columns, `members` and `refund_request` in which the stored rows differ from the snapshot."""
    wrong = {name for name in ENTRY_FIELDS if getattr(old, name) != getattr(row, name)}
    if members != [(m.user_id, m.position, m.has_contributed) for m in member_rows(old.pk, snapshot, users)]:
        wrong.add("members")
    stored, read = getattr(old, "refund_request", None), refund_request_row(old.pk, snapshot, users)
    if [stored and getattr(stored, name) for name in REFUND_REQUEST_FIELDS] != [
        read and getattr(read, name) for name in REFUND_REQUEST_FIELDS
    ]:
        wrong.add("refund_request")
    return wrong
