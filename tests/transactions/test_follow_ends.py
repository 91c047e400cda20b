"""Ends other than success are said only when they are proven; the numbers are WRITING.md's reports."""

from datetime import UTC, datetime

import pytest
from stellar_sdk import TransactionBuilder, TransactionEnvelope

from ajo.soroban.contract.keys import GroupKey
from ajo.soroban.models import RpcNode
from ajo.transactions.codes import Code
from ajo.transactions.queries import with_carried
from tests.support.faults import answers
from tests.support.sending import BOB, CAROL, OTHER, send
from tests.support.submitted import Status, Writing, writing

__all__ = ["writing"]
pytestmark = pytest.mark.django_db(transaction=True)


# -- refused


def test_what_is_refused_for_good_says_why_and_is_watched_until_its_time_is_over(writing: Writing) -> None:
    envelope = writing.joining()
    envelope.signatures.clear()
    tx = writing.post(envelope)
    assert (writing.status(tx), writing.row(tx).code) == (Status.REJECTED, Code.BAD_AUTH)
    writing.step(2)
    assert writing.row(tx).next_attempt_at is not None
    writing.over(tx)
    writing.follow()
    row = writing.row(tx)
    assert (row.status, row.code, row.next_attempt_at) == (Status.REJECTED, Code.BAD_AUTH, None)


@pytest.mark.parametrize("outcome", [Status.SUCCESS, Status.FAILED])
def test_evidence_overrules_a_refusal(writing: Writing, outcome: str) -> None:
    """Anybody may send it, complete with what was missing."""
    envelope = writing.joining()
    signatures = list(envelope.signatures)
    envelope.signatures.clear()
    tx = writing.post(envelope)
    assert writing.status(tx) == Status.REJECTED
    envelope.signatures.extend(signatures)
    if outcome == Status.FAILED:
        writing.order("archive", keys=[GroupKey(1).to_xdr(writing.sandbox.contract)])
    assert send(writing.sandbox, envelope)["status"] == "PENDING"
    writing.step(2)
    row = writing.row(tx)
    assert row.status == outcome
    assert row.code == (Code.STALE if outcome == Status.FAILED else "")


# -- failed


def test_report_21_the_second_of_two_that_were_simulated_on_one_state_is_stale(writing: Writing) -> None:
    both = [writing.post(each) for each in (writing.creating(BOB), writing.creating(CAROL))]
    writing.step(3)
    assert sorted(writing.status(tx) for tx in both) == [Status.FAILED, Status.SUCCESS]
    (failed,) = (writing.row(tx) for tx in both if writing.status(tx) == Status.FAILED)
    assert (failed.code, failed.contract_error) == (Code.STALE, None)
    assert failed.fee_charged
    assert failed.ledger == failed.submitted_ledger + 1


def test_report_33_and_a_contracts_own_number(writing: Writing) -> None:
    """Both were simulated while the seat was free: of two joins of the last seat, one is refused with Ajo's 2."""
    writing.chain.fund(OTHER.public_key)
    writing.post(writing.joining(BOB))
    writing.step()
    first, second = writing.joining(CAROL), writing.joining(OTHER)
    both = [writing.post(first), writing.post(second)]
    writing.step(3)
    (failed,) = (writing.row(tx) for tx in both if writing.status(tx) == Status.FAILED)
    assert failed.code == Code.CONTRACT_ERROR
    assert failed.contract_error == {"contract": writing.sandbox.contract, "code": 2, "name": "MaxMembersExceeded"}


def test_report_34_an_entry_that_was_archived_after_the_build_is_stale(writing: Writing) -> None:
    tx = writing.post(writing.joining())
    writing.order("archive", keys=[GroupKey(1).to_xdr(writing.sandbox.contract)])
    writing.step(3)
    assert (writing.status(tx), writing.row(tx).code) == (Status.FAILED, Code.STALE)


# -- expired, unknown


def test_report_7_of_two_with_one_sequence_number_one_applies_and_the_other_ends(writing: Writing) -> None:
    first = writing.joining()
    number = first.transaction.sequence
    writing.order("surge", fee=10_000)
    old = writing.post(first)
    writing.step()
    new = writing.post(writing.joining(sequence_number=number, fee=20_000))
    writing.step(8)
    assert writing.status(new) == Status.SUCCESS
    row = writing.row(old)
    assert (row.status, row.code) == (Status.EXPIRED, Code.SEQUENCE_USED)
    assert new in row.detail, "whoever built the other looks at it before they build a third"


def with_resource_fee(envelope: TransactionEnvelope, more: int) -> TransactionEnvelope:
    """Offer so many stroops more for resources, and sign again."""
    data = envelope.transaction.soroban_data
    assert data is not None
    data.resource_fee.int64 += more
    envelope.transaction.fee += more
    envelope.signatures = []
    envelope.sign(BOB)
    return envelope


def test_of_two_with_one_sequence_number_the_one_that_bids_more_is_sent(writing: Writing) -> None:
    """Breaks if the later one counted, or the whole fee: resources win no place in a ledger."""
    first = writing.joining(fee=20_000)
    number = first.transaction.sequence
    second = with_resource_fee(writing.joining(sequence_number=number, fee=100), 30_000)
    low = writing.store(second, created_at=datetime(2030, 1, 1, tzinfo=UTC))
    high = writing.store(first)
    assert low.max_fee > high.max_fee
    writing.step(3)
    assert (writing.status(high.hash), writing.status(low.hash)) == (Status.SUCCESS, Status.EXPIRED)
    assert (writing.row(high.hash).attempts, writing.row(low.hash).attempts) == (1, 0)


