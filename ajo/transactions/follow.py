"""Follows the transactions that were submitted here to a proven end: one run of the follower.

A run may die anywhere. Each change of a row is one statement that holds only while the row's end is open, and what a
run has not done the next one does: the rows that it took come due again after a ledger's time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Now

from ajo.indexer.lease import LeaseHandle, lease
from ajo.soroban.models import ChainTransaction, Checkpoint, ContractEvent
from ajo.soroban.rpc.client import MAX_KEYS, SorobanClient
from ajo.soroban.rpc.errors import ChainError, HistoryPruned
from ajo.soroban.rpc.pool import nodes
from ajo.transactions import visibility
from ajo.transactions.codes import Code
from ajo.transactions.fees import stored_bid
from ajo.transactions.outcomes import Outcome
from ajo.transactions.plan import STOP_SENDING, Clock, Seen, Step, next_step, used_ledger
from ajo.transactions.proofs import ended, look_up, prove_over, read_sources
from ajo.transactions.sending import LEDGER_TIME, send
from ajo.transactions.settle import settle

log = logging.getLogger(__name__)

Status = ChainTransaction.Status
LEASE: Final = "transactions"
RUN_SECONDS: Final = 20.0  # a run begins nothing new after so long: the sync needs the worker's processes too
CALL_SECONDS: Final = 8.0  # that one question to the chain may take, all nodes together
PORTION: Final = MAX_KEYS  # rows whose sources one call reads
MAX_CALLS: Final = 200  # sendings, look-ups and proofs of one run; what is left is done by the next
SLOW_PACE: Final = timedelta(seconds=30)  # where nothing is expected soon
# Seconds after max_time, by the chain's clock, until what no node's history holds is unknown: a node with a longer one
# may be away meanwhile.
UNKNOWN_AFTER: Final = 900


def follow() -> int:
    """Run once: look at what is due, then settle what is proven. Return how many became successes.

    Raises Superseded where another run is under way, ChainError where no node answers.
    """
    with lease(LEASE) as handle:
        checkpoint = Checkpoint.objects.current()
        if checkpoint is None or checkpoint.halt_reason:
            return 0
        shown = visibility.shown()
        run = Run(handle, Clock.of(checkpoint))
        try:
            run.look()
            visibility.reread_groups(run.deadline)
        finally:
            # what the tables prove needs no node
            count = settle(shown) if shown else 0
    return count


class Run:
    """One run: rows that are due, in portions whose sources one call reads."""

    def __init__(self, handle: LeaseHandle, clock: Clock) -> None:
        self._handle = handle
        self._clock = clock
        self._calls = 0
        self.deadline = time.monotonic() + RUN_SECONDS

    def look(self) -> None:
        """Look at every row that is due, as far as time and calls go. Raises ChainError, Superseded."""
        while not self._is_spent() and (rows := self._take()):
            self._handle.renew()
            read = partial(self._read_sources, rows)
            seen = nodes().run(read, self._call_deadline())
            self._step(rows, seen)

    def _is_spent(self) -> bool:
        return self._calls >= MAX_CALLS or time.monotonic() >= self.deadline

    def _call_deadline(self) -> float:
        self._handle.renew()
        return time.monotonic() + CALL_SECONDS

    def _take(self) -> list[ChainTransaction]:
        """Take the rows that have been due for longest, and have them come due again later."""
        due = ChainTransaction.objects.followed().filter(next_attempt_at__lte=Now(), ledger=None)
        # what has an event is settled once it is shown, and asks nobody
        announced = ContractEvent.objects.filter(tx_hash=OuterRef("hash"))
        rows = list(due.exclude(Exists(announced)).order_by("next_attempt_at")[:PORTION])
        _postpone(rows, LEDGER_TIME)
        return rows

    def _read_sources(self, rows: Sequence[ChainTransaction], client: SorobanClient) -> dict[str, Seen]:
        sources = list(dict.fromkeys(row.source for row in rows))
        client = client.with_heartbeat(self._handle.renew)
        return read_sources(client, sources, self._clock.tables, self._clock.ledger)

    def _step(self, rows: Sequence[ChainTransaction], seen: dict[str, Seen]) -> None:
        replaced = _replaced(rows, self._clock)
        steps: dict[Step, list[ChainTransaction]] = {step: [] for step in Step}
        for row in rows:
            step = next_step(row, seen[row.source], self._clock, is_replaced=row.hash in replaced)
            steps[step].append(row)
        _note_used(rows, seen)
        _postpone([row for row in steps[Step.WAIT] if row.status == Status.REJECTED], SLOW_PACE)
        if steps[Step.PROVE_OVER]:
            self._ask(lambda: self._prove_over(steps[Step.PROVE_OVER]))
        for row in steps[Step.LOOK_UP]:
            self._ask(partial(self._look_up, row, seen[row.source]))
        for row in steps[Step.SEND]:
            self._ask(partial(self._send, row))

    def _ask(self, question: Callable[[], None]) -> None:
        """Put a question to the chain, if time and calls are left. A failure leaves its rows to a later run."""
        if self._is_spent():
            return
        self._calls += 1
        try:
            question()
        except ChainError as failure:
            log.warning("transactions: %s", failure)

    def _send(self, row: ChainTransaction) -> None:
        is_other = row.attempts % 2 == 1
        send(row, is_first_send=False, deadline=self._call_deadline(), other_node=is_other, heard=self._clock.ledger)

    def _prove_over(self, rows: Sequence[ChainTransaction]) -> None:
        over = nodes().run(lambda client: prove_over(client, rows), self._call_deadline())
        for row in rows:
            if row.hash in over:
                end(row, ended(Status.EXPIRED, Code.TIME_OVER))

    def _look_up(self, row: ChainTransaction, seen: Seen) -> None:
        used = used_ledger(row, seen) if seen.has_used(row.sequence) else None
        try:
            outcome = nodes().run(lambda client: look_up(client, row, used, later=1), self._call_deadline())
        except HistoryPruned as failure:
            log.warning("transaction %s: %s", row.hash, failure)
            if self._clock.closed_at <= row.max_time + UNKNOWN_AFTER:
                _postpone([row], SLOW_PACE)
                return
            outcome = self._confirm_pruned(row, used)
        if outcome is not None:
            end(row, outcome)
        elif used is None:
            _postpone([row], SLOW_PACE)  # an account that is not there

    def _confirm_pruned(self, row: ChainTransaction, used: int | None) -> Outcome | None:
        """Return the end of a row that no node's history holds, if all say so a second time."""
        try:
            return nodes().run(lambda client: look_up(client, row, used, later=1), self._call_deadline())
        except HistoryPruned:
            return ended(Status.UNKNOWN, Code.NO_HISTORY)


