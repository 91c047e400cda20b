"""The sandbox's core node: what it takes, what it says of the rest, and what the ledger makes of what it took."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from stellar_sdk import (
    Account,
    Address,
    FeeBumpTransaction,
    Keypair,
    LedgerBounds,
    MuxedAccount,
    SignedPayloadSigner,
    SignerKey,
    SorobanServer,
    TextMemo,
    TransactionBuilder,
    TransactionEnvelope,
    scval,
    xdr,
)

from ajo.soroban.binding.keys import GroupKey
from ajo.soroban.sandbox.chain import Chain
from ajo.soroban.sandbox.ledger.accounts import decode_account
from ajo.soroban.sandbox.ledger.keys import account_key
from ajo.soroban.sandbox.network import BASE_RESERVE
from ajo.soroban.sandbox.sandbox import Sandbox
from tests.soroban.closing import order

ALICE, BOB, CAROL, OTHER = (Keypair.from_raw_ed25519_seed(bytes([n]) * 32) for n in (21, 22, 23, 24))
AMOUNT = 50_000_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Two groups of Alice's with room for two more each; ledgers close when told to."""
    with Sandbox(base_reserve=BASE_RESERVE) as running:
        chain = running.chain
        for each in (ALICE, BOB, CAROL):
            chain.fund(each.public_key)
        for _ in range(2):
            chain.call(ALICE.public_key, "create_group", ALICE.public_key, chain.token, AMOUNT, 3600, 3, 0, 0, 0)
        chain.close_ledger()
        yield running


def ask(sandbox: Sandbox, method: str, path: str = "", **params: Any) -> dict[str, Any]:
    request: Any = {"jsonrpc": "2.0", "id": 1, "method": method} | ({"params": params} if params else {})
    found: dict[str, Any] = requests.post(sandbox.url + path, json=request, timeout=30).json()
    return found


def sequence(sandbox: Sandbox, key: Keypair) -> int:
    held = sandbox.chain.closed(account_key(key.public_key))
    assert held is not None
    return int(decode_account(held.data).seq_num.sequence_number.int64)


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


def test_a_transaction_is_pending_then_applied_and_banned_for_ten_ledgers(sandbox: Sandbox) -> None:
    joined = joining(sandbox, BOB)
    assert send(sandbox, joined)["status"] == "PENDING"
    assert send(sandbox, joined)["status"] == "DUPLICATE"
    assert looked_up(sandbox, joined)["status"] == "NOT_FOUND"
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, joined)["status"] == "SUCCESS"
    assert sandbox.chain.view("list_members", 1) == (ALICE.public_key, BOB.public_key)
    for _ in range(10):
        assert send(sandbox, joined)["status"] == "TRY_AGAIN_LATER"
        sandbox.chain.close_ledger()
    assert code(send(sandbox, joined)) == "txBAD_SEQ"


def test_one_transaction_of_a_source_waits_at_a_time(sandbox: Sandbox) -> None:
    first, second = joining(sandbox, BOB), joining(sandbox, BOB, ahead=1)
    assert send(sandbox, first)["status"] == "PENDING"
    assert send(sandbox, second)["status"] == "TRY_AGAIN_LATER"
    older = joining(sandbox, BOB, ahead=-1)
    assert code(send(sandbox, older)) == "txBAD_SEQ"
    sandbox.chain.close_ledger()
    assert send(sandbox, second)["status"] == "PENDING"


def test_what_bids_too_little_ages_out_after_four_ledgers_and_comes_back_after_ten_more(sandbox: Sandbox) -> None:
    order(sandbox, "surge", fee=1000)
    poor, rich = joining(sandbox, BOB, until=0), joining(sandbox, CAROL, fee=2000, group=2)
    assert [send(sandbox, each)["status"] for each in (poor, rich)] == ["PENDING", "PENDING"]
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, rich)["status"] == "SUCCESS"
    for _ in range(3):
        assert send(sandbox, poor)["status"] == "DUPLICATE"
        sandbox.chain.close_ledger()
    for _ in range(10):
        assert send(sandbox, poor)["status"] == "TRY_AGAIN_LATER"
        sandbox.chain.close_ledger()
    order(sandbox, "surge", fee=100)
    assert send(sandbox, poor)["status"] == "PENDING"
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, poor)["status"] == "SUCCESS"


def bumped(sandbox: Sandbox, inner: TransactionEnvelope, fee: int) -> Any:
    found = TransactionBuilder.build_fee_bump_transaction(CAROL, fee, inner, sandbox.chain.passphrase)
    assert isinstance(found.transaction, FeeBumpTransaction)
    found.sign(CAROL)
    return found


