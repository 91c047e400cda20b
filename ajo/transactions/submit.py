"""Take a signed transaction: check it, store it, then send it for the first time.

The row is committed before anything is sent, so that whatever dies in between, the follower goes on with it. Posted
again, the same transaction has the same hash and the same row, and nothing is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from ajo.cache import Unavailable
from ajo.soroban.models import ChainTransaction, Checkpoint
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes
from ajo.transactions.accounts import AccountState, account_key, decode_account
from ajo.transactions.asking import chain_slot
from ajo.transactions.codes import Code
from ajo.transactions.conflicts import Conflict
from ajo.transactions.envelope import (
    MAX_TIME_AHEAD,
    EnvelopeRefused,
    Fault,
    Submission,
    check_envelope,
    check_time,
    read_envelope,
)
from ajo.transactions.foreign import NotFound, find_ended, look_up
from ajo.transactions.queries import Carried, Known, find_submitted, with_carried
from ajo.transactions.remembered import recall
from ajo.transactions.sending import send
from ajo.transactions.signatures import check_signatures
from ajo.transactions.warnings import say

Status = ChainTransaction.Status
READ_WAIT: Final = 4.0  # seconds for the accounts
SEND_WAIT: Final = 4.0  # seconds for the first sending; without an answer the follower sends it again
# The first sending has ended by then, or died with its process: the follower takes over.
FOLLOWED_AFTER: Final = timedelta(seconds=2 * SEND_WAIT)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a post. `is_new`: this post has stored the transaction."""

    known: Known
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Accounts:
    """The accounts that sign, by address, all read at `ledger`; one that is not on the chain is missing."""

    ledger: int
    found: dict[str, AccountState]


def submit(text: str, admit: Callable[[], object]) -> Submitted:
    """Store and send a signed transaction (base64 XDR), or return what is known of it.

    `admit` is called before the chain is asked. Raise EnvelopeRefused (400), Conflict (409), and Unavailable where the
    chain cannot be asked before anything is stored.
    """
    envelope = read_envelope(text)
    tx_hash = envelope.hash_hex()
    if stored := find_submitted(tx_hash):
        return Submitted(with_carried([stored])[0], is_new=False)
    submission = check_envelope(envelope)
    checkpoint = _checkpoint()
    admit()
    with chain_slot():
        return _submit(submission, checkpoint)


def _submit(submission: Submission, checkpoint: Checkpoint) -> Submitted:
    taken = _take_as_built(submission, checkpoint)
    if taken is not None:
        return _send(*taken, checkpoint)
    reached = checkpoint.chain_ledger
    try:
        _check_time(submission, checkpoint)
        accounts = _read_accounts(submission, checkpoint)
        reached = max(reached, accounts.ledger)
        _check_accounts(submission, accounts, checkpoint)
    except EnvelopeRefused as refusal:
        if refusal.fault not in (Fault.TIME_OVER, Fault.SEQUENCE_USED):
            raise
        # what is too late to be sent may be in a ledger already, sent by anybody
        found = find_ended(submission.hash, reached)
        if isinstance(found, NotFound):
            raise _too_late(submission, refusal.fault, found) from refusal
        return Submitted(found, is_new=False)
    return _send(*_store(submission, accounts, checkpoint.chain_ledger), checkpoint)


def _take_as_built(submission: Submission, checkpoint: Checkpoint) -> tuple[ChainTransaction, bool] | None:
    """Store the transaction by its account as a build read it, which costs no request. None where the chain decides.

    That is where nothing is remembered, and where it would be refused.
    """
    recalled = recall(checkpoint, submission.source) if submission.caller == submission.source else None
    if recalled is None or ChainTransaction.objects.proving_used(submission.source, submission.sequence).exists():
        return None
    ledger, account = recalled
    accounts = _Accounts(ledger, {submission.source: account})
    try:
        _check_time(submission, checkpoint)
        _check_accounts(submission, accounts, checkpoint)
        return _store(submission, accounts, checkpoint.chain_ledger)
    except (EnvelopeRefused, Conflict, Unavailable):
        return None


def _send(row: ChainTransaction, is_new: bool, checkpoint: Checkpoint) -> Submitted:
    if not is_new:
        return Submitted(with_carried([row])[0], is_new)
    send(row, is_first_send=True, deadline=time.monotonic() + SEND_WAIT, heard=checkpoint.chain_ledger)
    return Submitted(Known(find_submitted(row.hash) or row, Carried()), is_new)


