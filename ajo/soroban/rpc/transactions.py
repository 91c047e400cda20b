"""What an RPC answers about transactions: simulateTransaction, sendTransaction, getTransaction, getFeeStats."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ajo.soroban.rpc.answers import U32, Base64
from ajo.soroban.rpc.errors import RpcInvalidAnswer, RpcUnavailable, SimulationFault
from ajo.soroban.rpc.transport import RpcModel, strip_nul

Number = Annotated[str, Field(pattern="^[0-9]{1,19}$")]  # an integer that the RPC writes as a string

HOST_ERROR: Final = "HostError: "  # only a text that begins so is the host's word; all others are the node's faults
UNREADABLE: Final = "Could not unmarshal transaction"  # what a node says of XDR that its release does not read
MAX_ERROR = 500  # characters of a node's words that are kept


class _CallResult(RpcModel):
    auth: tuple[Base64, ...] | None = None
    xdr: Base64


class StateChange(TypedDict):
    """A ledger entry that a simulated call would change; `before` and `after` are base64 LedgerEntries."""

    type: str
    key: str
    before: str | None
    after: str | None


class SimulationAnswer(RpcModel):
    """The result of simulateTransaction. It is never a JSON-RPC error of its own making: `error` is text."""

    error: str | None = None
    events: tuple[Base64, ...] | None = None
    latest_ledger: U32
    transaction_data: Base64 | None = None
    min_resource_fee: Number | None = None
    results: tuple[_CallResult, ...] | None = None
    state_changes: list[StateChange] | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """A call that the host allowed. Entries and values are base64 XDR, `min_resource_fee` is in stroops."""

    ledger: int
    transaction_data: str
    min_resource_fee: int
    result: str
    auth: tuple[str, ...]
    events: tuple[str, ...]
    changes: tuple[StateChange, ...]


@dataclass(frozen=True, slots=True)
class HostRefusal:
    """A call that the host, or a contract in it, refused. `error` is the first line of its words.

    `events` are base64 DiagnosticEvents, oldest first.
    """

    ledger: int
    error: str
    events: tuple[str, ...]


def read_simulation(answer: SimulationAnswer) -> Simulation | HostRefusal:
    """Return what the host says of the call. Raises RpcUnavailable for what is the node's fault in `error`."""
    if answer.error is not None:
        line = strip_nul(answer.error.split("\n", 1)[0])[:MAX_ERROR]  # a stack backtrace may follow
        if not line.startswith(HOST_ERROR):
            kind = SimulationFault if line.startswith(UNREADABLE) else RpcUnavailable
            raise kind(f"simulateTransaction: {line}")
        return HostRefusal(answer.latest_ledger, line, answer.events or ())
    if not answer.transaction_data or answer.min_resource_fee is None or not answer.results:
        raise RpcInvalidAnswer("simulateTransaction: neither a result nor an error")
    return Simulation(
        ledger=answer.latest_ledger,
        transaction_data=answer.transaction_data,
        min_resource_fee=int(answer.min_resource_fee),
        result=answer.results[0].xdr,
        auth=answer.results[0].auth or (),
        events=answer.events or (),
        changes=tuple(answer.state_changes or ()),
    )


class SendStatus(StrEnum):
    """What a node says of a transaction that it was sent. Of a second sending none says anything final."""

    PENDING = "PENDING"
    DUPLICATE = "DUPLICATE"
    TRY_AGAIN_LATER = "TRY_AGAIN_LATER"
    ERROR = "ERROR"


class Sent(RpcModel):
    """The answer of sendTransaction. `hash` is the node's word: ours is computed from the envelope.

    `error_result_xdr`, a base64 TransactionResult, comes with ERROR.
    """

    status: SendStatus
    hash: str
    latest_ledger: U32
    latest_ledger_close_time: Number
    error_result_xdr: Base64 | None = None
    diagnostic_events_xdr: tuple[Base64, ...] | None = None


class _TransactionEvents(RpcModel):
    contract_events_xdr: tuple[tuple[Base64, ...], ...] | None = None


class TransactionAnswer(RpcModel):
    """The answer of getTransaction.

    The hash is looked up before the range is read: NOT_FOUND may come with a `latest_ledger` that holds the
    transaction (docs/chain.md). Only `status` says whether it was found; what is not the status is best effort.
    """

    status: Literal["SUCCESS", "FAILED", "NOT_FOUND"]
    latest_ledger: U32
    latest_ledger_close_time: Number
    oldest_ledger: U32
    oldest_ledger_close_time: Number
    ledger: U32 = 0
    created_at: Number = "0"
    fee_bump: bool = False
    envelope_xdr: Base64 | None = None
    result_xdr: Base64 | None = None
    result_meta_xdr: Base64 | None = None
    diagnostic_events_xdr: tuple[Base64, ...] | None = None
    events: _TransactionEvents | None = None

    @property
    def is_found(self) -> bool:
        """Return whether the transaction is in a ledger."""
        return self.status != "NOT_FOUND"


class _Percentiles(RpcModel):
    max: Number
    min: Number
    p10: Number
    p50: Number
    p70: Number
    p90: Number
    p99: Number


class FeeStats(RpcModel):
    """The answer of getFeeStats: inclusion fees in stroops that transactions of the last ledgers paid."""

    soroban_inclusion_fee: _Percentiles
    latest_ledger: U32


def check_transaction(answer: TransactionAnswer) -> TransactionAnswer:
    """Return the answer. Raises RpcInvalidAnswer for one that contradicts itself."""
    if answer.oldest_ledger > answer.latest_ledger:
        raise RpcInvalidAnswer("getTransaction: ledgers out of order")
    if answer.is_found and not 0 < answer.ledger <= answer.latest_ledger:
        raise RpcInvalidAnswer("getTransaction: a ledger that the node does not have")
    return answer
