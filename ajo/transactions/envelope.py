"""Read a signed envelope and refuse, by name, what could never apply or what this service does not follow.

The checks here need no state. Those of accounts are in signatures.py. Order and rules are core's (docs/writing.md).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from django.conf import settings
from stellar_sdk import InvokeHostFunction, NoneMemo, TransactionEnvelope, xdr

from ajo.soroban.contract import XDR_FAULTS
from ajo.transactions.calls import Call, read_call
from ajo.transactions.fees import MIN_INCLUSION_FEE
from ajo.transactions.plan import STOP_SENDING

MAX_TIME_AHEAD: Final = 3_600 + 60  # seconds after a ledger's close: what build gives, and close times that run ahead
MAX_SIZE: Final = 132_096  # bytes of an envelope (tx_max_size_bytes)


class Fault(StrEnum):
    """Why an envelope is not taken. Words are added, and none is renamed: clients compare them."""

    BAD_XDR = "bad_xdr"
    TOO_LARGE = "too_large"
    FEE_BUMP = "fee_bump"
    V0 = "v0"
    MUXED_SOURCE = "muxed_source"
    MEMO = "memo"
    NOT_OURS = "not_ours"
    NO_RESOURCES = "no_resources"
    FOREIGN_AUTHORIZATION = "foreign_authorization"
    NO_TIME_BOUNDS = "no_time_bounds"
    MIN_TIME = "min_time"
    PRECONDITIONS = "preconditions"
    TIME_OVER = "time_over"
    TIME_TOO_FAR = "time_too_far"
    FEE_TOO_LOW = "fee_too_low"
    FEE_TOO_HIGH = "fee_too_high"
    NOT_SIGNED = "not_signed"
    WRONG_NETWORK = "wrong_network"
    WEIGHT_SHORT = "weight_short"
    UNUSED_SIGNATURE = "unused_signature"
    SEQUENCE_USED = "sequence_used"
    END_UNKNOWN = "end_unknown"


class EnvelopeRefused(Exception):
    """The envelope is not taken: why, in one word and in a sentence for people."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed transaction with one call of the contract.

    `source` is the account whose sequence number it uses, `caller` the one in whose name it calls: the same, unless the
    operation names another. `max_time` is in unix seconds, `max_fee` in stroops.
    """

    hash: str
    envelope: TransactionEnvelope
    call: Call
    source: str
    caller: str
    sequence: int
    max_time: int
    max_fee: int


def read_envelope(text: str) -> TransactionEnvelope:
    """Read a base64 TransactionEnvelope of the configured network. Raise EnvelopeRefused for what is none."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeRefused(Fault.BAD_XDR, "A TransactionEnvelope in base64 is expected.") from None
    if len(raw) > MAX_SIZE:
        raise EnvelopeRefused(Fault.TOO_LARGE, f"It has {len(raw)} bytes; the network takes {MAX_SIZE}.")
    try:
        found = xdr.TransactionEnvelope.from_xdr_bytes(raw)
        if found.type == xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP:
            raise EnvelopeRefused(
                Fault.FEE_BUMP, "Post the inner transaction. A fee bump that others send is followed with it."
            )
        if found.type == xdr.EnvelopeType.ENVELOPE_TYPE_TX_V0:
            raise EnvelopeRefused(Fault.V0, "An envelope of version 0 cannot call a contract: build it as version 1.")
        envelope = TransactionEnvelope.from_xdr_object(found, settings.STELLAR_NETWORK_PASSPHRASE)
        is_whole = envelope.to_xdr_object().to_xdr_bytes() == raw
    except XDR_FAULTS:
        raise EnvelopeRefused(Fault.BAD_XDR, "These bytes are no TransactionEnvelope.") from None
    if not is_whole:  # the hash is computed from what was read: it has to be all there is
        raise EnvelopeRefused(Fault.BAD_XDR, "These bytes are not the plain form of a TransactionEnvelope.")
    return envelope


