"""Entries that are not the source's own: what the ledger takes as authorized, and what it does not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stellar_sdk import Account, InvokeHostFunction, Keypair, SorobanServer, TransactionBuilder, scval, xdr
from stellar_sdk.auth import authorize_entry

from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox
from tests.support.closing import order
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL, host_code, looked_up, send, sequence

Entry = xdr.SorobanAuthorizationEntry


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A group of Alice's that Bob has joined; it is his to pay in."""
    with Sandbox(base_reserve=BASE_RESERVE) as running:
        chain = running.chain
        for each in (ALICE, BOB, CAROL):
            chain.fund(each.public_key)
        chain.call(ALICE.public_key, "create_group", ALICE.public_key, chain.token, AMOUNT, 3600, 3, 0, 0, 0)
        chain.call(BOB.public_key, "join_group", BOB.public_key, 1)
        chain.close_ledger()
        yield running


def recorded(sandbox: Sandbox, *, upgraded: bool = False) -> tuple[Any, Entry]:
    """Bob's contribution with Carol as the source: prepared, and the entry that Bob is to sign."""
    builder = TransactionBuilder(Account(CAROL.public_key, sequence(sandbox, CAROL)), sandbox.chain.passphrase)
    arguments = [scval.to_address(BOB.public_key), scval.to_uint64(1)]
    builder.append_invoke_contract_function_op(sandbox.contract, "contribute", arguments).add_time_bounds(0, 0)
    server = SorobanServer(sandbox.url)
    prepared = server.prepare_transaction(builder.build(), use_upgraded_auth=upgraded)
    operation = prepared.transaction.operations[0]
    assert isinstance(operation, InvokeHostFunction)
    (entry,) = operation.auth
    return prepared, entry


def applied(sandbox: Sandbox, prepared: Any, entry: Entry) -> dict[str, Any]:
    """What the ledger made of it; nobody asked a simulation whether the signature is good."""
    operation = prepared.transaction.operations[0]
    operation.auth = [entry]
    data = prepared.transaction.soroban_data
    data.resources.instructions = xdr.Uint32(data.resources.instructions.uint32 + 5_000_000)
    data.resource_fee = xdr.Int64(data.resource_fee.int64 + 1_000_000)
    prepared.transaction.fee += 1_000_000
    prepared.sign(CAROL)
    assert send(sandbox, prepared)["status"] == "PENDING"
    sandbox.chain.close_ledger()
    return looked_up(sandbox, prepared)


def signed(sandbox: Sandbox, entry: Entry, key: Keypair = BOB, until: int = 100, network: str = "") -> Entry:
    return authorize_entry(entry, key, sandbox.chain.latest + until, network or sandbox.chain.passphrase)


@pytest.mark.parametrize("upgraded", [False, True])
def test_an_entry_of_either_kind_authorizes_once(sandbox: Sandbox, upgraded: bool) -> None:
    prepared, entry = recorded(sandbox, upgraded=upgraded)
    kind = entry.credentials.type.name
    assert kind == f"SOROBAN_CREDENTIALS_ADDRESS{'_V2' if upgraded else ''}"
    entry = signed(sandbox, entry)
    assert applied(sandbox, prepared, entry)["status"] == "SUCCESS"
    chain = sandbox.chain
    chain.call(ALICE.public_key, "contribute", ALICE.public_key, 1)
    chain.advance(3600)
    chain.close_ledger()
    chain.call(ALICE.public_key, "execute_payout", 1)
    chain.close_ledger()
    again, other = recorded(sandbox, upgraded=upgraded)
    assert other.to_xdr() != entry.to_xdr()
    _use_nonce_of(again, entry)
    found = applied(sandbox, again, entry)
    assert (found["status"], host_code(found)) == ("FAILED", "TRAPPED")
    assert b"nonce already exists" in told(found)


def _use_nonce_of(prepared: Any, entry: Entry) -> None:
    """Put the entry's nonce where the transaction's own was in the footprint."""
    credentials = entry.credentials.address or entry.credentials.address_v2
    assert credentials is not None
    for key in prepared.transaction.soroban_data.resources.footprint.read_write:
        data = key.contract_data
        if data is not None and data.key.nonce_key is not None:
            data.key.nonce_key.nonce = credentials.nonce


def told(found: dict[str, Any]) -> bytes:
    return b"".join(xdr.DiagnosticEvent.from_xdr(each).to_xdr_bytes() for each in found["diagnosticEventsXdr"])


def another_group(entry: Entry) -> Entry:
    arguments = entry.root_invocation.function.contract_fn
    assert arguments is not None
    arguments.args[1] = scval.to_uint64(2)
    return entry


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (lambda sandbox, entry: entry, b""),
        (lambda sandbox, entry: signed(sandbox, entry, CAROL), b""),
        (lambda sandbox, entry: signed(sandbox, entry, until=0), b"signature has expired"),
        (lambda sandbox, entry: signed(sandbox, entry, until=10**7), b"signature expiration is too late"),
        (lambda sandbox, entry: signed(sandbox, entry, network="another network"), b"failed ED25519 verification"),
        (lambda sandbox, entry: another_group(signed(sandbox, entry)), b""),
    ],
    ids=["unsigned", "another", "expired", "too late", "network", "call"],
)
def test_what_does_not_authorize(sandbox: Sandbox, sign: Callable[[Sandbox, Entry], Entry], words: bytes) -> None:
    prepared, entry = recorded(sandbox)
    found = applied(sandbox, prepared, sign(sandbox, entry))
    assert (found["status"], host_code(found)) == ("FAILED", "TRAPPED")
    assert words in told(found)
    assert sandbox.chain.view("get_contribution_status", 1, 1)[1] == (BOB.public_key, False)


@pytest.mark.parametrize(("keys", "expected"), [((BOB,), "FAILED"), ((BOB, ALICE), "SUCCESS"), ((ALICE,), "FAILED")])
def test_an_account_of_two_signers_authorizes_with_both(
    sandbox: Sandbox, keys: tuple[Keypair, ...], expected: str
) -> None:
    order(sandbox, "signers", account=BOB.public_key, thresholds=[1, 1, 2, 2], signers={ALICE.public_key: 1})
    order(sandbox, "close")
    prepared, entry = recorded(sandbox)
    entries = [signed(sandbox, Entry.from_xdr(entry.to_xdr()), key) for key in keys]
    whole = entries[0]
    signatures = [_signatures(each)[0] for each in entries]
    signatures.sort(key=lambda each: each.map.sc_map[0].val.bytes.sc_bytes)
    _signatures(whole)[:] = signatures
    assert applied(sandbox, prepared, whole)["status"] == expected


def _signatures(entry: Entry) -> list[Any]:
    credentials = entry.credentials.address
    assert credentials is not None
    assert credentials.signature.vec is not None
    return credentials.signature.vec.sc_vec