def end(row: ChainTransaction, outcome: Outcome) -> None:
    """Write what is proven of a row. It does nothing where the row's end is proven already, or an event says more.

    A success that was looked up stays as it is until readers are shown it: `settle` ends it.
    """
    values: dict[str, Any] = {"updated_at": Now(), "result": outcome.result, "fee_charged": outcome.fee_charged}
    if outcome.status in (Status.SUCCESS, Status.FAILED):
        values |= {"ledger": outcome.ledger, "closed_at": outcome.closed_at, "bump_hash": outcome.bump_hash}
    rows = ChainTransaction.objects.followed().filter(hash=row.hash)
    if outcome.status == Status.SUCCESS:
        if row.function == "create_group" and outcome.result is not None:
            values["group_id"] = int(outcome.result)
        rows.update(**values, next_attempt_at=Now() + LEDGER_TIME)
        return
    rows = rows.exclude(Exists(ContractEvent.objects.filter(tx_hash=OuterRef("hash"))))
    if outcome.status != Status.FAILED:
        # that a refused one can apply no more is no news: why it was refused stays
        rows.filter(status=Status.REJECTED).update(next_attempt_at=None)
        rows = rows.filter(status=Status.PENDING)
    detail = outcome.detail
    if outcome.code == Code.SEQUENCE_USED:
        detail = _with_rival(row, detail)
    values |= {"code": outcome.code or "", "detail": detail, "contract_error": outcome.contract_error}
    rows.update(**values, status=outcome.status, next_attempt_at=None)


def _with_rival(row: ChainTransaction, detail: str) -> str:
    """Return the sentence with the transaction that was submitted here with the same sequence number, if one was.

    It may be the one that replaced this, and have done what this should: whoever builds anew then pays twice.
    """
    same = ChainTransaction.objects.filter(source=row.source, sequence=row.sequence).exclude(hash=row.hash)
    rival = same.order_by("-created_at").values_list("hash", flat=True).first()
    return f"{detail} {rival} has the same one: look it up before you build another." if rival else detail


def _postpone(rows: Iterable[ChainTransaction], pace: timedelta) -> None:
    hashes = [row.hash for row in rows]
    if hashes:
        ChainTransaction.objects.followed().filter(hash__in=hashes).update(next_attempt_at=Now() + pace)


def _note_used(rows: Iterable[ChainTransaction], seen: dict[str, Seen]) -> None:
    """Store the ledger at which the sequence numbers of these rows were first seen used."""
    by_ledger: dict[int, list[str]] = {}
    for row in rows:
        if row.sequence_used_ledger is None and seen[row.source].has_used(row.sequence):
            by_ledger.setdefault(seen[row.source].ledger, []).append(row.hash)
    for ledger, hashes in by_ledger.items():
        ChainTransaction.objects.followed().filter(hash__in=hashes).update(
            sequence_used_ledger=Coalesce(F("sequence_used_ledger"), ledger)
        )


def _replaced(rows: Iterable[ChainTransaction], clock: Clock) -> set[str]:
    """Return the hashes of those whose sequence number one that bids more has, and that can still be sent.

    Of equal ones the later counts. Bids are compared, not fees: what is paid for resources wins no place.
    """
    others = ChainTransaction.objects.pending().filter(
        ~Q(hash=OuterRef("hash")), source=OuterRef("source"), sequence=OuterRef("sequence")
    )
    hashes = [row.hash for row in rows]
    shared = list(ChainTransaction.objects.pending().filter(Exists(others), hash__in=hashes))
    if not shared:
        return set()
    same = {(row.source, row.sequence) for row in shared}
    rivals = ChainTransaction.objects.pending().filter(
        source__in={row.source for row in shared}, max_time__gt=clock.closed_at + STOP_SENDING
    )
    best: dict[tuple[str, int], tuple[int, datetime, str]] = {}
    for rival in rivals:
        place = (rival.source, rival.sequence)
        if place in same:
            rank = (stored_bid(rival), rival.created_at, rival.hash)
            best[place] = max(best.get(place, rank), rank)
    return {row.hash for row in shared if best.get((row.source, row.sequence), ("", "", row.hash))[2] != row.hash}
