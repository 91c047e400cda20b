"""Build an unsigned transaction for one call of the contract: state, simulation, checks, margins (docs/writing.md).

Two requests to a node make it, at the same time: the account with what else the call depends on, and the simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from stellar_sdk import TransactionEnvelope
from stellar_sdk.xdr import SorobanAuthorizationEntry, SorobanTransactionData

from ajo.api.problems import invalid
from ajo.cache import Absent
from ajo.soroban.contract import DecodeError
from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.soroban.rpc.transactions import Simulation
from ajo.soroban.times import timestamp_to_datetime
from ajo.transactions.accounts import AccountState
from ajo.transactions.authorization import AuthEntry, check_entries, expire, to_sign
from ajo.transactions.calls import Call
from ajo.transactions.codes import Code
from ajo.transactions.conflicts import Conflict
from ajo.transactions.fees import default_bid, expected_growth, replacing_bid, stored_bid, with_margins
from ajo.transactions.limits import check_limits, events_size
from ajo.transactions.outcomes import json_result
from ajo.transactions.sep7 import transaction_uri
from ajo.transactions.simulation import allowed, ask_both, ask_chain, balance_after, recorded_entries, unsigned_envelope
from ajo.transactions.state import State
from ajo.transactions.warnings import Warned, WarningCode, token_of, warnings
from groups.models import Token

VALID_FOR: Final = 300  # seconds: ten shorter services' transactions died while the user read the wallet
# ledgers that an authorization outlives the transaction's time by, as stellar-sdk's clients add
AUTH_MARGIN: Final = 100
FASTEST_CLOSE: Final = 4  # seconds between two ledgers, where votes have made them faster
MIN_AUTH_LEDGERS: Final = 10
SIGNATURE_BYTES: Final = 72  # one in the envelope: hint, length, 64 bytes


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What a client asks for. Times are in seconds, fees in stroops, `auth_valid_for` in ledgers."""

    call: Call
    source: str
    valid_for: int = VALID_FOR
    sequence: int | None = None
    replaces: str | None = None
    inclusion_fee: int | None = None
    credentials: str = "address"
    auth_valid_for: int | None = None


@dataclass(frozen=True, slots=True)
class Fee:
    """The most that a transaction can cost, in stroops."""

    inclusion: int
    resource: int

    @property
    def max(self) -> int:
        return self.inclusion + self.resource


@dataclass(frozen=True, slots=True)
class Built:
    """A transaction that was simulated, and what a client needs to sign it."""

    xdr: str
    hash: str
    uri: str
    network_passphrase: str
    function: str
    group: int | None
    source: str
    sequence: int
    valid_until: datetime | None
    fee: Fee
    result: Any
    auth_entries: list[AuthEntry]
    warnings: list[Warned]


def build(request: BuildRequest, address: str = "") -> Built:
    """Build a transaction for the client of this address.

    Raises a 400 by field, Absent for an unknown `replaces`, Conflict, and Unavailable where no node can be asked.
    """
    replaced = None if request.replaces is None else _replaced(request)
    return ask_chain(lambda client: _build(client, request, replaced), address)


def _build(client: SorobanClient, request: BuildRequest, replaced: ChainTransaction | None) -> Built:
    call, source = request.call, request.source

    def meanwhile(state: State) -> tuple[tuple[int, list[Warned]], Token | None]:
        return _sequence(request, replaced, state), token_of(call, state)

    upgraded = request.credentials == "address_v2"
    state, ((sequence, cautions), token), answer = ask_both(client, call, source, meanwhile, use_upgraded_auth=upgraded)
    max_time = state.closed_at + request.valid_for
    simulation = allowed(answer, call, state)
    auth = recorded_entries(simulation)
    check_entries(auth, call, state, source)
    expire(auth, state.ledger + _auth_ledgers(request, state))
    data = with_margins(
        simulation.transaction_data, simulation.min_resource_fee, expected_growth(call, state), state.limits
    )
    bid = _bid(client, request, replaced)
    envelope = unsigned_envelope(call, source, sequence, max_time, inclusion_fee=bid, auth=auth, data=data)
    return finished(envelope, call, state, simulation, data, auth, token, cautions)


def finished(
    envelope: TransactionEnvelope,
    call: Call,
    state: State,
    simulation: Simulation,
    data: SorobanTransactionData,
    auth: Sequence[SorobanAuthorizationEntry],
    token: Token | None,
    cautions: Sequence[Warned] = (),
) -> Built:
    """Return the answer for an envelope. Raises Conflict for one that cannot apply, or whose source cannot pay it."""
    transaction = envelope.transaction
    source = transaction.source.account_id
    check_limits(
        state.limits, data, len(envelope.to_xdr_object().to_xdr_bytes()) + SIGNATURE_BYTES, events_size(simulation)
    )
    resource = data.resource_fee.int64
    fee = Fee(transaction.fee - resource, resource)
    _check_balance(state.account, balance_after(simulation, state.account), fee)
    max_time = _max_time(envelope)
    return Built(
        xdr=envelope.to_xdr(),
        hash=envelope.hash_hex(),
        uri=transaction_uri(envelope, source),
        network_passphrase=settings.STELLAR_NETWORK_PASSPHRASE,
        function=call.function,
        group=call.group,
        source=source,
        sequence=transaction.sequence,
        valid_until=timestamp_to_datetime(max_time),
        fee=fee,
        result=_result(call, simulation),
        auth_entries=to_sign(auth, call),
        warnings=[*cautions, *warnings(call, state, token, data, max_time)],
    )


