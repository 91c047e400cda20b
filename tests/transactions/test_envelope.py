"""What is refused before anything is sent, each by its name."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from stellar_sdk import (
    Asset,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    InvokeHostFunction,
    LedgerBounds,
    MuxedAccount,
    Payment,
    TextMemo,
    TransactionEnvelope,
    scval,
    xdr,
)

from ajo.transactions.envelope import EnvelopeRefused, check_envelope, check_time, read_envelope
from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL, joining, sandbox
from tests.support.submitting import followed, post, refusal

__all__ = ["followed", "sandbox"]

Change = Callable[[Any], None]
MUXED = MuxedAccount(BOB.public_key, 7)


def call(envelope: TransactionEnvelope) -> Any:
    return envelope.transaction.operations[0]


def invoked(envelope: TransactionEnvelope) -> Any:
    return call(envelope).host_function.invoke_contract


def conditions(envelope: TransactionEnvelope) -> Any:
    return envelope.transaction.preconditions


def with_memo(envelope: TransactionEnvelope) -> None:
    envelope.transaction.memo = TextMemo("for round 3")


def from_muxed(envelope: TransactionEnvelope) -> None:
    envelope.transaction.source = MUXED


def called_by_muxed(envelope: TransactionEnvelope) -> None:
    call(envelope).source = MUXED


def twice(envelope: TransactionEnvelope) -> None:
    envelope.transaction.operations *= 2


def nothing(envelope: TransactionEnvelope) -> None:
    envelope.transaction.operations = []


def a_payment(envelope: TransactionEnvelope) -> None:
    envelope.transaction.operations = [Payment(ALICE.public_key, Asset.native(), "1")]


def an_upload(envelope: TransactionEnvelope) -> None:
    function = xdr.HostFunction(xdr.HostFunctionType.HOST_FUNCTION_TYPE_UPLOAD_CONTRACT_WASM, wasm=b"\0asm")
    envelope.transaction.operations = [InvokeHostFunction(function, [])]


def another_contract(envelope: TransactionEnvelope) -> None:
    invoked(envelope).contract_address.contract_id.contract_id.hash = b"\1" * 32


def a_view(envelope: TransactionEnvelope) -> None:
    invoked(envelope).function_name.sc_symbol = b"get_group"


def unknown_function(envelope: TransactionEnvelope) -> None:
    invoked(envelope).function_name.sc_symbol = b"drain"


def wrong_arguments(envelope: TransactionEnvelope) -> None:
    invoked(envelope).args = [scval.to_uint64(1)]


def another_root(envelope: TransactionEnvelope) -> None:
    entry = call(envelope).auth[0]
    entry.root_invocation.function.contract_fn.args = [*invoked(envelope).args[:1], scval.to_uint64(2)]


def without_resources(envelope: TransactionEnvelope) -> None:
    envelope.transaction.soroban_data = None


def without_bounds(envelope: TransactionEnvelope) -> None:
    envelope.transaction.preconditions = None


def without_end(envelope: TransactionEnvelope) -> None:
    conditions(envelope).time_bounds.max_time = 0


def with_min_time(envelope: TransactionEnvelope) -> None:
    conditions(envelope).time_bounds.min_time = 1


def with_ledger_bounds(envelope: TransactionEnvelope) -> None:
    conditions(envelope).ledger_bounds = LedgerBounds(0, 2**31)


def with_min_sequence(envelope: TransactionEnvelope) -> None:
    conditions(envelope).min_sequence_number = 0


def in_a_year(envelope: TransactionEnvelope) -> None:
    conditions(envelope).time_bounds.max_time += 365 * 86_400


def at_the_end_of_time(envelope: TransactionEnvelope) -> None:
    conditions(envelope).time_bounds.max_time = 2**64 - 1


def no_bid(envelope: TransactionEnvelope) -> None:
    envelope.transaction.fee -= 1


def a_great_bid(envelope: TransactionEnvelope) -> None:
    envelope.transaction.fee += 1_000_001


def set_resource_fee(envelope: TransactionEnvelope, fee: int) -> None:
    data = envelope.transaction.soroban_data
    assert data is not None
    envelope.transaction.fee = max(100, 100 + fee)
    data.resource_fee.int64 = fee


def a_great_resource_fee(envelope: TransactionEnvelope) -> None:
    set_resource_fee(envelope, 50_000_001)


def negative_resource_fee(envelope: TransactionEnvelope) -> None:
    set_resource_fee(envelope, -1)


@dataclass
class Prepared:
    """An unsigned transaction, and the close time of the ledger that it was simulated at."""

    xdr: str
    passphrase: str
    contract: str
    close: int


REFUSED: list[tuple[str, Change]] = [
    ("memo", with_memo),
    ("muxed_source", from_muxed),
    ("muxed_source", called_by_muxed),
    ("not_ours", twice),
    ("not_ours", nothing),
    ("not_ours", a_payment),
    ("not_ours", an_upload),
    ("not_ours", another_contract),
    ("not_ours", a_view),
    ("not_ours", unknown_function),
    ("not_ours", wrong_arguments),
    ("foreign_authorization", another_root),
    ("no_resources", without_resources),
    ("no_time_bounds", without_bounds),
    ("no_time_bounds", without_end),
    ("min_time", with_min_time),
    ("preconditions", with_ledger_bounds),
    ("preconditions", with_min_sequence),
    ("time_too_far", in_a_year),
    ("time_too_far", at_the_end_of_time),
    ("fee_too_low", no_bid),
    ("fee_too_high", a_great_bid),
    ("fee_too_high", a_great_resource_fee),
    ("fee_too_low", negative_resource_fee),
]


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    """A join of Bob's, simulated."""
    with Sandbox(base_reserve=BASE_RESERVE) as sandbox:
        chain = sandbox.chain
        for each in (ALICE, BOB):
            chain.fund(each.public_key)
        chain.call(ALICE.public_key, "create_group", ALICE.public_key, chain.token, AMOUNT, 3600, 3, 0, 0, 0)
        chain.close_ledger()
        envelope = joining(sandbox, BOB, sign=[])
        yield Prepared(envelope.to_xdr(), chain.passphrase, sandbox.contract, chain.range().last_close)


