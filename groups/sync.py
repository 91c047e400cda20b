"""Snapshots of groups → rows. A row is never written over a newer one, and nothing here asks the chain."""

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

# Of a row all that a reading decides: every column but those that say what was found of its history, and the search
# key, which a trigger of the database makes of the name with each write.
_NOT_READ = {"verified_round", "history_live_until_ledger", "unproven_rows", "search_key"}
_READ = [
    field
    for field in Group._meta.concrete_fields
    if not (field.primary_key or field.generated or field.name in _NOT_READ)
]
FROM_CHAIN = [field.name for field in _READ]
# Of these all that the entries themselves say; the others say when they were read.
STATED = [
    field.attname for field in _READ if field.name not in {"synced_ledger", "synced_at", "changed_at", "revision"}
]
# Changes of a group within one ledger. Revisions grow with the ledger, so that those of tables that were restored, or
# of a group that was removed, do not come again.
REVISIONS = 1000
REQUEST = [field.attname for field in RefundRequest._meta.concrete_fields]
COMPARED = [
    "entry_xdr", "metadata_xdr", "contributions_received", "modified_ledger", "live_until_ledger", "unreadable_since",
]  # fmt: skip


Found = dict[int, set[str]]  # by group the columns, `members` or `refund_request` that said something else


def write_snapshots(snapshots: Snapshots, *, force: bool = False, found: Found | None = None) -> set[int]:
    """Write what was read and set aside what could not be; returns the ids of the groups whose bodies changed.

    A group of which a part cannot be read keeps its row, but nobody is shown it until a later reading: it is old.
    `force` and `found` are those of `write_groups`.
    """
    with transaction.atomic():
        changed = write_groups(snapshots.groups, force=force, recreated=snapshots.recreated, found=found)
        newest = Checkpoint.objects.newest_possible()
        unreadable: dict[int, list[int]] = {}
        for entry in snapshots.undecoded:
            if entry.group_id is not None and entry.group_id not in snapshots.groups:
                unreadable.setdefault(entry.ledger, []).append(entry.group_id)
        for ledger, ids in unreadable.items():
            known = Group.objects.filter(id__in=ids).order_by("id").only("synced_ledger", "unreadable_since")
            older = [old for old in known.select_for_update() if force or not ledger < old.synced_ledger <= newest]
            Group.objects.filter(id__in=[old.pk for old in older]).update(synced_ledger=ledger)
            hidden = {old.pk for old in older if old.unreadable_since is None}
            Group.objects.filter(id__in=hidden).update(unreadable_since=Now(), entry_xdr="")
            Group.objects.filter(id__in=hidden).touch()
            changed |= hidden
        store_undecoded(snapshots.undecoded)
    return changed


