"""Transactions that were not submitted here: from the tables, else as the chain itself has them (getTransaction)."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.conf import settings
from stellar_sdk import FeeBumpTransactionEnvelope, TransactionEnvelope

from ajo.cache import Unavailable
from ajo.soroban.contract import XDR_FAULTS
from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes
from ajo.transactions import visibility
from ajo.transactions.asking import chain_slot
from ajo.transactions.calls import read_call
from ajo.transactions.outcomes import Outcome, read_outcome
from ajo.transactions.proofs import confirm
from ajo.transactions.queries import Known, find_announced, foreign, with_carried
from groups.cached import read_group
from groups.models import Group

LOOK_UP_WAIT: Final = 4.0  # seconds
Status = ChainTransaction.Status


def find_foreign(tx_hash: str, admit: Callable[[], object], client: str = "") -> Known | None:
    """Return a transaction of anybody's that is in a ledger, by its own hash or inside a fee bump; None if it is not.

    `admit` is called before the chain is asked, `client` is the client's address. How it ended is asked twice, of two
    nodes where there are. Raise Unavailable where that cannot be proven now.
    """
    if known := announced(tx_hash):
        return known
    admit()
    with chain_slot(client):
        try:
            found = nodes().run(partial(_look_up, tx_hash), time.monotonic() + LOOK_UP_WAIT)
        except ChainError as failure:
            raise Unavailable("The chain cannot be asked now.") from failure
    return known_by(tx_hash, *found) if found else None


def announced(tx_hash: str) -> Known | None:
    """Return a transaction that the tables have something of. It is pending until reads show all that it changed."""
    known = find_announced(tx_hash)
    if known is None:
        return None
    seen, ledger = visibility.shown(), known.row.ledger or 0
    groups = {each.group_id for each in known.carried.events if each.group_id is not None}
    is_behind = Group.objects.filter(pk__in=groups, unreadable_since=None, synced_ledger__lt=ledger).exists()
    if seen is None or ledger > seen.ledger or is_behind:
        known.row.status = Status.PENDING
    return known


def known_by(tx_hash: str, told: dict[str, Any], outcome: Outcome) -> Known:
    """Return what is known of a transaction that ended in a ledger. `told` are the columns that its envelope tells."""
    if told.get("function") == "create_group" and outcome.result is not None:
        told = told | {"group_id": int(outcome.result)}
    row = foreign(tx_hash, **told | _ended(outcome))
    if row.status == Status.SUCCESS and not _is_read(row):
        row = foreign(tx_hash, **told, status=Status.PENDING)
    return with_carried([row])[0]


def _look_up(tx_hash: str, client: SorobanClient) -> tuple[dict[str, Any], Outcome] | None:
    answer = client.get_transaction(tx_hash)
    if not answer.is_found:
        return None
    told = _from_envelope(answer.envelope_xdr or "")
    function = told.get("function", "")
    return told, confirm(client, tx_hash, function, read_outcome(answer, tx_hash, function))


def _ended(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status,
        "code": outcome.code or "",
        "detail": outcome.detail,
        "contract_error": outcome.contract_error,
        "ledger": outcome.ledger,
        "closed_at": outcome.closed_at,
        "result": outcome.result,
        "fee_charged": outcome.fee_charged,
        "bump_hash": outcome.bump_hash,
    }


def _is_read(row: ChainTransaction) -> bool:
    """Return whether a read shows a transaction's ledger. Its group is read again: no event announces a name."""
    seen, ledger = visibility.shown(), row.ledger or 0
    if seen is None or ledger > min(seen.ledger, seen.instance_ledger):
        return False
    group = Group.objects.filter(pk=row.group_id, unreadable_since=None, synced_ledger__lt=ledger)
    try:
        return not group.exists() or read_group(int(row.group_id or 0), time.monotonic() + LOOK_UP_WAIT) >= ledger
    except Unavailable:
        return False


def _from_envelope(xdr: str) -> dict[str, Any]:
    """Return the columns that an envelope tells; fewer where it calls something else, or cannot be read."""
    passphrase = settings.STELLAR_NETWORK_PASSPHRASE
    try:
        if FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(xdr):
            outer = FeeBumpTransactionEnvelope.from_xdr(xdr, passphrase).transaction
            return _from_transaction(outer.inner_transaction_envelope) | {"max_fee": outer.fee}
        return _from_transaction(TransactionEnvelope.from_xdr(xdr, passphrase))
    except XDR_FAULTS:
        return {}


def _from_transaction(envelope: TransactionEnvelope) -> dict[str, Any]:
    transaction = envelope.transaction
    bounds = transaction.preconditions.time_bounds if transaction.preconditions else None
    known: dict[str, Any] = {
        "source": transaction.source.account_id,
        "sequence": transaction.sequence,
        "max_time": bounds.max_time if bounds and bounds.max_time else None,
        "max_fee": transaction.fee,
    }
    try:
        call = read_call(envelope)
    except ValueError:
        return known
    return known | {"function": call.function, "group_id": call.group}
