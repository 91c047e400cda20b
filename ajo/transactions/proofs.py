"""Proves what became of a transaction. No answer of one node alone is a proof (docs/writing.md).

A second opinion is another node's where there is one, else the same node's once more. What cannot be proven now is
None, and is tried again later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ajo.soroban.models import ChainTransaction
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, HistoryPruned, NodeLagging, TransactionPruned
from ajo.soroban.rpc.pool import nodes
from ajo.soroban.rpc.transactions import TransactionAnswer
from ajo.transactions.accounts import account_key, decode_account
from ajo.transactions.codes import SENTENCES, Code
from ajo.transactions.outcomes import Outcome, read_outcome
from ajo.transactions.plan import Seen

Status = ChainTransaction.Status


class Disputed(ChainError):
    """Two nodes contradict each other: nothing is proven."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A transaction that a node's history does not have, though it covers all ledgers in which it could be.

    `is_over`: the node's ledgers had passed the transaction's time before it looked. `latest` is its newest ledger.
    """

    is_over: bool
    latest: int


def read_sources(client: SorobanClient, sources: Sequence[str], at_least: int, heard: int = 0) -> dict[str, Seen]:
    """Read at most 200 accounts, all at one ledger, by address. Raises ChainError.

    `heard`: the network's newest ledger, where the caller has read it.
    """
    keys = {account_key(source): source for source in sources}
    entries = read_entries(client, list(keys), at_least=at_least, heard=heard)
    seen = dict.fromkeys(sources, Seen(entries.ledger, None))
    for key, entry in entries.found.items():
        source = keys[key]
        seen[source] = Seen(entries.ledger, decode_account(source, entry["xdr"]).sequence)
    return seen


def prove_over(client: SorobanClient, rows: Sequence[ChainTransaction]) -> set[str]:
    """Return the hashes of those of at most 200 transactions that can never apply: their time is over, unused.

    An account whose sequence number is lower, at a ledger that closed after max_time, has not applied it, and no later
    ledger can. Two readings have to say so. Raises ChainError; NodeLagging for a node that has not come so far.
    """
    first = _over(client, rows)
    return first and first & nodes().second_opinion(client, lambda second: _over_elsewhere(second, rows))


def _over_elsewhere(client: SorobanClient, rows: Sequence[ChainTransaction]) -> set[str]:
    """Return the same of another node; nothing where it has not come so far."""
    try:
        return _over(client, rows)
    except NodeLagging:
        return set()


def _over(client: SorobanClient, rows: Sequence[ChainTransaction]) -> set[str]:
    # what getTransaction says of the node's newest ledger; the accounts are read at that one or later
    told = client.get_transaction(rows[0].hash)
    closed_at = int(told.latest_ledger_close_time)
    over = [row for row in rows if row.max_time < closed_at]
    if not over:
        raise NodeLagging(f"the node is at ledger {told.latest_ledger}, a later one is known to exist")
    sources = read_sources(client, list({row.source for row in over}), told.latest_ledger)
    return {
        row.hash for row in over if (sequence := sources[row.source].sequence) is not None and sequence < row.sequence
    }


def look_up(client: SorobanClient, row: ChainTransaction, used: int | None, *, later: int = 0) -> Outcome | None:
    """Return how a transaction ended whose sequence number was used up to ledger `used`; None: not proven yet.

    `used` is None where its source is not on the chain. `later`: ledgers after `used` that the nodes need to have, so
    that nothing rests on what they say of their newest one, which look-ups may have missed. Raises ChainError:
    HistoryPruned where the node's history does not reach back to it.
    """
    first = _find(client, row, used)
    if isinstance(first, Outcome):
        return confirm(client, row.hash, row.function, first)
    second = nodes().second_opinion(client, lambda other: _missing_elsewhere(other, row, used))
    if second is None:  # that node cannot say
        second = _missing_elsewhere(client, row, used)
    if isinstance(second, Outcome):
        return confirm(client, row.hash, row.function, second)
    if second is None:
        return None
    if used is not None:
        is_past = min(first.latest, second.latest) >= used + later
        return ended(Status.EXPIRED, Code.SEQUENCE_USED) if is_past else None
    return ended(Status.EXPIRED, Code.TIME_OVER) if first.is_over and second.is_over else None


def ended(status: ChainTransaction.Status, code: Code) -> Outcome:
    """Return the end of a transaction that no ledger carries."""
    return Outcome(status, 0, None, code, SENTENCES[code])


def _find(client: SorobanClient, row: ChainTransaction, used: int | None) -> Outcome | Missing:
    """Look it up. Raises NodeLagging or TransactionPruned where NOT_FOUND proves nothing."""
    looked = find(client, row.hash, row.submitted_ledger if used is None else used)
    told = looked.answer
    if told.is_found:
        return read_outcome(told, row.hash, row.function)
    if told.oldest_ledger > row.unused_ledger + 1:
        raise TransactionPruned(f"the node's history begins with ledger {told.oldest_ledger}", told.oldest_ledger)
    return Missing(looked.began_after > row.max_time, told.latest_ledger)


@dataclass(frozen=True, slots=True)
class LookUp:
    """The answer of getTransaction that counts.

    `began_after`: when the newest ledger closed that the node had before it looked (unix seconds). What closed until
    then is no longer on its way.
    """

    answer: TransactionAnswer
    began_after: int


def find(client: SorobanClient, tx_hash: str, reached: int) -> LookUp:
    """Look a transaction up, twice if need be. Raises NodeLagging for a node that has not come to ledger `reached`.

    A node looks the hash up first and reads its range after, so that NOT_FOUND may come with a range that holds the
    transaction. The second look-up begins after the range of the first has come so far.
    """
    first = client.get_transaction(tx_hash)
    if first.is_found:
        return LookUp(first, 0)
    _check_reaches(first, reached)
    second = client.get_transaction(tx_hash)
    if not second.is_found:
        _check_reaches(second, reached)
    return LookUp(second, int(first.latest_ledger_close_time))


def _check_reaches(told: TransactionAnswer, reached: int) -> None:
    if told.latest_ledger < reached:
        raise NodeLagging(f"the node is at ledger {told.latest_ledger}, {reached} is known to exist")


def _missing_elsewhere(client: SorobanClient, row: ChainTransaction, used: int | None) -> Outcome | Missing | None:
    """Return the same of another node, which has to see the account alike; None where it cannot say.

    Raises Disputed where it sees the account otherwise.
    """
    try:
        found = _find(client, row, used)
        if isinstance(found, Outcome):
            return found
        seen = read_sources(client, [row.source], used or row.submitted_ledger)[row.source]
    except (HistoryPruned, NodeLagging):
        return None
    if seen.has_used(row.sequence) != (used is not None):
        raise Disputed(f"nodes differ about the sequence number of {row.source}")
    return found


def confirm(client: SorobanClient, tx_hash: str, function: str, found: Outcome) -> Outcome:
    """Return the outcome if a second asking has the same. Raises Disputed if it differs."""

    def ask(second: SorobanClient) -> TransactionAnswer:
        return second.get_transaction(tx_hash)

    told = nodes().second_opinion(client, ask)
    if not told.is_found and not told.oldest_ledger <= found.ledger <= told.latest_ledger:
        told = ask(client)  # that node does not have the ledger
    if told.is_found:
        again = read_outcome(told, tx_hash, function)
        if (again.status, again.ledger) == (found.status, found.ledger):
            return found
    raise Disputed(f"{tx_hash} is a {found.status} in ledger {found.ledger}; a second asking differs")