def write_groups(
    snapshots: Mapping[int, GroupSnapshot],
    *,
    force: bool = False,
    recreated: Container[int] = (),
    found: Found | None = None,
) -> set[int]:
    """Write these snapshots; returns the ids of the groups that changed.

    In one transaction, with the rows locked in id order: of two writers the one with the newer ledger wins, whoever
    comes first; a row of a ledger that the network cannot have reached is older than any. One whose creation differs
    from the stored one is left out unless it is among `recreated`. With `force` what is stored counts for nothing: a
    rebuild overwrites it. With `found` every column, member and refund request is compared, not the entries alone, and
    what differs is noted there.
    """
    with transaction.atomic():
        users = User.objects.ensure(_addresses(snapshots.values()))
        ensure_tokens(r.group.token_address for r in snapshots.values())
        rows = {group_id: _row(snapshots[group_id], users) for group_id in sorted(snapshots)}
        known = set(Group.objects.filter(id__in=rows).values_list("id", flat=True))
        new = [row for group_id, row in rows.items() if group_id not in known]
        Group.objects.bulk_create(new, ignore_conflicts=True)
        # OF self: the rows alone, not what they point to
        stored = Group.objects.filter(id__in=rows).select_related("refund_request").order_by("id")
        newest = Checkpoint.objects.newest_possible()
        changed: dict[int, GroupSnapshot] = {}
        unchanged: dict[int, list[int]] = {}
        members = _stored_members(rows) if found is not None else {}
        for old in stored.select_for_update(of=("self",)):
            reading, row = snapshots[old.pk], rows[old.pk]
            if row.synced_ledger < old.synced_ledger <= newest and not force:
                continue
            if not (force or old.pk in recreated or _is_same_group(old, row, reading)):
                continue  # made by another writer a moment ago: the next reading asks twice
            row.revision = max(old.revision + 1, row.revision)
            if old.pk not in known:
                wrong = set(STATED)
            elif found is not None:
                wrong = _differences(old, row, reading, members.get(old.pk, []), users)
            else:
                wrong = set(STATED) if force or _differs(old, row, reading) else set()
            if not wrong:
                unchanged.setdefault(row.synced_ledger, []).append(old.pk)
                continue
            changed[old.pk] = reading
            if found is not None:
                found[old.pk] = wrong
        Group.objects.bulk_create(
            [rows[group_id] for group_id in changed],
            update_conflicts=True,
            update_fields=FROM_CHAIN,
            unique_fields=["id"],
        )
        _note_reading(unchanged)
        _write_members(changed, users)
        _write_refund_requests(changed, users)
    return set(changed)


def _note_reading(unchanged: Mapping[int, Sequence[int]]) -> None:
    """Note by ledger when groups were read that say the same as before."""
    for ledger, ids in unchanged.items():
        Group.objects.filter(id__in=ids).update(synced_ledger=ledger, synced_at=Now())


def store_undecoded(undecoded: Sequence[Undecoded]) -> None:
    """Keep what could not be decoded, once for each key; the newest content wins."""
    stored = UndecodedEntry.objects.filter(key__in=[u.key for u in undecoded]).values_list("key", "ledger")
    ledgers = dict(stored) if undecoded else {}
    newest = Checkpoint.objects.newest_possible() if undecoded else 0
    UndecodedEntry.objects.bulk_create(
        [
            UndecodedEntry(key=u.key, group_id=u.group_id, xdr=u.xdr, error=u.error, ledger=u.ledger, found_at=Now())
            for u in undecoded
            if not u.ledger < ledgers.get(u.key, 0) <= newest
        ],
        update_conflicts=True,
        update_fields=["xdr", "error", "ledger"],
        unique_fields=["key"],
    )


def _addresses(snapshots: Iterable[GroupSnapshot]) -> set[str]:
    found: set[str] = set()
    for reading in snapshots:
        found.update(reading.group.members, [reading.group.creator])
        if reading.refund_request:
            found.add(reading.refund_request.requester)
    return found


def _row(reading: GroupSnapshot, users: Mapping[str, int]) -> Group:
    group = reading.group
    metadata = reading.metadata
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
        contributions_received=len(reading.paid),
        status=group.status,
        created_at=timestamp_to_datetime(group.created_at),
        round_started_at=timestamp_to_datetime(group.cycle_start_time),
        entry_xdr=reading.group_xdr,
        metadata_xdr=reading.metadata_xdr,
        modified_ledger=reading.modified_ledger,
        synced_ledger=reading.ledger,
        revision=REVISIONS * reading.ledger,
        changed_at=Now(),
        synced_at=Now(),
        live_until_ledger=reading.live_until,
    )


def _differs(old: Group, row: Group, reading: GroupSnapshot) -> bool:
    # Within a round, payments only add up: as many of the same members are the same ones.
    request = old.refund_request.entry_xdr if hasattr(old, "refund_request") else ""
    return request != reading.refund_request_xdr or any(getattr(old, f) != getattr(row, f) for f in COMPARED)


