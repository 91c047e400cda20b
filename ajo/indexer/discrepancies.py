"""Compares rows of history with what proves them: the contract's entries, and the event log.

A row that an event announces and the entries do not deny is right, with the event's transaction and time. A row without
an event is right as the entries have it. Nothing here asks the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import transaction

from ajo.database.bulk import Row
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap
from contributions.event_rows import (
    HistoryRows,
    Identity,
    LoggedEvent,
    decode_logged,
    ensure_wallets,
    identity_of,
    joining_times,
    log_row,
    rows_from_events,
    write_joining_times,
    write_log,
)
from contributions.evidence import Evidence, record_verified
from contributions.models import HISTORY, HistoryRow, Payout, Refund
from groups.models import Group, GroupMember

# every column that is made from the chain
COLUMNS = {
    model: [f.attname for f in model._meta.concrete_fields if not (f.primary_key or f.generated or f.name == "ordinal")]
    for model in HISTORY
}


@dataclass(slots=True)
class TableDiscrepancies:
    """Lists what is wrong in one table.

    `denied`: primary keys of rows to delete. `missing`: rows to insert. `changed`: rows to update, whose amount is
    right. `drifted`: the group of each of these differences that counts as drift.
    """

    denied: list[int] = field(default_factory=list)
    missing: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    drifted: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Discrepancies:
    """Lists what is wrong with the history of some groups, and with their part of the event log.

    `events`: log rows to overwrite. `joined`: joining times to write, by group and member. `unconfirmed`: how many rows
    of a group are denied only by entries that contradict themselves: those rows stay. `left_out`: ids of groups whose
    entries are incomplete, or whose events are still to come.
    """

    tables: dict[type[HistoryRow], TableDiscrepancies] = field(
        default_factory=lambda: {model: TableDiscrepancies() for model in HISTORY}
    )
    events: list[Row] = field(default_factory=list)
    joined: dict[tuple[int | None, int], datetime | None] = field(default_factory=dict)
    unconfirmed: dict[int, int] = field(default_factory=dict)
    left_out: set[int] = field(default_factory=set)

    @property
    def denies(self) -> bool:
        """Return whether a row is to be deleted because no entry confirms it."""
        return bool(self.unconfirmed) or any(table.denied for table in self.tables.values())

    @property
    def drifted(self) -> set[int]:
        """Return the ids of the groups of which a difference counts as drift."""
        told = [*(row["group_id"] for row in self.events), *(group_id for group_id, _ in self.joined)]
        rows = (table.drifted for table in self.tables.values())
        return {group_id for group_id in chain(told, *rows) if group_id is not None}

    @property
    def is_empty(self) -> bool:
        rows = any(table.denied or table.missing or table.changed for table in self.tables.values())
        return not (rows or self.events or self.joined)


@dataclass(frozen=True, slots=True)
class _Known:
    """Holds what all groups of one comparison share.

    `reached`: the ledger whose events the tables have. `newest`: the newest ledger that a row may name. `first_gap`:
    the first ledger whose events are missing. `recovered_to`: the last group id of which every gap is recovered. Either
    is None without such a gap.
    """

    reached: int
    newest: int
    first_gap: int | None
    recovered_to: int | None

    @classmethod
    def of(cls, reached: int) -> _Known:
        gaps = HistoryGap.objects.missing().values_list("from_ledger", "recovered_at", "recovered_to")
        return cls(
            reached,
            Checkpoint.objects.chain_ledger() + settings.RPC_MAX_LAG,
            min((first for first, _, _ in gaps), default=None),
            min((group_id for _, recovered_at, group_id in gaps if recovered_at is None), default=None),
        )


def compare_history(all_evidence: Sequence[Evidence], reached: int) -> Discrepancies:
    """Compare the rows of these groups, and their part of the log, with what proves them.

    `reached`: the tables' ledger before the entries were read. The events of younger entries are still to come.
    """
    ids = [evidence.group.pk for evidence in all_evidence]
    stored = {model: list(model.objects.filter(group_id__in=ids).values("pk", *COLUMNS[model])) for model in HISTORY}
    rows = list(ContractEvent.objects.filter(group_id__in=ids))  # read after history, which is never written before it
    log = decode_logged(rows)
    found = Discrepancies(events=wrong_events(rows, log))
    users = ensure_wallets(log)
    announced = rows_from_events(
        log, users, {evidence.group.pk: evidence.group.current_round for evidence in all_evidence}
    )
    known = _Known.of(reached)
    for model, table in found.tables.items():
        by_group: dict[int, dict[Identity, dict[str, Any]]] = {}
        for row in stored[model]:
            by_group.setdefault(row["group_id"], {})[identity_of(model, row)] = row
        for evidence in all_evidence:
            rows_of_group = by_group.get(evidence.group.pk, {})
            wanted = _wanted(evidence, model, rows_of_group, announced, known, found)
            _compare(model, rows_of_group, wanted, table, is_in_gap=_is_in_gap(evidence, known))
    found.joined = _wrong_joining_times(ids, joining_times(log, users))
    return found


def wrong_events(rows: Iterable[ContractEvent], log: Iterable[LoggedEvent]) -> list[Row]:
    """Return the right rows for those log rows whose columns contradict their own topics, value and id."""
    stored = {row.pk: row for row in rows}
    wrong = []
    for entry in log:
        right, row = log_row(entry), stored[entry.raw.id]
        if any(getattr(row, name) != value for name, value in right.items()):
            wrong.append(right)
    return wrong


def _is_in_gap(evidence: Evidence, known: _Known) -> bool:
    """Return whether this group's history in some gap is not recovered yet: then a missing row is no drift."""
    return known.recovered_to is not None and evidence.group.pk > known.recovered_to


