"""Makes rows of the event log and of history from events (docs/chain.md §1.2), and writes them.

Only events say when and by which transaction something was paid. Nothing here asks the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from pydantic_core import to_json

from ajo import cache
from ajo.database.bulk import Row, insert
from ajo.soroban.contract import events as announced
from ajo.soroban.contract.codec import U64, DecodeError
from ajo.soroban.contract.events import Event, decode_event
from ajo.soroban.models import ContractEvent
from ajo.soroban.rpc.answers import RawEvent, cursor_ledger
from contributions.models import HISTORY, Contribution, HistoryRow, Payout, Refund
from groups.models import Group, User
from groups.snapshots import Undecoded

MAX_BIGINT = 2**63 - 1
WRITE_JOINED = """
UPDATE groups_groupmember m SET joined_at = r.joined_at
FROM json_to_recordset(%s::json) AS r(group_id bigint, user_id bigint, joined_at timestamptz)
WHERE m.group_id = r.group_id AND m.user_id = r.user_id AND m.joined_at IS DISTINCT FROM r.joined_at
RETURNING m.group_id
"""
Identity = tuple[int, ...]  # group id, round, wallet's primary key; of a refund its reason too
HistoryRows = dict[type[HistoryRow], dict[Identity, Row]]


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as it came (`raw`) and what it says (`event`; None with `error` if it cannot be decoded)."""

    raw: RawEvent
    event: Event | None
    error: str = ""

    @property
    def group_id(self) -> int | None:
        group_id = self.event.group_id if self.event else None
        return group_id if group_id is not None and 0 < group_id <= MAX_BIGINT else None

    @property
    def affected_group_id(self) -> int | None:
        """Return the id of the group that may have changed; None if the event names none.

        Every event of the contract has the group's id as its second topic: so even an event that cannot be decoded, as
        after an upgrade of the contract, says which group to read.
        """
        if self.group_id or len(self.raw.topics) < 2:
            return self.group_id
        try:
            group_id = U64.from_xdr(self.raw.topics[1])
        except DecodeError:
            return None
        return group_id if 0 < group_id <= MAX_BIGINT else None


def decode_events(raws: Iterable[RawEvent]) -> list[LoggedEvent]:
    """Decode events and sort them in chain order. An event that was delivered twice is returned once. Never raises."""
    unique = {raw.id: raw for raw in raws}
    return [_decode(unique[event_id]) for event_id in sorted(unique)]


def _decode(raw: RawEvent) -> LoggedEvent:
    try:
        return LoggedEvent(raw, decode_event(raw.topics, raw.value, system=raw.is_system))
    except DecodeError as failure:
        return LoggedEvent(raw, None, str(failure))


def undecoded_events(log: Iterable[LoggedEvent], ledger: int) -> list[Undecoded]:
    """Return those events that could not be decoded, as read at `ledger`."""
    return [Undecoded(e.raw.id, None, e.raw.value, e.error, ledger) for e in log if e.event is None]


def write_history(log: Sequence[LoggedEvent]) -> dict[str, int]:
    """Append to the event log and write contributions, payouts, refunds and joining times. Idempotent.

    Call it in a transaction, after the groups' rows are written. Events of a group without a row are written to the log
    only, and so are refunds while the group's round cannot be read. Returns how many events and rows there were.
    """
    write_log([log_row(entry) for entry in log])
    groups = Group.objects.filter(id__in={e.group_id for e in log if e.group_id})
    known = {row[0]: row[1:] for row in groups.values_list("id", "current_round", "unreadable_since")}
    rounds = {group_id: round for group_id, (round, unreadable_since) in known.items() if not unreadable_since}
    of_known = [e for e in log if e.group_id in known]
    users = ensure_wallets(of_known)
    rows = rows_from_events(of_known, users, rounds)
    for model, by_identity in rows.items():
        model.objects.record(list(by_identity.values()))
    write_joining_times(joining_times(of_known, users))
    return {"events": len(log), **{model.plural(): len(of_kind) for model, of_kind in rows.items()}}


def write_log(rows: Sequence[Row]) -> None:
    """Append these rows to the event log. A logged row that differs was written wrongly, and is overwritten."""
    if rows:
        insert(ContractEvent, rows, unique=["id"], update=[name for name in rows[0] if name != "id"])


def remove_groups(group_ids: Iterable[int]) -> None:
    """Delete groups that the chain does not have, with their history. Invalidates the whole cache.

    Their events stay in the log. Does nothing without ids.
    """
    if not (ids := list(group_ids)):
        return
    with transaction.atomic():
        for model in HISTORY:
            model.objects.filter(group_id__in=ids).delete()
        Group.objects.filter(id__in=ids).delete()
    cache.invalidate_all()  # a body has no later version that would replace it


