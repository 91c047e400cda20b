"""Transactions are followed to ends that are proven, whatever nodes answer; the numbers are WRITING.md's reports."""

from collections import Counter
from typing import Any

import pytest
from pytest_django import Settings

from ajo.transactions import sending
from ajo.transactions.codes import Code
from groups.models import GroupMember
from tests.support.faults import answers, result
from tests.support.nodes import use_nodes
from tests.support.proxy import Exchange, Proxy, Reply
from tests.support.sending import ALICE, BOB, CAROL, send
from tests.support.submitted import Status, Writing, writing

__all__ = ["writing"]
pytestmark = pytest.mark.django_db(transaction=True)


class Counting:
    """Passes requests on and counts them by method."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, exchange: Exchange) -> Reply:
        self.calls[exchange.method] += 1
        return exchange.forward()


# -- success


def test_a_success_is_settled_by_its_event_with_no_call_of_its_own(writing: Writing) -> None:
    tx = writing.post(writing.joining())
    writing.close()
    counting = Counting()
    with writing.proxy.failing(counting):
        writing.follow()
    row = writing.row(tx)
    assert (row.status, row.ledger, row.group_id, row.attempts) == (Status.SUCCESS, writing.chain.latest, 1, 1)
    assert counting.calls == {}


def test_a_new_groups_id_is_the_events(writing: Writing) -> None:
    tx = writing.post(writing.creating(BOB))
    writing.step()
    row = writing.row(tx)
    assert (row.status, row.result, row.group_id) == (Status.SUCCESS, "3", 3)


def test_report_40_one_call_reads_what_many_wait_for(writing: Writing) -> None:
    """A row costs no call in most ledgers: its source's entry is read with 199 others."""
    writing.order("refuse", status="TRY_AGAIN_LATER", times=3)
    for envelope in (writing.creating(ALICE), writing.joining(BOB, group=1), writing.joining(CAROL, group=2)):
        writing.post(envelope)
    counting = Counting()
    with writing.proxy.failing(counting):
        writing.follow()  # the ledger is the same: nothing is sent again
        assert counting.calls == {"getLedgerEntries": 1}
        writing.step(2)
    assert counting.calls["sendTransaction"] == 3
    assert counting.calls["getTransaction"] == 0


# -- answers of sendTransaction


def test_reports_1_and_2_try_again_later_is_sent_again_until_it_is_taken(writing: Writing) -> None:
    writing.order("refuse", status="TRY_AGAIN_LATER", times=12)
    tx = writing.post(writing.joining())
    writing.step(11)
    assert writing.status(tx) == Status.PENDING
    writing.step(3)
    row = writing.row(tx)
    assert (row.status, row.attempts) == (Status.SUCCESS, 13)


def test_report_3_try_again_later_to_the_end_is_expired_not_failed(writing: Writing) -> None:
    writing.order("refuse", status="TRY_AGAIN_LATER", times=1000)
    tx = writing.post(writing.joining(valid_for=60))
    writing.step(10)
    assert writing.status(tx) == Status.PENDING
    sent = writing.row(tx).attempts
    writing.step(3)
    row = writing.row(tx)
    assert (row.status, row.code, row.ledger) == (Status.EXPIRED, Code.TIME_OVER, None)
    assert row.attempts <= sent + 1  # none in the last ten seconds


def test_report_4_what_was_priced_out_is_sent_past_the_ban_and_not_within_it(writing: Writing) -> None:
    """The queue keeps it for four ledgers and bans it for ten; then there is room."""
    writing.order("surge", fee=10_000)
    tx = writing.post(writing.joining())
    writing.step(6)
    writing.order("surge", fee=100)
    writing.step(14)
    row = writing.row(tx)
    assert row.status == Status.SUCCESS
    assert row.ledger is not None
    assert row.ledger - row.submitted_ledger <= 20
    assert row.attempts <= 5


def test_reports_5_and_6_an_answer_that_is_lost_is_no_failure_and_no_second_effect(writing: Writing) -> None:
    writing.order("drop", times=1)
    tx = writing.post(writing.joining())
    assert writing.row(tx).last_answer == "RpcUnavailable"
    writing.chain.close_ledger()  # it is applied, and the sync has not seen it
    writing.follow()
    writing.follow()
    assert writing.status(tx) == Status.PENDING
    writing.step()
    assert writing.status(tx) == Status.SUCCESS
    assert GroupMember.objects.filter(group_id=1, user__wallet_address=BOB.public_key).count() == 1


def test_report_5_bad_sequence_on_a_resend_is_not_final(writing: Writing) -> None:
    """It was applied, and the answer was lost; a node that had not queued it says txBAD_SEQ to the next sending."""
    envelope = writing.joining()
    tx = writing.store(envelope).hash
    assert send(writing.sandbox, envelope)["status"] == "PENDING"
    writing.chain.close_ledger()
    writing.chain.queue.banned.clear()
    meaning = sending.send(writing.row(tx), is_first_send=False)
    assert meaning.said == "ERROR txBAD_SEQ"
    assert writing.status(tx) == Status.PENDING
    writing.step()
    assert writing.status(tx) == Status.SUCCESS


def test_report_12_a_first_sending_to_a_node_that_lags_is_no_refusal(writing: Writing, settings: Settings) -> None:
    """It says txBAD_SEQ: it has not seen the account's last transaction."""
    writing.order("second")
    writing.post(writing.joining(group=1))
    writing.step()
    second = Proxy(f"{writing.sandbox.url}/second")
    with second:
        use_nodes(settings, second, writing.proxy)
        tx = writing.post(writing.joining(group=2))
        assert "txBAD_SEQ" in writing.row(tx).last_answer
        use_nodes(settings, writing.proxy, second)
        writing.step(3)
    assert writing.status(tx) == Status.SUCCESS


def test_report_15_an_answer_with_another_hash_ends_nothing(writing: Writing, caplog: pytest.LogCaptureFixture) -> None:
    def other_hash(exchange: Exchange) -> Reply:
        if exchange.method != "sendTransaction":
            return exchange.forward()
        return exchange.changed(lambda answer: answer["result"].update(hash="ab" * 32))

    with writing.proxy.failing(other_hash):
        tx = writing.post(writing.joining())
    assert "with the hash abab" in caplog.text
    writing.step()
    assert writing.status(tx) == Status.SUCCESS


@pytest.mark.parametrize(
    "said", [answers(500), result({"status": "FILTERED"}), answers(200)], ids=["500", "filtered", "empty"]
)
def test_a_node_that_answers_nonsense_leaves_it_open(writing: Writing, said: Any) -> None:
    with writing.proxy.failing(said):
        tx = writing.post(writing.joining())
    assert writing.status(tx) == Status.PENDING
    writing.step(2)
    assert writing.status(tx) == Status.SUCCESS


def test_what_is_stored_and_never_was_sent_is_sent(writing: Writing) -> None:
    """The process died between the two."""
    row = writing.store(writing.joining())
    writing.follow()
    writing.step()
    assert writing.status(row.hash) == Status.SUCCESS
