"""Writes snapshots of groups to their tables. A newer row is never overwritten. Nothing here calls the RPC."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from django.db import transaction
from django.db.models.functions import Now

from ajo.soroban.models import Checkpoint, UndecodedEntry
from groups.models import Group, GroupMember, RefundRequest, User
from groups.rows import (
    ENTRY_FIELDS,
    SNAPSHOT_FIELDS,
    MemberValues,
    differing_fields,
    group_row,
    has_changed,
    is_same_group,
    member_rows,
    refund_request_row,
    wallet_addresses,
)
from groups.snapshots import GroupSnapshot, Snapshots, Undecoded
from groups.tokens import ensure_tokens

Differences = dict[int, set[str]]  # by group id the columns, `members` or `refund_request` that differed


def write_snapshots(snapshots: Snapshots, *, force: bool = False, differences: Differences | None = None) -> set[int]:
    """Write these snapshots in one transaction. Return the ids of the groups whose bodies changed.

    Rows are locked in id order. Of two writers the one with the newer ledger wins, whichever comes first. A row of a
    ledger that the network cannot have reached counts as older than any. Silently skipped are snapshots that are older
    than the row, and those whose creation differs from the stored one unless they are `recreated`.

    Undecoded entries are stored. A group with one, and without a snapshot, keeps its row and is marked as unreadable
    until a later snapshot: the row is stale, so the API does not serve it.

    `force`: overwrite the rows whatever they hold, as a rebuild does. `differences`: compare every column, member and
    refund request instead of COMPARED_FIELDS, and fill it with what differs.
    """
    groups = snapshots.groups
    with transaction.atomic():
        users = User.objects.ensure(wallet_addresses(groups.values()))
        ensure_tokens(snapshot.group.token_address for snapshot in groups.values())
        rows = {group_id: group_row(groups[group_id], users) for group_id in sorted(groups)}
        known = set(Group.objects.filter(id__in=rows).values_list("id", flat=True))
        new = [row for group_id, row in rows.items() if group_id not in known]
        Group.objects.bulk_create(new, ignore_conflicts=True)
        changed, unchanged = _lock_and_compare(snapshots, rows, users, known, force=force, differences=differences)
        Group.objects.bulk_create(
            [rows[group_id] for group_id in changed],
            update_conflicts=True,
            update_fields=SNAPSHOT_FIELDS,
            unique_fields=["id"],
        )
        for ledger, ids in unchanged.items():
            Group.objects.filter(id__in=ids).update(synced_ledger=ledger, synced_at=Now())
        _write_members(changed, users)
        _write_refund_requests(changed, users)
        marked = _mark_unreadable(snapshots, force=force)
        store_undecoded(snapshots.undecoded)
    return changed.keys() | marked


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


def _lock_and_compare(
    snapshots: Snapshots,
    rows: Mapping[int, Group],
    users: Mapping[str, int],
    known: Container[int],
    *,
    force: bool,
    differences: Differences | None,
) -> tuple[dict[int, GroupSnapshot], dict[int, list[int]]]:
    """Lock the stored rows in id order and raise the revisions of `rows`. `known`: ids that were stored before.

    Return the snapshots that changed, and the ids of those that did not, by ledger. Rows that no snapshot may replace
    are in neither.
    """
    newest = Checkpoint.objects.newest_possible()
    # OF self locks the groups alone, not the rows that they refer to.
    stored = Group.objects.filter(id__in=rows).select_related("refund_request").order_by("id")
    members = {} if differences is None else _stored_members(rows)
    changed: dict[int, GroupSnapshot] = {}
    unchanged: dict[int, list[int]] = {}
    for old in stored.select_for_update(of=("self",)):
        snapshot, row = snapshots.groups[old.pk], rows[old.pk]
        if not force and not _may_replace(old, row, snapshot, newest, snapshots.recreated):
            continue
        row.revision = max(old.revision + 1, row.revision)
        if old.pk not in known:
            wrong = set(ENTRY_FIELDS)
        elif differences is not None:
            wrong = differing_fields(old, row, snapshot, members.get(old.pk, []), users)
        else:
            wrong = set(ENTRY_FIELDS) if force or has_changed(old, row, snapshot) else set()
        if not wrong:
            unchanged.setdefault(row.synced_ledger, []).append(old.pk)
            continue
        changed[old.pk] = snapshot
        if differences is not None:
            differences[old.pk] = wrong
    return changed, unchanged


def _may_replace(old: Group, row: Group, snapshot: GroupSnapshot, newest: int, recreated: Container[int]) -> bool:
    """Return whether the row is no older than the stored one, and of the same creation where that matters.

    `newest`: the newest ledger that the network can have reached.
    """
    if row.synced_ledger < old.synced_ledger <= newest:
        return False
    # Another creation: another writer stored the group a moment ago, and the next snapshot is read twice.
    return old.pk in recreated or is_same_group(old, row, snapshot)


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


def _stored_members(ids: Iterable[int]) -> dict[int, list[MemberValues]]:
    """Return the members of each group in payout order."""
    stored: dict[int, list[MemberValues]] = {}
    rows = GroupMember.objects.filter(group_id__in=list(ids)).order_by("group_id", "position")
    for group_id, user_id, position, has_paid in rows.values_list("group_id", "user_id", "position", "has_contributed"):
        stored.setdefault(group_id, []).append((user_id, position, has_paid))
    return stored


def _write_members(snapshots: Mapping[int, GroupSnapshot], users: Mapping[str, int]) -> None:
    wanted = [member for group_id, snapshot in snapshots.items() for member in member_rows(group_id, snapshot, users)]
    positions = {(member.group_id, member.user_id): member.position for member in wanted}
    stored = GroupMember.objects.filter(group_id__in=snapshots).values_list("pk", "group_id", "user_id", "position")
    # The contract never moves or drops a member today. An upgraded one may, and the entry decides.
    misplaced = [pk for pk, group_id, user_id, position in stored if positions.get((group_id, user_id)) != position]
    if misplaced:
        GroupMember.objects.filter(pk__in=misplaced).delete()
    GroupMember.objects.bulk_create(
        wanted, update_conflicts=True, update_fields=["has_contributed"], unique_fields=["group", "user"]
    )


def _write_refund_requests(snapshots: Mapping[int, GroupSnapshot], users: Mapping[str, int]) -> None:
    wanted = [refund_request_row(group_id, snapshot, users) for group_id, snapshot in snapshots.items()]
    rows = [row for row in wanted if row]
    RefundRequest.objects.filter(group_id__in=snapshots.keys() - {row.group_id for row in rows}).delete()
    RefundRequest.objects.bulk_create(
        rows,
        update_conflicts=True,
        update_fields=[field.name for field in RefundRequest._meta.concrete_fields if not field.primary_key],
        unique_fields=["group"],
    )
