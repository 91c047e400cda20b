"""Transactions for the sandbox, simulated, signed and sent; a sandbox with two groups to send them to."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from stellar_sdk import (
    Account,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    SorobanServer,
    TransactionBuilder,
    TransactionEnvelope,
    scval,
    xdr,
)

from devtools.sandbox.ledger.accounts import decode_account
from devtools.sandbox.ledger.keys import account_key
from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox

ALICE, BOB, CAROL, OTHER = (Keypair.from_raw_ed25519_seed(bytes([n]) * 32) for n in (21, 22, 23, 24))
AMOUNT = 50_000_000


@contextmanager
def with_groups() -> Iterator[Sandbox]:
    """Two groups of Alice's with room for two more each; ledgers close when told to."""
    with Sandbox(base_reserve=BASE_RESERVE) as running:
        chain = running.chain
        for each in (ALICE, BOB, CAROL):
            chain.fund(each.public_key)
        for _ in range(2):
            chain.call(ALICE.public_key, "create_group", ALICE.public_key, chain.token, AMOUNT, 3600, 3, 0, 0, 0)
        chain.close_ledger()
        yield running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with groups, of the test's own."""
    with with_groups() as running:
        yield running


def ask(sandbox: Sandbox, method: str, path: str = "", **params: Any) -> dict[str, Any]:
    request: Any = {"jsonrpc": "2.0", "id": 1, "method": method} | ({"params": params} if params else {})
    found: dict[str, Any] = requests.post(sandbox.url + path, json=request, timeout=30).json()
    return found


def sequence(sandbox: Sandbox, key: Keypair) -> int:
    held = sandbox.chain.closed(account_key(key.public_key))
    assert held is not None
    return int(decode_account(held.data).seq_num.sequence_number.int64)


def account_entry(sandbox: Sandbox, key: Keypair) -> str:
    """The account's LedgerEntryData in base64, as the newest closed ledger has it."""
    held = sandbox.chain.closed(account_key(key.public_key))
    assert held is not None
    return base64.b64encode(held.data).decode()


def joining(
    sandbox: Sandbox,
    member: Keypair,
    *,
    source: Keypair | None = None,
    ahead: int = 0,
    fee: int = 100,
    until: int | None = None,
    group: int = 1,
    change: Any = None,
    sign: list[Keypair] | None = None,
) -> TransactionEnvelope:
    """A signed join of a group, simulated; `change` may spoil it before it is signed."""
    paying = source or member
    account = Account(paying.public_key, sequence(sandbox, paying) + ahead)
    builder = TransactionBuilder(account, sandbox.chain.passphrase, base_fee=fee)
    arguments = [scval.to_address(member.public_key), scval.to_uint64(group)]
    builder.append_invoke_contract_function_op(sandbox.contract, "join_group", arguments)
    builder.add_time_bounds(0, sandbox.chain.range().last_close + 300 if until is None else until)
    envelope = SorobanServer(sandbox.url).prepare_transaction(builder.build())
    if change is not None:
        change(envelope)
    for key in [paying] if sign is None else sign:
        envelope.sign(key)
    return envelope


def bumped(sandbox: Sandbox, inner: TransactionEnvelope) -> FeeBumpTransactionEnvelope:
    """Have Carol pay for somebody's transaction: return the fee bump, which a ledger has carried."""
    bump = FeeBumpTransactionEnvelope(
        FeeBumpTransaction(CAROL, 2 * inner.transaction.fee, inner), sandbox.chain.passphrase
    )
    bump.sign(CAROL)
    ask(sandbox, "sendTransaction", transaction=bump.to_xdr())
    sandbox.chain.close_ledger()
    return bump


def send(sandbox: Sandbox, envelope: TransactionEnvelope | Any, path: str = "") -> dict[str, Any]:
    found = ask(sandbox, "sendTransaction", path, transaction=envelope.to_xdr())
    result: dict[str, Any] = found.get("result") or {"error": found["error"]["message"]}
    return result


def code(answer: dict[str, Any]) -> str:
    """The result's code of a transaction that was refused."""
    return str(xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).result.code.name)


def looked_up(sandbox: Sandbox, envelope: TransactionEnvelope | Any, path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = ask(sandbox, "getTransaction", path, hash=envelope.hash_hex())["result"]
    return found


def host_code(found: dict[str, Any]) -> str:
    result = xdr.TransactionResult.from_xdr(found["resultXdr"]).result
    assert result.results is not None
    tr = result.results[0].tr
    assert tr is not None
    assert tr.invoke_host_function_result is not None
    return str(tr.invoke_host_function_result.code.name.removeprefix("INVOKE_HOST_FUNCTION_"))
