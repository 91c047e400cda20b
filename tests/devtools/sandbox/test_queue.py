"""The sandbox's core node: what it takes, what it says of the rest, and what the ledger makes of what it took."""

from typing import Any

from stellar_sdk import (
    Account,
    Address,
    FeeBumpTransaction,
    Keypair,
    SorobanServer,
    TransactionBuilder,
    TransactionEnvelope,
    scval,
    xdr,
)

from ajo.soroban.contract.keys import GroupKey
from devtools.sandbox.chain import Chain
from devtools.sandbox.sandbox import Sandbox
from tests.support.closing import order
from tests.support.sending import ALICE, BOB, CAROL, ask, code, host_code, joining, looked_up, sandbox, send, sequence

__all__ = ["sandbox"]  # the fixture


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


def test_a_full_queue_takes_who_bids_more_and_bans_who_has_to_go(sandbox: Sandbox) -> None:
    order(sandbox, "queue", capacity=1)
    first, same, more = joining(sandbox, BOB), joining(sandbox, CAROL), joining(sandbox, CAROL, fee=200)
    assert send(sandbox, first)["status"] == "PENDING"
    refused = send(sandbox, same)
    assert code(refused) == "txINSUFFICIENT_FEE"
    needed = xdr.TransactionResult.from_xdr(refused["errorResultXdr"]).fee_charged.int64
    assert needed == same.transaction.fee + 1
    assert send(sandbox, same)["status"] == "TRY_AGAIN_LATER"
    assert send(sandbox, more)["status"] == "PENDING"
    assert send(sandbox, first)["status"] == "TRY_AGAIN_LATER"
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, more)["status"] == "SUCCESS"
    assert looked_up(sandbox, first)["status"] == "NOT_FOUND"


def test_who_pays_for_several_needs_what_all_of_them_may_cost(sandbox: Sandbox) -> None:
    bobs, alices = joining(sandbox, BOB), joining(sandbox, CAROL, source=ALICE, group=2)
    rich = sandbox.chain.balance(CAROL.public_key)
    assert send(sandbox, bumped(sandbox, bobs, rich // 4))["status"] == "PENDING"
    assert code(send(sandbox, bumped(sandbox, alices, rich // 4))) == "txINSUFFICIENT_BALANCE"


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
