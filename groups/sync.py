"""Writes snapshots of groups to rows. A newer row is never overwritten. Nothing here calls the RPC."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from django.db import transaction
from django.db.models.functions import Now

from ajo.soroban.contract import entries as on_chain
from ajo.soroban.contract.codec import DecodeError
from ajo.soroban.contract.entries import decode_entry, printable
from ajo.soroban.models import Checkpoint, UndecodedEntry
from ajo.soroban.times import timestamp_to_datetime
from groups.models import Group, GroupMember, RefundRequest, User
from groups.snapshots import GroupSnapshot, Snapshots, Undecoded
from groups.tokens import ensure_tokens

# The columns that a snapshot does not decide: those of the deep sweep, and the search key, which a trigger writes.
_OTHER_COLUMNS = {"verified_round", "history_live_until_ledger", "unproven_rows", "search_key"}
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


Differences = dict[int, set[str]]  # by group id the columns, `members` or `refund_request` that differed


def write_snapshots(snapshots: Snapshots, *, force: bool = False, differences: Differences | None = None) -> set[int]:
    """Write the snapshots and store the undecoded entries. Return the ids of the groups whose bodies changed.

    A group with an entry that cannot be decoded keeps its row and is marked as unreadable until a later snapshot: the
    row is stale, so the API does not serve it. `force` and `differences` are those of `write_groups`.
    """
    with transaction.atomic():
        changed = write_groups(snapshots.groups, force=force, recreated=snapshots.recreated, differences=differences)
        changed |= _mark_unreadable(snapshots, force=force)
        store_undecoded(snapshots.undecoded)
    return changed


def _mark_unreadable(snapshots: Snapshots, *, force: bool) -> set[int]:
    """Mark the groups without a snapshot but with an undecoded entry. Return the ids of those that were readable."""
    newest = Checkpoint.objects.newest_possible()
    unreadable: dict[int, list[int]] = {}
    for entry in snapshots.undecoded:
        if entry.group_id is not None and entry.group_id not in snapshots.groups:
            unreadable.setdefault(entry.ledger, []).append(entry.group_id)
    marked: set[int] = set()
    for ledger, ids in unreadable.items():
        stored = Group.objects.filter(id__in=ids).order_by("id").only("synced_ledger", "unreadable_since")
        older = [row for row in stored.select_for_update() if force or not ledger < row.synced_ledger <= newest]
        Group.objects.filter(id__in=[row.pk for row in older]).update(synced_ledger=ledger)
        readable = {row.pk for row in older if row.unreadable_since is None}
        Group.objects.filter(id__in=readable).update(unreadable_since=Now(), entry_xdr="")
        Group.objects.filter(id__in=readable).touch()
        marked |= readable
    return marked


def write_groups(
    snapshots: Mapping[int, GroupSnapshot],
    *,
    force: bool = False,
    recreated: Container[int] = (),
    differences: Differences | None = None,
) -> set[int]:
    """Write these snapshots in one transaction. Return the ids of the groups that changed.

    Rows are locked in id order. Of two writers the one with the newer ledger wins, whichever comes first. A row of a
    ledger that the network cannot have reached counts as older than any. Silently skipped are snapshots that are older
    than the row, and those whose creation differs from the stored one unless they are among `recreated`.

    `force`: overwrite the rows whatever they hold, as a rebuild does. `differences`: compare every column, member and
    refund request instead of COMPARED_FIELDS, and fill it with what differs.
    """
    with transaction.atomic():
        users = User.objects.ensure(_addresses(snapshots.values()))
        ensure_tokens(snapshot.group.token_address for snapshot in snapshots.values())
        rows = {group_id: _row(snapshots[group_id], users) for group_id in sorted(snapshots)}
        known = set(Group.objects.filter(id__in=rows).values_list("id", flat=True))
        new = [row for group_id, row in rows.items() if group_id not in known]
        Group.objects.bulk_create(new, ignore_conflicts=True)
        newest = Checkpoint.objects.newest_possible()
        # OF self locks the groups alone, not the rows that they refer to.
        stored = Group.objects.filter(id__in=rows).select_related("refund_request").order_by("id")
        members = {} if differences is None else _stored_members(rows)
        changed: dict[int, GroupSnapshot] = {}
        unchanged: dict[int, list[int]] = {}  # by ledger
        for old in stored.select_for_update(of=("self",)):
            snapshot, row = snapshots[old.pk], rows[old.pk]
            if not force and not _may_replace(old, row, snapshot, newest, recreated):
                continue
            row.revision = max(old.revision + 1, row.revision)
            if old.pk not in known:
                wrong = set(ENTRY_FIELDS)
            elif differences is not None:
                wrong = _differences(old, row, snapshot, members.get(old.pk, []), users)
            else:
                wrong = set(ENTRY_FIELDS) if force or _differs(old, row, snapshot) else set()
            if not wrong:
                unchanged.setdefault(row.synced_ledger, []).append(old.pk)
                continue
            changed[old.pk] = snapshot
            if differences is not None:
                differences[old.pk] = wrong
        _write_rows([rows[group_id] for group_id in changed])
        _note_unchanged(unchanged)
        _write_members(changed, users)
        _write_refund_requests(changed, users)
    return set(changed)


def _may_replace(old: Group, row: Group, snapshot: GroupSnapshot, newest: int, recreated: Container[int]) -> bool:
    """Return whether the row is no older than the stored one, and of the same creation where that matters.

    `newest`: the newest ledger that the network can have reached.
    """
    if row.synced_ledger < old.synced_ledger <= newest:
        return False
    # Another creation: another writer stored the group a moment ago, and the next snapshot is read twice.
    return old.pk in recreated or _is_same_group(old, row, snapshot)


def _write_rows(rows: Sequence[Group]) -> None:
    Group.objects.bulk_create(rows, update_conflicts=True, update_fields=SNAPSHOT_FIELDS, unique_fields=["id"])


def _note_unchanged(unchanged: Mapping[int, Sequence[int]]) -> None:
    """Write the ledger and time of snapshots that changed nothing. `unchanged`: group ids by ledger."""
    for ledger, ids in unchanged.items():
        Group.objects.filter(id__in=ids).update(synced_ledger=ledger, synced_at=Now())


def store_undecoded(undecoded: Sequence[Undecoded]) -> None:
    """Store entries that could not be decoded, one row for each key. An older content never replaces a newer one."""
    stored = UndecodedEntry.objects.filter(key__in=[entry.key for entry in undecoded]).values_list("key", "ledger")
    ledgers = dict(stored) if undecoded else {}
    newest = Checkpoint.objects.newest_possible() if undecoded else 0
    UndecodedEntry.objects.bulk_create(
        [
            UndecodedEntry(
                key=entry.key,
                group_id=entry.group_id,
                xdr=entry.xdr,
                error=entry.error,
                ledger=entry.ledger,
                found_at=Now(),
            )
            for entry in undecoded
            if not entry.ledger < ledgers.get(entry.key, 0) <= newest
        ],
        update_conflicts=True,
        update_fields=["xdr", "error", "ledger"],
        unique_fields=["key"],
    )


def _addresses(snapshots: Iterable[GroupSnapshot]) -> set[str]:
    found: set[str] = set()
    for snapshot in snapshots:
        found.update(snapshot.group.members, [snapshot.group.creator])
        if snapshot.refund_request:
            found.add(snapshot.refund_request.requester)
    return found


def _row(snapshot: GroupSnapshot, users: Mapping[str, int]) -> Group:
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


def _differs(old: Group, row: Group, snapshot: GroupSnapshot) -> bool:
    """Return whether COMPARED_FIELDS or the refund request differ.

    Members need no comparison: within a round payments only add up, so an equal count is the same members.
    """
    request = old.refund_request.entry_xdr if hasattr(old, "refund_request") else ""
    return request != snapshot.refund_request_xdr or any(
        getattr(old, name) != getattr(row, name) for name in COMPARED_FIELDS
    )


def _is_same_group(old: Group, row: Group, snapshot: GroupSnapshot) -> bool:
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


def _differences(
    old: Group, row: Group, snapshot: GroupSnapshot, members: Sequence[MemberValues], users: Mapping[str, int]
) -> set[str]:
    """Return the columns, `members` and `refund_request` in which the stored rows differ from the snapshot."""
    wrong = {name for name in ENTRY_FIELDS if getattr(old, name) != getattr(row, name)}
    if members != [(m.user_id, m.position, m.has_contributed) for m in _members(old.pk, snapshot, users)]:
        wrong.add("members")
    stored, read = getattr(old, "refund_request", None), _refund_request(old.pk, snapshot, users)
    if [stored and getattr(stored, name) for name in REFUND_REQUEST_FIELDS] != [
        read and getattr(read, name) for name in REFUND_REQUEST_FIELDS
    ]:
        wrong.add("refund_request")
    return wrong


MemberValues = tuple[int, int, bool]  # user id, position, has_contributed


def _stored_members(ids: Iterable[int]) -> dict[int, list[MemberValues]]:
    """Return the members of each group in payout order."""
    stored: dict[int, list[MemberValues]] = {}
    rows = GroupMember.objects.filter(group_id__in=list(ids)).order_by("group_id", "position")
    for group_id, user_id, position, has_paid in rows.values_list("group_id", "user_id", "position", "has_contributed"):
        stored.setdefault(group_id, []).append((user_id, position, has_paid))
    return stored


def _members(group_id: int, snapshot: GroupSnapshot, users: Mapping[str, int]) -> list[GroupMember]:
    return [
        GroupMember(
            group_id=group_id, user_id=users[address], position=position, has_contributed=address in snapshot.paid
        )
        for position, address in enumerate(dict.fromkeys(snapshot.group.members))
    ]


def _write_members(snapshots: Mapping[int, GroupSnapshot], users: Mapping[str, int]) -> None:
    wanted = [member for group_id, snapshot in snapshots.items() for member in _members(group_id, snapshot, users)]
    positions = {(member.group_id, member.user_id): member.position for member in wanted}
    stored = GroupMember.objects.filter(group_id__in=snapshots).values_list("pk", "group_id", "user_id", "position")
    # The contract never moves or drops a member today. An upgraded one may, and the entry decides.
    misplaced = [pk for pk, group_id, user_id, position in stored if positions.get((group_id, user_id)) != position]
    if misplaced:
        GroupMember.objects.filter(pk__in=misplaced).delete()
    GroupMember.objects.bulk_create(
        wanted, update_conflicts=True, update_fields=["has_contributed"], unique_fields=["group", "user"]
    )


def _refund_request(group_id: int, snapshot: GroupSnapshot, users: Mapping[str, int]) -> RefundRequest | None:
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


def _write_refund_requests(snapshots: Mapping[int, GroupSnapshot], users: Mapping[str, int]) -> None:
    wanted = [_refund_request(group_id, snapshot, users) for group_id, snapshot in snapshots.items()]
    rows = [row for row in wanted if row]
    RefundRequest.objects.filter(group_id__in=snapshots.keys() - {row.group_id for row in rows}).delete()
    RefundRequest.objects.bulk_create(
        rows,
        update_conflicts=True,
        update_fields=[field.name for field in RefundRequest._meta.concrete_fields if not field.primary_key],
        unique_fields=["group"],
    )
