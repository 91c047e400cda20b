"""One simulation of a call at one node, checked: fresh enough, allowed, with nothing in it but the call's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from django.conf import settings
from stellar_sdk import Preconditions, TimeBounds, Transaction, TransactionEnvelope
from stellar_sdk.xdr import LedgerEntry, SorobanAuthorizationEntry, SorobanTransactionData

from ajo.cache import Unavailable
from ajo.soroban.contract import XDR_FAULTS
from ajo.soroban.contract.contract_errors import ContractError
from ajo.soroban.contract.diagnostics import read_error_line
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging, RpcInvalidAnswer, RpcUnavailable
from ajo.soroban.rpc.pool import nodes
from ajo.soroban.rpc.transactions import HostRefusal, Simulation
from ajo.transactions.accounts import AccountState, account_key
from ajo.transactions.asking import chain_slot
from ajo.transactions.calls import Call
from ajo.transactions.conflicts import Conflict
from ajo.transactions.refusals import explain
from ajo.transactions.state import State, read_state
from ajo.transactions.warnings import opens_at, say

DEADLINE: Final = 6.0  # seconds for all nodes together: a client waits, and a web thread with it
_TOO_EARLY: Final = (
    ContractError.OutsideCycleWindow,
    ContractError.CycleNotExpired,
    ContractError.VotingPeriodActive,
)
T = TypeVar("T")


def ask_chain(read: Callable[[SorobanClient], T], address: str = "") -> T:
    """Return `read` of the first node that answers it in time. Raises Unavailable where none does; what `read` does."""
    with chain_slot(address):
        try:
            return nodes().run(read, time.monotonic() + DEADLINE)
        except ChainError as failure:
            raise Unavailable(f"No node can simulate this now: {type(failure).__name__}.") from failure


def unsigned_envelope(
    call: Call,
    source: str,
    sequence: int,
    max_time: int,
    *,
    inclusion_fee: int = 100,
    auth: Sequence[SorobanAuthorizationEntry] = (),
    data: SorobanTransactionData | None = None,
) -> TransactionEnvelope:
    """Return the envelope of one call, which ledgers can carry that close until `max_time` (unix seconds)."""
    transaction = Transaction(
        source=source,
        sequence=sequence,
        fee=inclusion_fee + (data.resource_fee.int64 if data else 0),
        operations=[call.operation(list(auth))],
        preconditions=Preconditions(time_bounds=TimeBounds(0, max_time)),
        soroban_data=data,
    )
    return TransactionEnvelope(transaction, settings.STELLAR_NETWORK_PASSPHRASE)


def ask_both(
    client: SorobanClient,
    call: Call,
    source: str,
    meanwhile: Callable[[State], T],
    *,
    auth: Sequence[SorobanAuthorizationEntry] = (),
    use_upgraded_auth: bool = False,
) -> tuple[State, T, Simulation | HostRefusal]:
    """Read the state and simulate the call at the same time: recorded without entries in `auth`, enforced with them.

    A simulation looks at neither sequence number nor time bounds (docs/chain.md), so it need not wait for the account.
    Returns what `meanwhile` makes of the state as well; it runs while the node simulates, and may raise what it likes.
    Raises Conflict for a source that is no account, NodeLagging for an answer of an older state, further ChainErrors.
    """
    plain = unsigned_envelope(call, source, 1, 0, auth=auth).to_xdr()
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(client.simulate, plain, use_upgraded_auth=use_upgraded_auth)
        state = read_state(client, source, call)
        made = meanwhile(state)
    answer = asked.result()
    if answer.ledger < max(state.at_least, state.ledger - 1):  # a ledger may close in between
        raise NodeLagging(f"a simulation of ledger {answer.ledger}, while the account was read at {state.ledger}")
    return state, made, answer


def allowed(answer: Simulation | HostRefusal, call: Call, state: State) -> Simulation:
    """Return the simulation of an allowed call. Raises Conflict for a refusal, ChainError for a node's fault."""
    if isinstance(answer, HostRefusal):
        raise _refusal(answer, call, state)
    return answer


def recorded_entries(simulation: Simulation) -> list[SorobanAuthorizationEntry]:
    """Return the entries that a simulation recorded. Raises RpcInvalidAnswer for what is none."""
    try:
        return [SorobanAuthorizationEntry.from_xdr(each) for each in simulation.auth]
    except XDR_FAULTS as error:
        raise RpcInvalidAnswer("simulateTransaction: an authorization that cannot be decoded") from error


def balance_after(simulation: Simulation, account: AccountState) -> int:
    """Return the stroops that an account holds after the call, its fee left aside. Raises RpcInvalidAnswer."""
    key = account_key(account.address)
    after = next((change["after"] for change in simulation.changes if change["key"] == key), None)
    if after is None:
        return account.balance
    try:
        entry = LedgerEntry.from_xdr(after).data.account
    except XDR_FAULTS as error:
        raise RpcInvalidAnswer("simulateTransaction: a change that cannot be decoded") from error
    return account.balance if entry is None else int(entry.balance.int64)


def _refusal(answer: HostRefusal, call: Call, state: State) -> Exception:
    """Return the exception for a refusal: the contract's, the token's, the host's; or the node's fault."""
    failure = read_error_line(answer.error, answer.events)
    if failure is None:
        return RpcInvalidAnswer("simulateTransaction: an error that cannot be read")
    if (failure.kind, failure.code, failure.contract) == ("Storage", "MissingValue", None):
        return RpcUnavailable("simulateTransaction: the node's chain does not have the contract")
    refused = explain(failure).conflict()
    opens = opens_at(call, state)
    if failure.contract == settings.AJO_CONTRACT_ID and failure.number in _TOO_EARLY and opens is not None:
        left = max(1, opens - state.closed_at)
        return Conflict(refused.code, f"{refused} It is possible from {say(opens)} on, in {left} s.", **refused.extra)
    return refused
