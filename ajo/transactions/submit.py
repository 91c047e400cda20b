"""Take a signed transaction: check it, store it, then send it for the first time.

The row is committed before anything is sent, so that whatever dies in between, the follower goes on with it. Posted
again, the same transaction has the same hash and the same row, and nothing is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

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
    EnvelopeRefused,
    Fault,
    Submission,
    check_envelope,
    check_time,
    read_envelope,
)
from ajo.transactions.late import find_late
from ajo.transactions.queries import Carried, Known, find_submitted, with_carried
from ajo.transactions.remembered import recall
from ajo.transactions.sending import send
from ajo.transactions.signatures import check_signatures

Status = ChainTransaction.Status
T = TypeVar("T")
READ_WAIT: Final = 4.0  # seconds for all that is asked before it is sent
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


def submit(text: str, admit: Callable[[], object], client: str = "") -> Submitted:
    """Store and send a signed transaction (base64 XDR), or return what is known of it.

    `admit` is called before the chain is asked, `client` is the client's address. Raise EnvelopeRefused (400), Conflict
    (409), and Unavailable where the chain cannot be asked before anything is stored.
    """
    envelope = read_envelope(text)
    if stored := find_submitted(envelope.hash_hex()):
        return Submitted(with_carried([stored])[0], is_new=False)
    submission = check_envelope(envelope)
    checkpoint = _checkpoint()
    admit()
    with chain_slot(client):
        return _submit(submission, checkpoint, time.monotonic() + READ_WAIT)


def _submit(submission: Submission, checkpoint: Checkpoint, deadline: float) -> Submitted:
    closed_at = _newest_close(submission, checkpoint, deadline)
    recalled, reached = recall(checkpoint, submission.source), checkpoint.ledger
    try:
        check_time(submission.max_time, closed_at, closed_at)
        taken = _take_as_built(submission, checkpoint, recalled)
        if taken is None:
            accounts = _read_accounts(submission, checkpoint, deadline)
            reached = accounts.ledger
            _check_accounts(submission, accounts, checkpoint)
            taken = _store(submission, accounts, checkpoint.chain_ledger)
    except EnvelopeRefused as refusal:
        if refusal.fault not in (Fault.TIME_OVER, Fault.SEQUENCE_USED):
            raise
        unused = recalled[0] if recalled and recalled[1].sequence < submission.sequence else None
        found = find_late(
            submission, refusal.fault, closed_at=closed_at, reached=reached, unused=unused, deadline=deadline
        )
        return Submitted(found, is_new=False)
    row, is_new = taken
    if not is_new:
        return Submitted(with_carried([row])[0], is_new)
    send(row, is_first_send=True, deadline=time.monotonic() + SEND_WAIT, heard=checkpoint.chain_ledger)
    return Submitted(Known(find_submitted(row.hash) or row, Carried()), is_new)


def _take_as_built(
    submission: Submission, checkpoint: Checkpoint, recalled: tuple[int, AccountState] | None
) -> tuple[ChainTransaction, bool] | None:
    """Store the transaction by its account as a build read it, which costs no request. None where the chain decides.

    That is where nothing is remembered, where it would be refused, and where it is not the account's next: of that one
    a core checks the signatures at once.
    """
    if recalled is None or submission.caller != submission.source:
        return None
    ledger, account = recalled
    if submission.sequence != account.sequence + 1:
        return None
    if ChainTransaction.objects.proving_used(submission.source, submission.sequence).exists():
        return None
    accounts = _Accounts(ledger, {submission.source: account})
    try:
        _check_accounts(submission, accounts, checkpoint)
        return _store(submission, accounts, checkpoint.chain_ledger)
    except (EnvelopeRefused, Conflict, Unavailable):
        return None


def _checkpoint() -> Checkpoint:
    """Return the checkpoint. Raise Unavailable where the chain has not been heard from, or the tables are another's."""
    checkpoint = Checkpoint.objects.defer("instance_xdr").current()
    if checkpoint is None or checkpoint.chain_closed_at is None:
        raise Unavailable("The chain has not been heard from yet.")
    if checkpoint.halt_reason:
        raise Unavailable("The tables are of another chain than the configured one.", retry_after=300)
    return checkpoint


def _newest_close(submission: Submission, checkpoint: Checkpoint, deadline: float) -> int:
    """Return when the newest ledger closed (unix seconds), by the chain's clock.

    A node is asked where what was last heard would refuse the transaction's time. Raise Unavailable.
    """
    closed_at = int(checkpoint.chain_closed_at.timestamp()) if checkpoint.chain_closed_at else 0
    try:
        check_time(submission.max_time, closed_at, closed_at)
    except EnvelopeRefused:
        told = _ask(lambda client: client.get_transaction(submission.hash), deadline)
        closed_at = max(closed_at, int(told.latest_ledger_close_time))
    return closed_at


def _ask(read: Callable[[SorobanClient], T], deadline: float) -> T:
    try:
        return nodes().run(read, deadline)
    except ChainError as failure:
        raise Unavailable("The chain cannot be asked now. Nothing was stored or sent.") from failure


def _read_accounts(submission: Submission, checkpoint: Checkpoint, deadline: float) -> _Accounts:
    """Read source and caller, at one ledger. Raise Unavailable."""
    keys = {account_key(address): address for address in (submission.source, submission.caller)}

    def read(client: SorobanClient) -> _Accounts:
        # a node that does not have what the tables have is behind
        entries = read_entries(client, list(keys), at_least=checkpoint.ledger, heard=checkpoint.chain_ledger)
        found = {keys[key]: decode_account(keys[key], entry["xdr"]) for key, entry in entries.found.items()}
        return _Accounts(entries.ledger, found)

    return _ask(read, deadline)


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
