"""What the sandbox's core node refuses, and with which words."""

import hashlib
from typing import Any

import pytest
from stellar_sdk import (
    Account,
    Keypair,
    LedgerBounds,
    MuxedAccount,
    SignedPayloadSigner,
    SignerKey,
    TextMemo,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)

from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox
from tests.support.closing import order
from tests.support.sending import (
    BOB,
    CAROL,
    OTHER,
    code,
    joining,
    sandbox,
    send,
)

__all__ = ["sandbox"]  # the fixture


def spoil(**fields: Any) -> Any:
    def change(envelope: TransactionEnvelope) -> None:
        for name, value in fields.items():
            setattr(envelope.transaction, name, value)

    return change


def resources(**fields: int) -> Any:
    def change(envelope: TransactionEnvelope) -> None:
        data = envelope.transaction.soroban_data
        assert data is not None
        for name, value in fields.items():
            if name == "resource_fee":
                data.resource_fee = xdr.Int64(value)
            else:
                setattr(data.resources, name, xdr.Uint32(value))

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (spoil(sequence=1), "txBAD_SEQ"),
        (spoil(fee=50), "txSOROBAN_INVALID"),
        (spoil(soroban_data=None), "txMALFORMED"),
        (resources(resource_fee=100), "txSOROBAN_INVALID"),
        (resources(instructions=500_000_000), "txSOROBAN_INVALID"),
        (spoil(memo=TextMemo("x")), "txSOROBAN_INVALID"),
        (spoil(source=MuxedAccount(BOB.public_key, 7)), "txSOROBAN_INVALID"),
    ],
)
def test_what_could_never_apply_is_refused_by_its_code(sandbox: Sandbox, change: Any, expected: str) -> None:
    assert code(send(sandbox, joining(sandbox, BOB, change=change))) == expected


def test_the_reason_of_an_invalid_one_is_in_its_diagnostic_events(sandbox: Sandbox) -> None:
    answer = send(sandbox, joining(sandbox, BOB, change=resources(resource_fee=100)))
    (event,) = answer["diagnosticEventsXdr"]
    assert b"resourceFee` is lower" in xdr.DiagnosticEvent.from_xdr(event).to_xdr_bytes()
    assert "diagnosticEventsXdr" not in send(sandbox, joining(sandbox, BOB, change=spoil(sequence=1)))


@pytest.mark.parametrize(("ahead", "expected"), [(9, "ERROR"), (10, "PENDING")])
def test_the_last_ten_seconds_before_its_end_are_too_late(sandbox: Sandbox, ahead: int, expected: str) -> None:
    until = sandbox.chain.range().last_close + ahead
    answer = send(sandbox, joining(sandbox, BOB, until=until))
    assert answer["status"] == expected
    if expected == "ERROR":
        assert code(answer) == "txTOO_LATE"


def test_signatures_are_counted_and_none_may_be_idle(sandbox: Sandbox) -> None:
    assert code(send(sandbox, joining(sandbox, BOB, sign=[]))) == "txBAD_AUTH"
    assert code(send(sandbox, joining(sandbox, BOB, sign=[CAROL]))) == "txBAD_AUTH"
    assert code(send(sandbox, joining(sandbox, BOB, sign=[BOB, CAROL]))) == "txBAD_AUTH_EXTRA"
    order(sandbox, "signers", account=BOB.public_key, thresholds=[1, 1, 2, 2], signers={CAROL.public_key: 1})
    order(sandbox, "close")
    weak = send(sandbox, joining(sandbox, BOB))
    assert code(weak) == "txFAILED"
    assert send(sandbox, joining(sandbox, BOB, sign=[BOB, CAROL]))["status"] == "PENDING"


def conditions(**fields: Any) -> Any:
    def change(envelope: TransactionEnvelope) -> None:
        found = envelope.transaction.preconditions
        assert found is not None
        for name, value in fields.items():
            setattr(found, name, value)

    return change