@pytest.mark.parametrize(("name", "change"), REFUSED, ids=[change.__name__ for _, change in REFUSED])
def test_what_could_never_apply_or_is_not_followed_is_refused_by_name(
    prepared: Prepared, settings: Settings, name: str, change: Change
) -> None:
    """Guards WRITING 8, 17, 29, 35 and 38, and keeps this from being an open relay: the signatures are right."""
    settings.STELLAR_NETWORK_PASSPHRASE, settings.AJO_CONTRACT_ID = prepared.passphrase, prepared.contract
    envelope = TransactionEnvelope.from_xdr(prepared.xdr, prepared.passphrase)
    assert check(envelope, prepared.close) == "taken"
    change(envelope)
    assert check(envelope, prepared.close) == name


def check(envelope: TransactionEnvelope, close: int) -> str:
    """Sign and check an envelope; return "taken" or the name of the refusal."""
    envelope.signatures = []
    envelope.sign(BOB)
    try:
        submission = check_envelope(read_envelope(envelope.to_xdr()))
        check_time(submission.max_time, close, close)
    except EnvelopeRefused as refused:
        return refused.fault.value
    return "taken"


def test_a_muxed_source_is_told_its_account(client: Client, followed: Sandbox) -> None:
    response = post(client, joining(followed, BOB, change=from_muxed))
    assert BOB.public_key in response.json()["errors"]["xdr"][0]


def test_the_cap_of_the_time_is_named(client: Client, followed: Sandbox) -> None:
    response = post(client, joining(followed, BOB, change=in_a_year))
    assert "3660 seconds" in response.json()["errors"]["xdr"][0]


def test_a_fee_bump_is_refused_and_its_inner_transaction_taken(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 36."""
    inner = joining(followed, BOB)
    bump = FeeBumpTransactionEnvelope(
        FeeBumpTransaction(CAROL, 2 * inner.transaction.fee, inner), followed.chain.passphrase
    )
    bump.sign(CAROL)
    assert refusal(client, bump.to_xdr()) == "fee_bump"
    assert post(client, inner).status_code == 202


def test_version_0_is_refused(client: Client, followed: Sandbox) -> None:
    envelope = joining(followed, BOB)
    envelope.transaction.v1 = False
    assert refusal(client, envelope.to_xdr()) == "v0"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "no base64",
        lambda text: text[:-8],
        lambda text: base64.b64encode(base64.b64decode(text) + b"\0\0\0\0").decode(),
        lambda text: "AAAA",
        lambda text: text + "\u0660",
        lambda text: "////" * 100,
    ],
)
def test_what_is_no_envelope_is_refused(prepared: Prepared, spoil: Callable[[str], str]) -> None:
    with pytest.raises(EnvelopeRefused, match="bad_xdr"):
        read_envelope(spoil(prepared.xdr))


def test_padding_that_is_not_zero_is_no_second_form_of_a_transaction(prepared: Prepared) -> None:
    """XDR pads texts with zeros: other bytes there would give one transaction two hashes."""
    raw = base64.b64decode(prepared.xdr)
    at = raw.index(b"join_group") + len(b"join_group")
    assert raw[at : at + 2] == b"\0\0"
    spoilt = raw[:at] + b"\0\1" + raw[at + 2 :]
    with pytest.raises(EnvelopeRefused, match="bad_xdr"):
        read_envelope(base64.b64encode(spoilt).decode())


def test_a_larger_envelope_than_the_network_takes_is_refused() -> None:
    with pytest.raises(EnvelopeRefused, match="too_large"):
        read_envelope(base64.b64encode(b"\0" * 132_097).decode())


def test_the_limits_of_fees_are_the_settings(client: Client, followed: Sandbox, settings: Settings) -> None:
    settings.MAX_INCLUSION_FEE = 100
    assert refusal(client, joining(followed, BOB, fee=101)) == "fee_too_high"
    assert post(client, joining(followed, BOB, fee=100)).status_code == 202