def ensure_wallets(log: Iterable[LoggedEvent]) -> dict[str, int]:
    """Return the primary keys of the wallets that these events name, by address. Inserts those that are missing."""
    return User.objects.ensure(address for entry in log for address in _wallets(entry.event))


def rows_from_events(log: Iterable[LoggedEvent], users: dict[str, int], rounds: dict[int, int]) -> HistoryRows:
    """Return the history rows that these events announce, by table and identity.

    `users`: primary keys by address. `rounds`: the groups' current rounds, by id; refunds of others are left out.
    Of two events with one identity the later one stands: see `HistoryQuerySet.record`.
    """
    rows: HistoryRows = {model: {} for model in HISTORY}
    for entry in log:
        if found := _row(entry, users, rounds):
            model, row = found
            rows[model][identity_of(model, row)] = row
    return rows


def identity_of(model: type[HistoryRow], row: Row) -> Identity:
    """Return the columns that identify the row in its table."""
    return tuple(row[name] for name in model.identity)


def replay(rows: Iterable[ContractEvent]) -> None:
    """Write history once more from these rows of the log. Idempotent."""
    write_history(decode_logged(rows))


def decode_logged(rows: Iterable[ContractEvent]) -> list[LoggedEvent]:
    """Decode these rows of the log again, in chain order. Never raises."""
    return decode_events(map(raw_event, rows))


def raw_event(row: ContractEvent) -> RawEvent:
    """Return the event as the RPC delivered it."""
    return RawEvent(
        id=row.id,
        is_system=row.is_system,
        ledger=cursor_ledger(row.id),
        closed_at=row.created_at,
        tx_hash=row.tx_hash,
        topics=tuple(row.topics),
        value=row.value,
    )


def log_row(entry: LoggedEvent) -> Row:
    """Return the event as a row of the log."""
    raw, event = entry.raw, entry.event
    return {
        "id": raw.id,
        "type": event.name if event else "",
        "is_system": raw.is_system,
        "group_id": entry.group_id,
        "round": getattr(event, "cycle", None),
        "data": event.data() if event else None,
        "topics": list(raw.topics),
        "value": raw.value,
        "tx_hash": raw.tx_hash,
        "ledger": raw.ledger,
        "created_at": raw.closed_at,
    }


def _wallets(event: Event | None) -> list[str]:
    match event:
        case announced.Contribution() | announced.LateContribution() | announced.Joined() | announced.Refunded():
            return [event.member]
        case announced.Payout():
            return [event.recipient]
        case announced.Created():
            return [event.creator]
        case _:
            return []


def _row(entry: LoggedEvent, users: dict[str, int], rounds: dict[int, int]) -> tuple[type[HistoryRow], Row] | None:
    """Return the history row that an event announces, or None. A refund's round is the group's current one."""
    match entry.event:
        case announced.Contribution() | announced.LateContribution() as event:
            return Contribution, _row_from_event(entry, users[event.member], event.cycle, event.amount)
        case announced.Payout() as event:
            return Payout, _row_from_event(entry, users[event.recipient], event.cycle, event.amount)
        case announced.Refunded() as event if event.group_id in rounds:
            row = _row_from_event(entry, users[event.member], rounds[event.group_id], event.amount)
            return Refund, row | {"reason": event.reason}
        case _:
            return None


def _row_from_event(entry: LoggedEvent, user_id: int, cycle: int, amount: int) -> dict[str, Any]:
    raw = entry.raw
    return {
        "group_id": entry.group_id,
        "user_id": user_id,
        "round": cycle,
        "amount": amount,
        "tx_hash": raw.tx_hash,
        "event_id": raw.id,
        "ledger": raw.ledger,
        "created_at": raw.closed_at,
    }


def joining_times(log: Iterable[LoggedEvent], users: dict[str, int]) -> dict[tuple[int | None, int], datetime]:
    """Return when each member joined, by group id and wallet's primary key. The creator joins with the creation."""
    joined: dict[tuple[int | None, int], datetime] = {}
    for entry in log:
        match entry.event:
            case announced.Joined(member=wallet) | announced.Created(creator=wallet):
                joined.setdefault((entry.group_id, users[wallet]), entry.raw.closed_at)
    return joined


def write_joining_times(joined: Mapping[tuple[int | None, int], datetime | None]) -> None:
    """Write when these members joined, by group id and wallet's primary key. None: no event says when."""
    if not joined:
        return
    rows = [{"group_id": group, "user_id": user, "joined_at": at} for (group, user), at in joined.items()]
    with connection.cursor() as cursor:
        cursor.execute(WRITE_JOINED, [to_json(rows).decode()])
        Group.objects.filter(id__in={group_id for (group_id,) in cursor.fetchall()}).touch()