def _check_balance(account: AccountState, after: int, fee: Fee) -> None:
    """Raise Conflict where the source cannot pay both the fee and the call: the network takes the fee first."""
    if after - fee.max < account.reserve:
        spent = f", of which the call takes {account.balance - after:,}" if after < account.balance else ""
        raise Conflict(
            Code.INSUFFICIENT_BALANCE,
            f"{account.address} holds {account.balance:,} stroops{spent}. It has to keep {account.reserve:,}, and "
            f"the fee can be {fee.max:,}.",
        )


def _max_time(envelope: TransactionEnvelope) -> int:
    preconditions = envelope.transaction.preconditions
    return preconditions.time_bounds.max_time if preconditions and preconditions.time_bounds else 0


def _result(call: Call, simulation: Simulation) -> Any:
    try:
        return json_result(call.function, simulation.result)
    except DecodeError as error:
        raise RpcInvalidAnswer(f"simulateTransaction: {error}") from error


def _replaced(request: BuildRequest) -> ChainTransaction:
    """Return the transaction that is to be replaced. Raises Absent, Conflict, or a 400."""
    row = ChainTransaction.objects.filter(hash=request.replaces).first()
    if row is None:
        raise Absent("This service knows no transaction with the hash that is to be replaced.")
    if row.source != request.source:
        raise invalid(replaces=f"That transaction is of another source, {row.source}.")
    if request.sequence not in (None, row.sequence):
        raise invalid(sequence=f"The transaction that is to be replaced has the sequence number {row.sequence}.")
    if row.status not in (ChainTransaction.Status.PENDING, ChainTransaction.Status.REJECTED):
        raise Conflict(Code.NOT_REPLACEABLE, f"That transaction has ended: {row.status}. Build a new one.")
    return row


def _sequence(request: BuildRequest, replaced: ChainTransaction | None, state: State) -> tuple[int, list[Warned]]:
    """Return the sequence number, and a warning where another transaction has to come first. Raises Conflict, a 400.

    There is no counter of our own: the chain says which number is next, and the client which one it wants.
    """
    following = state.account.sequence + 1
    if replaced is not None:
        if replaced.sequence < following:
            said = "That transaction, or another with its sequence number, is in a ledger already. Wait for its end."
            raise Conflict(Code.SEQUENCE_USED, said, hash=replaced.hash)
        return replaced.sequence, []
    wanted = following if request.sequence is None else request.sequence
    if wanted < following:
        raise invalid(sequence=f"Has been used. The next of this account is {following}.")
    pending = ChainTransaction.objects.pending().filter(
        source=request.source, sequence__gte=following, max_time__gte=state.closed_at
    )
    rivals = pending if request.sequence is None else pending.filter(sequence=wanted)
    rival = rivals.order_by("sequence").first()
    if rival is not None:
        raise Conflict(
            Code.SOURCE_BUSY,
            f"Another transaction of this source is pending: {rival.hash}. Wait for its end, or build with `replaces`.",
            hash=rival.hash,
        )
    if wanted == following:
        return wanted, []
    gap = f"It waits for the transactions with the sequence numbers from {following} to {wanted - 1}."
    return wanted, [Warned(WarningCode.SEQUENCE_GAP, gap)]


def _bid(client: SorobanClient, request: BuildRequest, replaced: ChainTransaction | None) -> int:
    """Return what is offered for a place in a ledger. Raises Conflict or a 400 for what outbids nothing."""
    if replaced is None:
        return default_bid(client) if request.inclusion_fee is None else request.inclusion_fee
    old = stored_bid(replaced)
    if request.inclusion_fee is not None:
        if request.inclusion_fee <= old:
            raise invalid(inclusion_fee=f"That transaction offers {old} stroops: more is needed to replace it.")
        return request.inclusion_fee
    bid = replacing_bid(old, default_bid(client))
    if bid <= old:
        raise Conflict(Code.NOT_REPLACEABLE, f"That transaction offers {old} stroops already, the most that may be.")
    return bid


def _auth_ledgers(request: BuildRequest, state: State) -> int:
    """Return for how many ledgers an authorization is valid: long enough for the transaction's own time, and more."""
    if request.auth_valid_for is None:
        return -(-request.valid_for // FASTEST_CLOSE) + AUTH_MARGIN
    most = state.limits.lifetime - 1
    if not MIN_AUTH_LEDGERS <= request.auth_valid_for <= most:
        raise invalid(auth_valid_for=f"A whole number from {MIN_AUTH_LEDGERS} to {most} is expected.")
    return request.auth_valid_for