def _wanted(
    evidence: Evidence,
    model: type[HistoryRow],
    stored: Mapping[Identity, Row],
    announced: HistoryRows,
    known: _Known,
    found: Discrepancies,
) -> dict[Identity, Row]:
    """Return the rows that the group should have in this table. Adds to `found` what cannot be decided."""
    group_id = evidence.group.pk
    until = min(evidence.ledger, evidence.group.synced_ledger)  # younger entries may not have been read
    wanted: dict[Identity, Row] = {}
    for identity, row in announced[model].items():
        if identity[0] == group_id and (
            row["ledger"] > until
            or evidence.confirms(model, row)
            or (model is Refund and evidence.has_overwritten(row))
        ):
            wanted[identity] = row
    for identity, row in stored.items():
        if identity not in wanted and _stays(evidence, model, row, until, known):
            wanted[identity] = row
    if not evidence.is_complete:
        denied = stored.keys() - wanted.keys() - {identity_of(model, row) for row in evidence.rows(model)}
        found.unconfirmed[group_id] = found.unconfirmed.get(group_id, 0) + len(denied)
        wanted |= {identity: row for identity, row in stored.items() if identity not in wanted}
        found.left_out.add(group_id)
    for row in evidence.rows(model):
        identity = identity_of(model, row)
        if identity in wanted:
            continue
        has_paid = model is not Payout or (row["round"], evidence.wallets[row["user_id"]]) in evidence.contributions
        if has_paid and (identity in stored or row["ledger"] <= known.reached):
            wanted[identity] = row
        else:
            found.left_out.add(group_id)
    return wanted


def _stays(evidence: Evidence, model: type[HistoryRow], row: Row, until: int, known: _Known) -> bool:
    """Return whether a row without an event may be right though these entries do not confirm it."""
    if row["event_id"] is not None:
        return False
    ledger = row["ledger"]
    if ledger is not None and until < ledger <= known.newest:
        return True  # inserted by a recovery meanwhile
    if model is not Refund:
        return False
    if evidence.wallets.get(row["user_id"]) in evidence.undecoded_refunds:
        return True
    in_gap = known.first_gap is not None and (ledger is None or ledger >= known.first_gap)
    return in_gap and evidence.has_overwritten(row)


def _compare(
    model: type[HistoryRow],
    stored: Mapping[Identity, Row],
    wanted: Mapping[Identity, Row],
    table: TableDiscrepancies,
    *,
    is_in_gap: bool,
) -> None:
    """Add to `table` how the stored rows of one group differ from the wanted ones."""
    for identity, row in stored.items():
        right = wanted.get(identity)
        if right is None or right["amount"] != row["amount"]:
            table.denied.append(row["pk"])
            table.drifted.append(identity[0])
        elif wrong := {name for name in COLUMNS[model] if row[name] != right[name]}:
            table.changed.append(right)
            # an entry that is restored from the archive is written anew
            if wrong != {"ledger"} or right["event_id"] is not None:
                table.drifted.append(identity[0])
    for identity, right in wanted.items():
        if identity not in stored:
            table.missing.append(right)
            if not is_in_gap or right["event_id"] is not None:
                table.drifted.append(identity[0])
        elif right["amount"] != stored[identity]["amount"]:
            table.missing.append(right)


def _wrong_joining_times(
    ids: Sequence[int], announced: Mapping[tuple[int | None, int], datetime]
) -> dict[tuple[int | None, int], datetime | None]:
    """Return the right joining times of members whose stored one differs; None where no event announces it."""
    stored = GroupMember.objects.filter(group_id__in=ids).values_list("group_id", "user_id", "joined_at")
    return {
        (group_id, user_id): announced.get((group_id, user_id))
        for group_id, user_id, joined_at in stored
        if joined_at != announced.get((group_id, user_id))
    }


def correct_history(all_evidence: Sequence[Evidence], reached: int, events: list[Row]) -> Discrepancies:
    """Correct what `compare_history` finds wrong, after `events` of the log. Returns what was wrong.

    Works in one transaction that locks in the order of a pass of the sync: groups, the log, then history.
    """
    ids = [evidence.group.pk for evidence in all_evidence]
    with transaction.atomic():
        list(Group.objects.filter(id__in=ids).order_by("id").select_for_update(of=("self",)).values_list("pk"))
        write_log(events)
        for model in HISTORY:
            model.objects.lock()
        found = compare_history(all_evidence, reached)
        for model, table in found.tables.items():
            right = [*table.missing, *table.changed]
            model.objects.filter(pk__in=table.denied).delete()
            # a wrong row may name the event of another one, and event ids are unique
            model.objects.filter(event_id__in=[row["event_id"] for row in right if row["event_id"]]).update(
                event_id=None
            )
            model.objects.correct(right)
        write_joining_times(found.joined)
        record_verified(all_evidence, found.left_out)
    found.events = events
    return found
