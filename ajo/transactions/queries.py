"""Transactions as the tables show them: those submitted here, and others by what they left in the tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from ajo.api.events import EVENT_COLUMNS
from ajo.soroban.models import ChainTransaction, ContractEvent
from contributions.models import Contribution, Payout, Refund

Status = ChainTransaction.Status


@dataclass(slots=True)
class Carried:
    """What a transaction left in the tables: rows of history, newest first, and events, oldest first."""

    contributions: list[Any] = field(default_factory=list)
    payouts: list[Any] = field(default_factory=list)
    refunds: list[Any] = field(default_factory=list)
    events: list[ContractEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a transaction. Of one that was not submitted here `row` is not stored, and lacks the rest.

    `rival`: of one that expired, the status of another with its sequence number that was applied, or may still be: it
    may have replaced this, and do what this should have done.
    """

    row: ChainTransaction
    carried: Carried
    rival: str | None = None

    @property
    def is_stored(self) -> bool:
        """Return whether it was submitted here."""
        return not self.row._state.adding


def submitted() -> Any:
    """Return the transactions that were submitted here, newest first, without their envelopes."""
    return ChainTransaction.objects.defer("xdr").order_by("-submitted_ledger", "-hash")


def find_submitted(tx_hash: str) -> ChainTransaction | None:
    """Return the transaction if it was submitted here."""
    found: ChainTransaction | None = submitted().filter(hash=tx_hash).first()
    return found


def with_carried(rows: Iterable[ChainTransaction]) -> list[Known]:
    """Return the transactions with what each of them carried, itself or inside a fee bump."""
    rows = list(rows)
    carried = carried_by([row.bump_hash or row.hash for row in rows])
    rivals = _rivals([row for row in rows if row.status == Status.EXPIRED])
    return [Known(row, carried[row.bump_hash or row.hash], rivals.get((row.source, row.sequence))) for row in rows]


def _rivals(expired: Iterable[ChainTransaction]) -> dict[tuple[str, int], str]:
    """Return by source and sequence number the status of a transaction that was applied, else of one that may be."""
    numbers = {(row.source, row.sequence) for row in expired}
    if not numbers:
        return {}
    may_apply = Q(status__in=(Status.PENDING, Status.SUCCESS)) | Q(
        status=Status.REJECTED, next_attempt_at__isnull=False
    )
    sources, sequences = zip(*numbers, strict=True)
    found: dict[tuple[str, int], str] = {}
    for source, sequence, status in ChainTransaction.objects.filter(
        may_apply, source__in=sources, sequence__in=sequences
    ).values_list("source", "sequence", "status"):
        if found.get((source, sequence)) != Status.SUCCESS:
            found[source, sequence] = status
    return found


def carried_by(hashes: list[str]) -> dict[str, Carried]:
    """Return by hash what these transactions left in the tables: four queries, however many there are."""
    found: dict[str, Carried] = defaultdict(Carried)
    for name, table in (("contributions", Contribution), ("payouts", Payout), ("refunds", Refund)):
        rows: Any = table._default_manager
        for row in rows.filter(tx_hash__in=hashes).prefetch_related("user").newest_first():
            getattr(found[row.tx_hash], name).append(row)
    for event in ContractEvent.objects.filter(tx_hash__in=hashes).only(*EVENT_COLUMNS).order_by("id"):
        found[event.tx_hash].events.append(event)
    return found


def find_announced(tx_hash: str) -> Known | None:
    """Return a transaction that announced something: it succeeded, whoever submitted it."""
    carried = carried_by([tx_hash])[tx_hash]
    left = [*carried.events, *carried.contributions, *carried.payouts, *carried.refunds]
    if not left:
        return None
    groups = {each.group_id for each in left}
    row = foreign(
        tx_hash,
        status=ChainTransaction.Status.SUCCESS,
        ledger=next(each.ledger for each in left),
        closed_at=next(each.created_at for each in left),
        group_id=groups.pop() if len(groups) == 1 else None,
    )
    return Known(row, carried)


def foreign(tx_hash: str, **known: Any) -> ChainTransaction:
    """Return a row, not to be stored, of a transaction that was not submitted here: the rest is unknown."""
    unknown: dict[str, Any] = dict.fromkeys(("sequence", "max_time", "max_fee", "attempts", "created_at"))
    return ChainTransaction(**{"hash": tx_hash, "bump_hash": ""} | unknown | known)
