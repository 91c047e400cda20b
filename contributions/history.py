"""The event stream → the event log and the history's rows. Events say who paid what and when. No chain here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ajo.soroban.binding import events as announced
from ajo.soroban.binding.codec import U64, DecodeError
from ajo.soroban.binding.events import Event, decode_event
from ajo.soroban.bulk import insert
from ajo.soroban.client import RawEvent
from ajo.soroban.models import ContractEvent
from contributions.models import Contribution, HistoryRow, Payout, Refund
from groups.models import Group, GroupMember, User
from groups.readings import Undecoded

MAX_BIGINT = 2**63 - 1
Identity = tuple[int, int, int]  # group, round, wallet


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
    def points_at(self) -> int | None:
        """The group that may have changed. Every event of the contract names it second: one that an upgrade brought,
        and that nobody here can read, still says where to look."""
        if self.group_id or len(self.raw.topics) < 2:
            return self.group_id
        try:
            group_id = U64.from_xdr(self.raw.topics[1])
        except DecodeError:
            return None
        return group_id if 0 < group_id <= MAX_BIGINT else None


def decode_events(raws: Iterable[RawEvent]) -> list[LoggedEvent]:
    """Decode a page, in chain order; an event that was delivered twice counts once."""
    unique = {raw.id: raw for raw in raws}
    return [_decode(unique[event_id]) for event_id in sorted(unique)]


def _decode(raw: RawEvent) -> LoggedEvent:
    try:
        return LoggedEvent(raw, decode_event(raw.topics, raw.value, system=raw.is_system))
    except DecodeError as failure:
        return LoggedEvent(raw, None, str(failure))


def undecoded(log: Iterable[LoggedEvent], ledger: int) -> list[Undecoded]:
    return [Undecoded(e.raw.id, None, e.raw.value, e.error, ledger) for e in log if e.event is None]


def write_history(log: Sequence[LoggedEvent]) -> dict[str, int]:
    """Append to the event log and write contributions, payouts and refunds; returns how many of each.

    Within the pass's transaction, after the groups' rows. Again changes nothing. A group whose entry cannot be
    decoded keeps its events in the log only.
    """
    insert([log_row(entry) for entry in log])
    rounds = dict(
        Group.objects.filter(id__in={e.group_id for e in log if e.group_id}, unreadable_since=None).values_list(
            "id", "current_round"
        )
    )
    told = [e for e in log if e.group_id in rounds]
    users = User.objects.ensure(address for e in told for address in _wallets(e.event))
    rows: dict[type[HistoryRow], dict[Identity, HistoryRow]] = {Contribution: {}, Payout: {}, Refund: {}}
    for entry in told:
        row = _row(entry, users, rounds)
        if row is not None:
            # the contract says each thing once; were it said twice, one row can be written once a statement
            rows[type(row)].setdefault((row.group_id, row.round, row.user_id), row)
    for model, found in rows.items():
        model.objects.record(list(found.values()))
    _write_joining_times(told, users)
    return {"events": len(log), **{f"{model.__name__.lower()}s": len(found) for model, found in rows.items()}}


def log_row(entry: LoggedEvent) -> ContractEvent:
    """The event as a row of the log."""
    raw, event = entry.raw, entry.event
    return ContractEvent(
        id=raw.id,
        type=event.name if event else "",
        is_system=raw.is_system,
        group_id=entry.group_id,
        round=getattr(event, "cycle", None),
        data=event.data() if event else None,
        topics=list(raw.topics),
        value=raw.value,
        tx_hash=raw.tx_hash,
        ledger=raw.ledger,
        created_at=raw.closed_at,
    )


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


def _row(entry: LoggedEvent, users: dict[str, int], rounds: dict[int, int]) -> HistoryRow | None:
    """The history row that an event announces. A refund's round is the group's last one: nothing moves it later."""
    match entry.event:
        case announced.Contribution() | announced.LateContribution() as event:
            return Contribution(user_id=users[event.member], round=event.cycle, amount=event.amount, **_source(entry))
        case announced.Payout() as event:
            return Payout(user_id=users[event.recipient], round=event.cycle, amount=event.amount, **_source(entry))
        case announced.Refunded() as event:
            return Refund(
                user_id=users[event.member],
                round=rounds[event.group_id],
                amount=event.amount,
                reason=event.reason,
                **_source(entry),
            )
        case _:
            return None


def _source(entry: LoggedEvent) -> dict[str, int | str | datetime | None]:
    raw = entry.raw
    return {
        "group_id": entry.group_id,
        "tx_hash": raw.tx_hash,
        "event_id": raw.id,
        "ledger": raw.ledger,
        "created_at": raw.closed_at,
    }


def _write_joining_times(log: Iterable[LoggedEvent], users: dict[str, int]) -> None:
    """Only events say when a member joined. The creator is a member from the beginning."""
    joined: dict[tuple[int | None, int], LoggedEvent] = {}
    for entry in log:
        match entry.event:
            case announced.Joined(member=wallet) | announced.Created(creator=wallet):
                joined.setdefault((entry.group_id, users[wallet]), entry)
    if not joined:
        return
    groups, wallets = {group for group, _ in joined if group}, {wallet for _, wallet in joined}
    late = [
        member
        for member in GroupMember.objects.filter(group_id__in=groups, user_id__in=wallets, joined_at=None)
        if (member.group_id, member.user_id) in joined
    ]
    for member in late:
        member.joined_at = joined[member.group_id, member.user_id].raw.closed_at
    insert(late, unique=["id"], update=["joined_at"])  # the rows exist
    Group.objects.filter(id__in={member.group_id for member in late}).touch()
