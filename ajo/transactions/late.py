"""What became of a transaction that is too late to be sent: it may be in a ledger already, sent by anybody.

Whoever is told to build another one pays a second time if the first was applied. So it is said only with the proofs by
which the follower ends a transaction.
"""

from __future__ import annotations

from typing import Final

from ajo.cache import Unavailable
from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, TransactionPruned
from ajo.soroban.rpc.pool import nodes
from ajo.transactions.codes import Code
from ajo.transactions.envelope import EnvelopeRefused, Fault, Submission
from ajo.transactions.foreign import announced, known_by
from ajo.transactions.outcomes import Outcome
from ajo.transactions.proofs import ended, look_up, prove_over, read_sources
from ajo.transactions.queries import Known
from ajo.transactions.warnings import say

Status: Final = ChainTransaction.Status
GENESIS: Final = 1  # the ledger with which a network begins: no transaction is in it
NEVER: Final = "It is in no ledger and never will be: build another."
MAYBE: Final = "If others have sent it, it may still apply: post it again after that time."
UNKNOWN: Final = (
    "The nodes' history begins with ledger {}: whether this transaction was applied is not known. Look at what it "
    "should have changed before you build another."
)


def find_late(
    submission: Submission, fault: Fault, *, closed_at: int, reached: int, unused: int | None, deadline: float
) -> Known:
    """Return a transaction that is in a ledger.

    `closed_at` is when the newest ledger closed that was heard of (unix seconds), `reached` its number or an earlier
    one's, `unused` a ledger at which its sequence number was not used, where one is known. `deadline` is of
    time.monotonic. Raise EnvelopeRefused for one that is in none, and Unavailable where that is not proven now.
    """
    if known := announced(submission.hash):
        return known
    told = {
        "function": submission.call.function,
        "group_id": submission.call.group,
        "source": submission.source,
        "sequence": submission.sequence,
        "max_time": submission.max_time,
        "max_fee": submission.max_fee,
    }
    row = ChainTransaction(hash=submission.hash, submitted_ledger=reached, account_ledger=unused or GENESIS, **told)
    is_over = closed_at > submission.max_time
    try:
        outcome = nodes().run(lambda client: _prove(client, row, is_over=is_over), deadline)
    except TransactionPruned as failure:
        unknown = UNKNOWN.format(failure.oldest)
        raise EnvelopeRefused(Fault.END_UNKNOWN, _sentence(submission, fault, closed_at, unknown)) from failure
    except ChainError as failure:
        raise Unavailable("What became of this transaction cannot be proven now.") from failure
    if outcome and outcome.status in (Status.SUCCESS, Status.FAILED):
        return known_by(submission.hash, told, outcome)
    if outcome:
        raise EnvelopeRefused(fault, _sentence(submission, fault, closed_at, NEVER))
    if fault == Fault.TIME_OVER and not is_over:
        raise EnvelopeRefused(fault, _sentence(submission, fault, closed_at, MAYBE))
    raise Unavailable("What became of this transaction is not proven yet.")


def _prove(client: SorobanClient, row: ChainTransaction, *, is_over: bool) -> Outcome | None:
    """Return how it ended; None while that is open. Raises ChainError, TransactionPruned where no history tells."""
    seen = read_sources(client, [row.source], row.submitted_ledger)[row.source]
    if seen.has_used(row.sequence):
        return look_up(client, row, seen.ledger)
    if not is_over:
        return None
    if seen.sequence is None:
        return look_up(client, row, None)
    return ended(Status.EXPIRED, Code.TIME_OVER) if prove_over(client, [row]) else None


def _sentence(submission: Submission, fault: Fault, closed_at: int, what: str) -> str:
    if fault == Fault.SEQUENCE_USED:
        return f"The account {submission.source} has used the sequence number {submission.sequence}. {what}"
    return f"It can apply until {say(submission.max_time)}; the newest ledger closed at {say(closed_at)}. {what}"