def check_envelope(envelope: TransactionEnvelope) -> Submission:
    """Return what an envelope submits. Raise EnvelopeRefused for what could not apply in any state of the chain."""
    transaction = envelope.transaction
    for account in (transaction.source, *(operation.source for operation in transaction.operations)):
        if account is not None and account.account_muxed_id is not None:
            detail = f"The network takes no call of a muxed account (M…): use its account {account.account_id}."
            raise EnvelopeRefused(Fault.MUXED_SOURCE, detail)
    if not isinstance(transaction.memo, NoneMemo):
        raise EnvelopeRefused(Fault.MEMO, "The network takes no call of a contract with a memo: leave it out.")
    try:
        call = read_call(envelope)
    except ValueError as error:
        raise EnvelopeRefused(Fault.NOT_OURS, str(error)) from None
    operation: Any = transaction.operations[0]  # read_call lets nothing but one invocation through
    _check_roots(operation)
    _check_fees(envelope)
    source = transaction.source.account_id
    return Submission(
        hash=envelope.hash_hex(),
        envelope=envelope,
        call=call,
        source=source,
        caller=operation.source.account_id if operation.source else source,
        sequence=transaction.sequence,
        max_time=_max_time(envelope),
        max_fee=transaction.fee,
    )


def check_time(max_time: int, closed_at: int, newest: int) -> None:
    """Raise EnvelopeRefused where the time is over, or further ahead than anything is followed. In unix seconds.

    `closed_at` is when a ledger closed that certainly has, `newest` when one can have closed at the latest.
    """
    if max_time < closed_at + STOP_SENDING:
        detail = f"It can apply until {max_time}; the newest ledger closed at {closed_at}. Build it again."
        raise EnvelopeRefused(Fault.TIME_OVER, detail)
    if max_time > newest + MAX_TIME_AHEAD:
        detail = (
            f"It can apply until {max_time}. {MAX_TIME_AHEAD} seconds after the newest ledger, which closed at "
            f"{newest}, are the most."
        )
        raise EnvelopeRefused(Fault.TIME_TOO_FAR, detail)


def _max_time(envelope: TransactionEnvelope) -> int:
    conditions = envelope.transaction.preconditions
    bounds = conditions.time_bounds if conditions else None
    if conditions is None or bounds is None or not bounds.max_time:
        raise EnvelopeRefused(Fault.NO_TIME_BOUNDS, "Without a maxTime nothing ever proves that it cannot apply.")
    if bounds.min_time:
        raise EnvelopeRefused(Fault.MIN_TIME, "A minTime is not followed: leave it 0.")
    if (
        conditions.ledger_bounds
        or conditions.min_sequence_number is not None
        or conditions.min_sequence_age
        or conditions.min_sequence_ledger_gap
        or conditions.extra_signers
    ):
        raise EnvelopeRefused(Fault.PRECONDITIONS, "Of the preconditions only maxTime is followed: leave out the rest.")
    if bounds.max_time >= 2**63:
        raise EnvelopeRefused(Fault.TIME_TOO_FAR, f"{MAX_TIME_AHEAD} seconds after the newest ledger are the most.")
    return int(bounds.max_time)


def _check_roots(operation: InvokeHostFunction) -> None:
    """Refuse authorizations of anything but this very call: the wallet was made to sign for something else."""
    for entry in operation.auth:
        if entry.root_invocation.function.contract_fn != operation.host_function.invoke_contract:
            raise EnvelopeRefused(
                Fault.FOREIGN_AUTHORIZATION, "An authorization entry is for another call than the transaction makes."
            )


def _check_fees(envelope: TransactionEnvelope) -> None:
    data = envelope.transaction.soroban_data
    if data is None:
        raise EnvelopeRefused(Fault.NO_RESOURCES, "It declares no resources: take the envelope that build returned.")
    resource = data.resource_fee.int64
    inclusion = envelope.transaction.fee - resource
    if resource < 0 or inclusion < MIN_INCLUSION_FEE:
        detail = f"Beyond its resource fee of {resource} stroops it has to offer {MIN_INCLUSION_FEE} or more."
        raise EnvelopeRefused(Fault.FEE_TOO_LOW, detail)
    for name, fee, limit in (
        ("resource", resource, settings.MAX_RESOURCE_FEE),
        ("inclusion", inclusion, settings.MAX_INCLUSION_FEE),
    ):
        if fee > limit:
            raise EnvelopeRefused(Fault.FEE_TOO_HIGH, f"Its {name} fee is {fee} stroops; {limit} are the most.")