def _too_late(submission: Submission, fault: Fault, found: NotFound) -> EnvelopeRefused:
    """Return the refusal of what is in no ledger that the nodes have. It says to build anew only where that is safe."""
    if fault == Fault.SEQUENCE_USED:
        why = f"The account {submission.source} has used the sequence number {submission.sequence}."
    else:
        why = f"It can apply until {say(submission.max_time)}; the newest ledger closed at {say(found.until)}."
        if found.until <= submission.max_time:
            return EnvelopeRefused(
                fault, f"{why} If others have sent it, it may still apply: post it again after that time."
            )
    if found.since > submission.max_time - MAX_TIME_AHEAD:
        what = f"The nodes' history begins at {say(found.since)}: they cannot say whether this transaction was applied."
        return EnvelopeRefused(fault, f"{why} {what} Look at what it should have changed before you build another.")
    return EnvelopeRefused(fault, f"{why} It is in no ledger and never will be: build another.")


def _checkpoint() -> Checkpoint:
    """Return the checkpoint. Raise Unavailable where the chain has not been heard from, or the tables are another's."""
    checkpoint = Checkpoint.objects.defer("instance_xdr").current()
    if checkpoint is None or checkpoint.chain_closed_at is None:
        raise Unavailable("The chain has not been heard from yet.")
    if checkpoint.halt_reason:
        raise Unavailable("The tables are of another chain than the configured one.", retry_after=300)
    return checkpoint


def _check_time(submission: Submission, checkpoint: Checkpoint) -> None:
    """Check the time by the chain's clock: a refusal by what was last heard is repeated by what a node says now.

    Raise EnvelopeRefused or Unavailable.
    """
    closed_at = int(checkpoint.chain_closed_at.timestamp()) if checkpoint.chain_closed_at else 0
    try:
        check_time(submission.max_time, closed_at, closed_at)
    except EnvelopeRefused:
        closed_at = max(closed_at, int(look_up(submission.hash).latest_ledger_close_time))
        check_time(submission.max_time, closed_at, closed_at)


def _read_accounts(submission: Submission, checkpoint: Checkpoint) -> _Accounts:
    """Read source and caller, at one ledger. Raise Unavailable."""
    keys = {account_key(address): address for address in (submission.source, submission.caller)}

    def read(client: SorobanClient) -> _Accounts:
        # a node that does not have what the tables have is behind
        entries = read_entries(client, list(keys), at_least=checkpoint.ledger, heard=checkpoint.chain_ledger)
        found = {keys[key]: decode_account(keys[key], entry["xdr"]) for key, entry in entries.found.items()}
        return _Accounts(entries.ledger, found)

    try:
        return nodes().run(read, time.monotonic() + READ_WAIT)
    except ChainError as failure:
        raise Unavailable("The chain cannot be asked now. Nothing was stored or sent.") from failure


def _check_accounts(submission: Submission, accounts: _Accounts, checkpoint: Checkpoint) -> None:
    """Raise EnvelopeRefused or Conflict for what these accounts cannot do.

    Raise Unavailable where a refusal would rest on an older ledger than the newest that was heard of: there an account
    may not have been funded yet, or not have its new signer.
    """
    try:
        for address in (submission.source, submission.caller):
            if address not in accounts.found:
                raise Conflict(Code.NO_ACCOUNT, f"The account {address} is not on the chain.", account=address)
        if submission.sequence <= accounts.found[submission.source].sequence:
            raise EnvelopeRefused(Fault.SEQUENCE_USED, "The sequence number has been used.")
        check_signatures(submission, accounts.found)
    except (EnvelopeRefused, Conflict):
        if accounts.ledger < checkpoint.chain_ledger:
            raise Unavailable("The node that was asked lags behind. Nothing was stored or sent.") from None
        raise


def _store(submission: Submission, accounts: _Accounts, newest: int) -> tuple[ChainTransaction, bool]:
    """Store the transaction unless it is stored. Return it, and whether this call has stored it.

    `newest` is the newest ledger that was heard of.

    Raise Conflict where another transaction of its source is pending with another sequence number: the network queues
    one of a source at a time. A lock of the source orders posts that are made at once.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"transactions:{submission.source}"])
        used = accounts.found[submission.source].sequence  # what has used its number is pending no longer
        is_other = Q(status=Status.PENDING, sequence__gt=used) & ~Q(sequence=submission.sequence)
        of_source = ChainTransaction.objects.filter(source=submission.source)
        found = list(of_source.filter(Q(hash=submission.hash) | is_other).order_by("sequence"))
        if stored := next((row for row in found if row.hash == submission.hash), None):
            return stored, False
        if found:
            other = found[0].hash
            detail = f"Another transaction of {submission.source} is pending: {other}."
            raise Conflict(Code.SOURCE_BUSY, detail, hash=other)
        return _row(submission, accounts.ledger, newest), True


def _row(submission: Submission, ledger: int, newest: int) -> ChainTransaction:
    return ChainTransaction.objects.create(
        hash=submission.hash,
        xdr=submission.envelope.to_xdr(),
        function=submission.call.function,
        group_id=submission.call.group,
        source=submission.source,
        sequence=submission.sequence,
        max_time=submission.max_time,
        max_fee=submission.max_fee,
        submitted_ledger=max(ledger, newest),
        account_ledger=ledger,
        next_attempt_at=Now() + FOLLOWED_AFTER,
    )
