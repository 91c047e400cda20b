"""Decides what the follower does next with one transaction. It asks nobody: the reasons are in docs/writing.md.

The source's account entry tells most of it: while its sequence number is below the transaction's, no ledger can have
carried it; once it is not, one has, or none ever will. Ledgers and times are the chain's, never this host's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ajo.soroban.models import ChainTransaction, Checkpoint

STOP_SENDING: Final = 10  # seconds before max_time: cores refuse what has less left (two ledgers)


@dataclass(frozen=True, slots=True)
class Clock:
    """The chain's newest ledger with its close time (unix seconds), and the ledger up to which the tables are."""

    ledger: int
    closed_at: int
    tables: int

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Clock:
        """Return the clock as the sync last heard it."""
        closed_at = checkpoint.chain_closed_at
        return cls(checkpoint.chain_ledger, int(closed_at.timestamp()) if closed_at else 0, checkpoint.ledger)


@dataclass(frozen=True, slots=True)
class Seen:
    """The sequence number of a source's account at a ledger; None where there is no such account."""

    ledger: int
    sequence: int | None

    def has_used(self, sequence: int) -> bool:
        """Return whether the account has used this number."""
        return self.sequence is not None and self.sequence >= sequence


class Step(StrEnum):
    """What the follower does with a transaction."""

    WAIT = "wait"
    SEND = "send"
    LOOK_UP = "look up"  # by getTransaction: it is in a ledger, or never will be
    PROVE_OVER = "prove over"  # its time is over, and its sequence number is not used


def next_step(row: ChainTransaction, seen: Seen, clock: Clock, *, is_replaced: bool) -> Step:
    """Return what to do with a pending or rejected transaction whose source is as `seen`.

    `is_replaced`: a later one with its sequence number and a higher bid is on its way; then only that one is sent.
    """
    if seen.sequence is None:
        return Step.LOOK_UP
    if seen.has_used(row.sequence):
        # the sync may bring its events with no call of ours
        return Step.LOOK_UP if clock.tables >= used_ledger(row, seen) else Step.WAIT
    if clock.closed_at > row.max_time:
        return Step.PROVE_OVER
    is_next = seen.sequence == row.sequence - 1  # else it waits for a predecessor, and a core would refuse it
    is_open = row.status == ChainTransaction.Status.PENDING and clock.closed_at < row.max_time - STOP_SENDING
    is_due = max(clock.ledger, seen.ledger) >= row.next_send_ledger
    return Step.SEND if is_next and is_open and is_due and not is_replaced else Step.WAIT


def used_ledger(row: ChainTransaction, seen: Seen) -> int:
    """Return a ledger at which its sequence number was used already: it is in one until then, or in none."""
    return seen.ledger if row.sequence_used_ledger is None else int(row.sequence_used_ledger)