def test_a_fee_bump_takes_the_place_of_what_it_wraps_when_it_bids_ten_times_as_much(sandbox: Sandbox) -> None:
    inner = joining(sandbox, BOB)
    assert send(sandbox, inner)["status"] == "PENDING"
    weak = send(sandbox, bumped(sandbox, inner, 400))
    assert code(weak) == "txINSUFFICIENT_FEE"
    needed = xdr.TransactionResult.from_xdr(weak["errorResultXdr"]).fee_charged.int64
    strong = bumped(sandbox, inner, 2000)
    assert strong.transaction.fee >= needed
    assert send(sandbox, strong)["status"] == "PENDING"
    assert send(sandbox, inner)["status"] == "DUPLICATE"
    before = sandbox.chain.balance(CAROL.public_key)
    sandbox.chain.close_ledger()
    for each in (inner, strong):
        found = looked_up(sandbox, each)
        assert (found["status"], found["feeBump"]) == ("SUCCESS", True)
    assert sandbox.chain.balance(CAROL.public_key) < before


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


def test_two_that_were_simulated_at_one_ledger_apply_in_their_order(sandbox: Sandbox) -> None:
    """The second join needs more bytes than its simulation saw: write bytes have no margin (WRITING.md §3, 22)."""
    first, second = joining(sandbox, BOB), joining(sandbox, CAROL)
    for each in (first, second):
        assert send(sandbox, each)["status"] == "PENDING"
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, first)["status"] == "SUCCESS"
    failed = looked_up(sandbox, second)
    assert (failed["status"], host_code(failed)) == ("FAILED", "RESOURCE_LIMIT_EXCEEDED")
    assert sequence(sandbox, CAROL) & 0xFFFFFFFF == 1


def test_a_group_whose_number_another_took_fails_outside_its_footprint(sandbox: Sandbox) -> None:
    def founding(creator: Keypair) -> TransactionEnvelope:
        builder = TransactionBuilder(Account(creator.public_key, sequence(sandbox, creator)), sandbox.chain.passphrase)
        who, token = Address(creator.public_key), Address(sandbox.chain.token)
        terms = [scval.to_int128(5), scval.to_uint64(60), scval.to_uint32(3), scval.to_uint64(0)]
        rest = [scval.to_uint32(0), scval.to_uint32(0)]
        arguments = [scval.to_address(who), scval.to_address(token), *terms, *rest]
        builder.append_invoke_contract_function_op(sandbox.contract, "create_group", arguments)
        envelope = SorobanServer(sandbox.url).prepare_transaction(builder.add_time_bounds(0, 0).build())
        envelope.sign(creator)
        return envelope

    first, second = founding(BOB), founding(CAROL)
    for each in (first, second):
        assert send(sandbox, each)["status"] == "PENDING"
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, first)["status"] == "SUCCESS"
    failed = looked_up(sandbox, second)
    assert (failed["status"], host_code(failed)) == ("FAILED", "TRAPPED")
    assert b"outside of the footprint" in b"".join(
        xdr.DiagnosticEvent.from_xdr(each).to_xdr_bytes() for each in failed["diagnosticEventsXdr"]
    )


def test_an_entry_that_was_archived_after_the_simulation_fails_and_a_new_simulation_restores_it(
    sandbox: Sandbox,
) -> None:
    prepared = joining(sandbox, BOB)
    order(sandbox, "archive", keys=[GroupKey(1).to_xdr(sandbox.contract)])
    order(sandbox, "close")
    assert send(sandbox, prepared)["status"] == "PENDING"
    sandbox.chain.close_ledger()
    assert host_code(looked_up(sandbox, prepared)) == "ENTRY_ARCHIVED"
    again = joining(sandbox, BOB)
    assert send(sandbox, again)["status"] == "PENDING"
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, again)["status"] == "SUCCESS"


def test_the_fee_is_charged_and_what_was_not_used_comes_back(sandbox: Sandbox) -> None:
    before = sandbox.chain.balance(BOB.public_key)
    joined = joining(sandbox, BOB)
    send(sandbox, joined)
    sandbox.chain.close_ledger()
    charged = xdr.TransactionResult.from_xdr(looked_up(sandbox, joined)["resultXdr"]).fee_charged.int64
    assert before - sandbox.chain.balance(BOB.public_key) == charged
    assert 0 < charged < joined.transaction.fee
    events = ask(sandbox, "getEvents", startLedger=2, filters=[])["result"]["events"]
    fees = [each for each in events if each["txHash"] == joined.hash_hex() and each["transactionIndex"] in (0, 1048575)]
    paid, back = (scval.from_int128(each["value"]) for each in fees)
    assert paid + back == charged


def test_a_chain_without_a_reserve_lets_accounts_spend_all() -> None:
    chain = Chain()
    chain.fund(ALICE.public_key, 100)
    chain.call(ALICE.public_key, "create_group", ALICE.public_key, chain.token, 100, 60, 2, 0, 0, 0)
    assert chain.call(ALICE.public_key, "contribute", ALICE.public_key, 1).error is None
    assert chain.balance(ALICE.public_key) == 0