def _is_same_group(old: Group, row: Group, reading: GroupSnapshot) -> bool:
    """Whether it is the group that was stored: by its creation, of which the stored entry knows better than columns."""
    columns = (old.created_at, old.creator_id) == (row.created_at, row.creator_id)
    return columns or is_entry_of(old.entry_xdr, reading.group)


def is_entry_of(xdr: str, group: on_chain.Group) -> bool:
    """Return whether a stored GROUP entry is of this group: by its creation, which never changes."""
    try:
        stored = decode_entry(xdr).value
    except DecodeError:
        return False
    return isinstance(stored, on_chain.Group) and (stored.id, stored.creator, stored.created_at) == (
        group.id, group.creator, group.created_at,
    )  # fmt: skip


def _differences(
    old: Group, row: Group, reading: GroupSnapshot, members: Sequence[Place], users: Mapping[str, int]
) -> set[str]:
    """What the stored row, its members and its refund request say other than the reading."""
    wrong = {name for name in STATED if getattr(old, name) != getattr(row, name)}
    if members != [(m.user_id, m.position, m.has_contributed) for m in _members(old.pk, reading, users)]:
        wrong.add("members")
    stored, read = getattr(old, "refund_request", None), _refund_request(old.pk, reading, users)
    if [stored and getattr(stored, name) for name in REQUEST] != [read and getattr(read, name) for name in REQUEST]:
        wrong.add("refund_request")
    return wrong


Place = tuple[int, int, bool]  # user, position, has contributed


def _stored_members(ids: Iterable[int]) -> dict[int, list[Place]]:
    """In payout order."""
    stored: dict[int, list[Place]] = {}
    rows = GroupMember.objects.filter(group_id__in=list(ids)).order_by("group_id", "position")
    for group_id, user_id, position, has_paid in rows.values_list("group_id", "user_id", "position", "has_contributed"):
        stored.setdefault(group_id, []).append((user_id, position, has_paid))
    return stored


def _members(group_id: int, reading: GroupSnapshot, users: Mapping[str, int]) -> list[GroupMember]:
    return [
        GroupMember(
            group_id=group_id, user_id=users[address], position=position, has_contributed=address in reading.paid
        )
        for position, address in enumerate(dict.fromkeys(reading.group.members))
    ]


def _write_members(snapshots: Mapping[int, GroupSnapshot], users: Mapping[str, int]) -> None:
    wanted = [member for group_id, reading in snapshots.items() for member in _members(group_id, reading, users)]
    positions = {(member.group_id, member.user_id): member.position for member in wanted}
    stored = GroupMember.objects.filter(group_id__in=snapshots).values_list("pk", "group_id", "user_id", "position")
    # Today's contract never moves or drops a member; an upgraded one might, and its word is the truth.
    misplaced = [pk for pk, group_id, user_id, position in stored if positions.get((group_id, user_id)) != position]
    if misplaced:
        GroupMember.objects.filter(pk__in=misplaced).delete()
    GroupMember.objects.bulk_create(
        wanted, update_conflicts=True, update_fields=["has_contributed"], unique_fields=["group", "user"]
    )


def _refund_request(group_id: int, reading: GroupSnapshot, users: Mapping[str, int]) -> RefundRequest | None:
    if not (request := reading.refund_request):
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
        entry_xdr=reading.refund_request_xdr,
    )


def _write_refund_requests(snapshots: Mapping[int, GroupSnapshot], users: Mapping[str, int]) -> None:
    wanted = [_refund_request(group_id, reading, users) for group_id, reading in snapshots.items()]
    rows = [row for row in wanted if row]
    RefundRequest.objects.filter(group_id__in=snapshots.keys() - {row.group_id for row in rows}).delete()
    RefundRequest.objects.bulk_create(
        rows,
        update_conflicts=True,
        update_fields=[f.name for f in RefundRequest._meta.concrete_fields if not f.primary_key],
        unique_fields=["group"],
    )