@pytest.mark.parametrize(
    ("fields", "ahead", "expected"),
    [
        ({"min_sequence_number": 0}, 5, "PENDING"),
        ({"min_sequence_number": 2**62}, 5, "txBAD_SEQ"),
        ({}, 5, "txBAD_SEQ"),
        ({"min_sequence_ledger_gap": 1000}, 0, "txBAD_MIN_SEQ_AGE_OR_GAP"),
        ({"min_sequence_age": 2**40}, 0, "txBAD_MIN_SEQ_AGE_OR_GAP"),
        ({"min_sequence_ledger_gap": 1, "min_sequence_age": 1}, 0, "PENDING"),
        ({"ledger_bounds": LedgerBounds(10**6, 0)}, 0, "txTOO_EARLY"),
        ({"ledger_bounds": LedgerBounds(0, 3)}, 0, "txTOO_LATE"),
        ({"extra_signers": [SignerKey.ed25519_public_key(CAROL.public_key)]}, 0, "txBAD_AUTH"),
    ],
)
def test_conditions_are_kept(sandbox: Sandbox, fields: dict[str, Any], ahead: int, expected: str) -> None:
    answer = send(sandbox, joining(sandbox, BOB, ahead=ahead, change=conditions(**fields)))
    assert (code(answer) if answer["status"] == "ERROR" else answer["status"]) == expected
    if answer["status"] == "PENDING":
        sandbox.chain.close_ledger()
        assert sandbox.chain.view("is_member", 1, BOB.public_key)


def test_what_another_signs_of_his_own_and_what_a_hash_hides_are_signatures(sandbox: Sandbox) -> None:
    own, secret = b"so be it", b"open sesame"
    signers = [SignerKey.ed25519_signed_payload(SignedPayloadSigner(CAROL.public_key, own))]
    signers.append(SignerKey.sha256_hash(hashlib.sha256(secret).digest()))
    joined = joining(sandbox, BOB, change=conditions(extra_signers=signers))
    joined.signatures.append(CAROL.sign_payload_decorated(own))
    assert code(send(sandbox, joined)) == "txBAD_AUTH"
    joined.sign_hashx(secret)
    assert send(sandbox, joined)["status"] == "PENDING"


def test_an_account_that_does_not_exist_or_has_only_its_reserve_cannot_pay(sandbox: Sandbox) -> None:
    joined = joining(sandbox, BOB)
    builder = TransactionBuilder(Account(OTHER.public_key, 0), sandbox.chain.passphrase)
    builder.append_operation(joined.transaction.operations[0]).add_time_bounds(0, 0)
    builder.soroban_data = joined.transaction.soroban_data
    unknown = builder.build()
    unknown.transaction.fee = joined.transaction.fee
    unknown.sign(OTHER)
    assert code(send(sandbox, unknown)) == "txNO_ACCOUNT"
    sandbox.chain.fund(OTHER.public_key, 2 * BASE_RESERVE + 1)
    sandbox.chain.close_ledger()
    assert code(send(sandbox, joining(sandbox, OTHER))) == "txINSUFFICIENT_BALANCE"


def wrapped(sandbox: Sandbox, payer: Keypair, bid: int, signers: list[Keypair], **inner: Any) -> Any:
    joined = joining(sandbox, BOB, **inner)
    found = TransactionBuilder.build_fee_bump_transaction(payer, bid, joined, sandbox.chain.passphrase)
    for key in signers:
        found.sign(key)
    return found


@pytest.mark.parametrize(
    ("payer", "sign", "fee", "expected"),
    [
        (CAROL, [], 200, "txBAD_AUTH"),
        (CAROL, [BOB], 200, "txBAD_AUTH"),
        (CAROL, [CAROL, BOB], 200, "txBAD_AUTH_EXTRA"),
        (OTHER, [OTHER], 200, "txNO_ACCOUNT"),
        (CAROL, [CAROL], 10**12, "txINSUFFICIENT_BALANCE"),
        (CAROL, [CAROL], 200, "PENDING"),
    ],
)
def test_a_wrapper_is_refused_for_itself(
    sandbox: Sandbox, payer: Keypair, sign: list[Keypair], fee: int, expected: str
) -> None:
    answer = send(sandbox, wrapped(sandbox, payer, fee, sign))
    assert (code(answer) if answer["status"] == "ERROR" else answer["status"]) == expected


def test_a_wrapper_shows_what_is_wrong_with_what_it_wraps(sandbox: Sandbox) -> None:
    answer = send(sandbox, wrapped(sandbox, CAROL, 200, [CAROL], sign=[OTHER]))
    result = xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).result
    assert result.code.name == "txFEE_BUMP_INNER_FAILED"
    assert result.inner_result_pair is not None
    assert result.inner_result_pair.result.result.code.name == "txBAD_AUTH"


def test_a_wrapper_must_not_bid_less_than_what_it_wraps(sandbox: Sandbox) -> None:
    joined = wrapped(sandbox, CAROL, 5000, [], fee=5000)
    joined.transaction.fee -= 1
    joined.sign(CAROL)
    answer = send(sandbox, joined)
    assert code(answer) == "txINSUFFICIENT_FEE"
    needed = xdr.TransactionResult.from_xdr(answer["errorResultXdr"]).fee_charged.int64
    assert needed == joined.transaction.fee + 1