def test_a_higher_bid_that_cannot_be_sent_any_more_silences_nobody(writing: Writing) -> None:
    short = writing.joining(fee=20_000, valid_for=12)
    low = writing.store(writing.joining(sequence_number=short.transaction.sequence, fee=100))
    high = writing.store(short)
    writing.chain.advance(5)
    writing.step(2)
    assert (writing.status(low.hash), writing.row(high.hash).attempts) == (Status.SUCCESS, 0)


def test_report_37_another_transaction_takes_the_sequence_number_and_ours_ends_at_once(writing: Writing) -> None:
    ours, other = writing.joining(), writing.joining(group=2)
    assert send(writing.sandbox, other)["status"] == "PENDING"
    tx = writing.post(ours)
    writing.step(2)
    row = writing.row(tx)
    assert (row.status, row.code) == (Status.EXPIRED, Code.SEQUENCE_USED)
    assert writing.chain.range().last_close < row.max_time


@pytest.mark.parametrize("times", [1, 2, 8])
def test_report_10_a_look_up_older_than_its_range_ends_nothing(writing: Writing, times: int) -> None:
    """NOT_FOUND with a range that holds it: it failed in that ledger, and its sequence number is used.

    Breaks, at the second, if one look-up of each of two askings were enough.
    """
    both = [writing.post(each) for each in (writing.creating(BOB), writing.creating(CAROL))]
    writing.close()
    writing.order("race", times=times)
    writing.follow()
    writing.step(2)
    assert sorted(writing.status(tx) for tx in both) == [Status.FAILED, Status.SUCCESS]


def test_report_9_what_no_history_holds_is_unknown_and_not_before_others_could_answer(writing: Writing) -> None:
    both = [writing.post(each) for each in (writing.creating(BOB), writing.creating(CAROL))]
    writing.close()
    writing.chain.close_ledger(20)
    writing.order("prune", ledgers=3)
    writing.sync()
    writing.follow()
    writing.follow()
    assert sorted(writing.status(tx) for tx in both) == [Status.PENDING, Status.SUCCESS]
    assert not RpcNode.objects.backing_off().exists(), "it answers everything else"
    (lost,) = (tx for tx in both if writing.status(tx) == Status.PENDING)
    writing.chain.advance(writing.row(lost).max_time - writing.chain.range().last_close + 1000)
    writing.step(2)
    row = writing.row(lost)
    assert (row.status, row.code, row.ledger) == (Status.UNKNOWN, Code.NO_HISTORY, None)


def test_an_unused_sequence_number_proves_the_end_after_all_history_is_gone(writing: Writing) -> None:
    writing.order("refuse", status="TRY_AGAIN_LATER", times=1000)
    tx = writing.post(writing.joining(valid_for=60))
    writing.chain.close_ledger(40)
    writing.order("prune", ledgers=3)
    writing.sync()
    writing.follow()
    assert (writing.status(tx), writing.row(tx).code) == (Status.EXPIRED, Code.TIME_OVER)


def test_report_36_a_fee_bump_that_others_made_is_followed_by_the_inner_hash(writing: Writing) -> None:
    envelope = writing.joining()
    tx = writing.store(envelope).hash
    bump = TransactionBuilder.build_fee_bump_transaction(
        fee_source=CAROL, base_fee=2_000_000, inner_transaction_envelope=envelope,
        network_passphrase=writing.chain.passphrase,
    )  # fmt: skip
    bump.sign(CAROL)
    assert send(writing.sandbox, bump)["status"] == "PENDING"
    writing.close()
    for _ in range(3):
        writing.step()
    row = writing.row(tx)
    assert (row.status, row.attempts, row.bump_hash) == (Status.SUCCESS, 0, bump.hash_hex())
    (known,) = with_carried([row])
    assert [event.type for event in known.carried.events] == ["joined"], "they stand under the bump's hash"


def test_report_39_while_nobody_answers_it_is_pending_and_then_the_truth(writing: Writing) -> None:
    tx = writing.post(writing.joining())
    writing.chain.close_ledger()
    with writing.proxy.failing(answers(503)):
        writing.chain.advance(3600)
        writing.chain.close_ledger()
        for _ in range(3):
            with pytest.raises(Exception, match=r"503|in time"):
                writing.follow()
    assert writing.status(tx) == Status.PENDING
    writing.step()
    assert writing.status(tx) == Status.SUCCESS


def test_report_18_no_clock_of_this_host_counts(writing: Writing) -> None:
    """The chain's clock is ten minutes ahead of this host's, and of the time until which it can apply."""
    writing.order("refuse", status="TRY_AGAIN_LATER", times=1000)
    tx = writing.post(writing.joining(valid_for=300))
    writing.chain.advance(290)
    writing.step()
    assert writing.status(tx) == Status.PENDING
    writing.chain.advance(600)
    writing.step()
    assert writing.status(tx) == Status.EXPIRED
