"""Submitting: stored before it is sent, once for each hash, and one of a source at a time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from stellar_sdk import Keypair, Network, TransactionEnvelope, xdr

from ajo import cache
from ajo.soroban.models import ChainTransaction, Checkpoint, RpcNode
from ajo.soroban.rpc.pool import nodes
from ajo.transactions import sending, submit
from ajo.transactions.remembered import remember
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import forget, join, requests_seen, signed
from tests.support.closing import order
from tests.support.factories import make_transaction
from tests.support.sending import BOB, CAROL, OTHER, account_entry, ask, code, joining, looked_up, sandbox, send
from tests.support.submitting import PATH, follow, followed, post, refusal
from tests.support.threads import run_concurrently

__all__ = ["followed", "sandbox"]


def stored() -> list[str]:
    return list(ChainTransaction.objects.values_list("hash", flat=True))


def test_a_transaction_is_stored_sent_and_shown(client: Client, followed: Sandbox, settings: Settings) -> None:
    envelope = joining(followed, BOB)
    response = post(client, envelope)
    assert response.status_code == 202, response.content
    assert response["Location"] == f"{settings.PUBLIC_URL}{PATH}{envelope.hash_hex()}/"
    shown = response.json()
    assert {name: shown[name] for name in ("hash", "status", "retry", "function", "group", "source", "sequence")} == {
        "hash": envelope.hash_hex(), "status": "pending", "retry": "wait", "function": "join_group", "group": "1",
        "source": BOB.public_key, "sequence": str(envelope.transaction.sequence),
    }  # fmt: skip
    assert (shown["attempts"], shown["last_answer"]) == (1, "PENDING")
    assert shown["fee"] == {"max": str(envelope.transaction.fee), "charged": None}
    assert client.get(response["Location"]).json() == shown
    followed.chain.close_ledger()
    assert looked_up(followed, envelope)["status"] == "SUCCESS"


@pytest.mark.django_db(transaction=True)
def test_the_row_is_committed_before_anything_is_sent(
    client: Client, followed: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if a process that dies while it sends left a transaction on the network that nobody follows."""
    seen: list[str] = []

    def look() -> None:
        seen.extend(ChainTransaction.objects.filter(next_attempt_at__isnull=False).values_list("hash", flat=True))

    def look_and_send(*args: Any, **kwargs: Any) -> Any:
        assert run_concurrently([look]) == []  # on another connection
        return sending.send(*args, **kwargs)

    monkeypatch.setattr(submit, "send", look_and_send)
    envelope = joining(followed, BOB)
    assert post(client, envelope).json()["last_answer"] == "PENDING"
    assert seen == [envelope.hash_hex()]


@pytest.mark.django_db(transaction=True)
def test_a_submission_costs_ten_statements_and_two_requests(client: Client, followed: Sandbox) -> None:
    """Breaks if what was read once is read again: the checkpoint, or the nodes' health for each request to one."""
    first, second = joining(followed, BOB), joining(followed, CAROL, group=2)
    assert post(client, first).status_code == 202
    requests_seen(followed)
    with CaptureQueriesContext(connection) as statements:
        assert post(client, second).status_code == 202
    assert requests_seen(followed) == {"getLedgerEntries": 1, "sendTransaction": 1}
    assert [each["sql"].split(" ", 1)[0] for each in statements] == [
        "SELECT", "SELECT", "SELECT",  # freshness, the row, the checkpoint
        "BEGIN", "SELECT", "SELECT", "INSERT", "COMMIT",  # under a lock of the source
        "UPDATE", "SELECT",  # what the node said
    ]  # fmt: skip


@pytest.fixture
def built_by_bob(client: Client, followed: Sandbox) -> TransactionEnvelope:
    """A join of group 1 that was built here and signed, so that its account is remembered."""
    forget()
    envelope = signed(join(), BOB)
    requests_seen(followed)
    return envelope


def test_what_was_built_here_costs_one_request(
    client: Client, followed: Sandbox, built_by_bob: TransactionEnvelope
) -> None:
    assert post(client, built_by_bob).status_code == 202
    assert requests_seen(followed) == {"sendTransaction": 1}
    row = ChainTransaction.objects.get()
    assert (row.account_ledger, row.submitted_ledger) == (followed.chain.latest, followed.chain.latest)


def test_an_account_of_an_older_ledger_is_no_proof_for_later_ones(
    client: Client, followed: Sandbox, built_by_bob: TransactionEnvelope
) -> None:
    """Breaks if the ledger of the post counted: what was applied before it, and is in no history, would be expired."""
    built_at = followed.chain.latest
    followed.chain.close_ledger(5)
    follow(followed)
    assert post(client, built_by_bob).status_code == 202
    row = ChainTransaction.objects.get()
    assert (row.unused_ledger, row.submitted_ledger) == (built_at, built_at + 5)


def test_nothing_is_refused_by_a_remembered_account(
    client: Client, followed: Sandbox, built_by_bob: TransactionEnvelope
) -> None:
    """A signer that was added since is not in it."""
    order(followed, "signers", account=BOB.public_key, thresholds=[1, 0, 0, 0], signers={CAROL.public_key: 1})
    followed.chain.close_ledger()
    follow(followed)
    by_carol = joining(followed, BOB, sign=[CAROL])
    requests_seen(followed)
    assert post(client, by_carol).status_code == 202
    assert requests_seen(followed) == {"getLedgerEntries": 1, "sendTransaction": 1}


def test_a_number_that_was_used_through_this_service_is_refused_before_it_is_sent(
    client: Client, followed: Sandbox, built_by_bob: TransactionEnvelope
) -> None:
    """Two tabs build with one sequence number; the tables know that one of them was applied."""
    other = joining(followed, BOB, group=2)
    make_transaction(1, source=BOB.public_key, sequence=other.transaction.sequence, status="success", ledger=3)
    send(followed, other)
    followed.chain.close_ledger()
    assert refusal(client, built_by_bob) == "sequence_used"


def test_another_transaction_that_has_ended_since_does_not_keep_the_source_busy(
    client: Client, followed: Sandbox
) -> None:
    """The remembered account is from before it was applied: the chain decides."""
    first = joining(followed, BOB)
    assert post(client, first).status_code == 202
    join(CAROL)
    forget()
    remember(Checkpoint.objects.get(), BOB.public_key, followed.chain.latest, account_entry(followed, BOB))
    followed.chain.close_ledger()
    assert post(client, joining(followed, BOB, group=2)).status_code == 202


def test_only_the_accounts_next_number_is_taken_by_what_is_remembered(
    client: Client, followed: Sandbox, built_by_bob: TransactionEnvelope
) -> None:
    """Breaks if a later one were: a signer that was removed since would keep the account busy for an hour."""
    order(followed, "signers", account=BOB.public_key, thresholds=[0, 0, 0, 0], signers={CAROL.public_key: 1})
    followed.chain.close_ledger()
    follow(followed)
    assert refusal(client, joining(followed, BOB, ahead=3)) == "weight_short"
    shown = post(client, built_by_bob).json()
    assert (shown["status"], shown["code"]) == ("rejected", "bad_auth"), "a core sees it at once"


def test_what_a_remembered_account_let_through_is_not_rejected_for_an_account_that_is_gone(
    client: Client, followed: Sandbox, built_by_bob: TransactionEnvelope
) -> None:
    """It was applied, then its account was merged: core says so before it looks at the sequence number."""
    followed.chain.close_ledger()
    follow(followed)
    result = xdr.TransactionResultResult(xdr.TransactionResultCode.txNO_ACCOUNT)
    answer = xdr.TransactionResult(xdr.Int64(0), result, xdr.TransactionResultExt(0)).to_xdr()
    order(followed, "core", status=200, body=json.dumps({"status": "ERROR", "error": answer}))
    assert post(client, built_by_bob).json()["status"] == "pending"


def test_what_redis_has_spoiled_is_read_from_the_chain(
    client: Client, followed: Sandbox, built_by_bob: TransactionEnvelope
) -> None:
    (key,) = cache.client().keys("*:account:*")
    cache.client().set(key, b"\xff\xfe")
    assert post(client, built_by_bob).status_code == 202
    assert requests_seen(followed) == {"getLedgerEntries": 1, "sendTransaction": 1}


def test_without_redis_the_account_is_read(
    client: Client, followed: Sandbox, built_by_bob: TransactionEnvelope
) -> None:
    cache.client().flushall()
    assert post(client, built_by_bob).status_code == 202
    assert requests_seen(followed) == {"getLedgerEntries": 1, "sendTransaction": 1}


def test_a_lost_answer_of_the_first_sending_leaves_it_pending(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 6: a timeout that is shown as a failure makes users pay twice."""
    order(followed, "drop", times=1)  # taken, and the answer is lost
    envelope = joining(followed, BOB)
    response = post(client, envelope)
    assert (response.status_code, response.json()["status"]) == (202, "pending")
    assert response.json()["last_answer"] == "RpcUnavailable"
    followed.chain.close_ledger()
    assert looked_up(followed, envelope)["status"] == "SUCCESS"


def test_a_node_is_not_left_for_a_transaction_that_it_will_not_carry(client: Client, followed: Sandbox) -> None:
    """Breaks if it backed off: whoever posts transactions of a filtered account would keep everybody from the node."""
    order(followed, "refuse", status="FILTERED")
    response = post(client, joining(followed, BOB))
    assert (response.status_code, response.json()["status"]) == (202, "pending")
    assert response.json()["last_answer"] == "SendFault"
    assert not RpcNode.objects.backing_off().exists()


def test_a_repost_gives_the_same_answer_and_sends_nothing(client: Client, followed: Sandbox) -> None:
    envelope = joining(followed, BOB)
    first = post(client, envelope)
    second = post(client, envelope)
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == first.json()
    assert second["Location"] == first["Location"]
    assert stored() == [envelope.hash_hex()]


def test_another_valid_set_of_signatures_is_the_same_transaction_and_the_first_is_kept(
    client: Client, followed: Sandbox
) -> None:
    order(followed, "signers", account=BOB.public_key, thresholds=[1, 1, 1, 1], signers={CAROL.public_key: 1})
    followed.chain.close_ledger()
    follow(followed)
    first, second = (joining(followed, BOB, sign=[key]) for key in (BOB, CAROL))
    assert (post(client, first).status_code, post(client, second).status_code) == (202, 200)
    assert ChainTransaction.objects.get().xdr == first.to_xdr()


def test_another_transaction_of_a_source_is_refused_with_the_pending_ones_hash(
    client: Client, followed: Sandbox
) -> None:
    """Guards WRITING 14: with two tabs of one account, one transaction dies cryptically."""
    first, second = joining(followed, BOB), joining(followed, BOB, ahead=1, group=2)
    assert post(client, first).status_code == 202
    response = post(client, second)
    assert (response.status_code, response.json()["code"]) == (409, "source_busy")
    assert response.json()["hash"] == first.hash_hex()
    assert first.hash_hex() in response.json()["detail"]
    assert stored() == [first.hash_hex()]
    followed.chain.close_ledger()
    assert post(client, second).status_code == 202, "what has used its sequence number keeps nobody out"


def test_of_two_with_one_sequence_both_are_followed_and_one_applies(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 7: `replaces` is the one safe way to try again."""
    low, high = joining(followed, BOB), joining(followed, BOB, fee=300)
    assert [post(client, each).status_code for each in (low, high)] == [202, 202]
    assert set(stored()) == {low.hash_hex(), high.hash_hex()}
    followed.chain.close_ledger()
    assert [looked_up(followed, each)["status"] for each in (low, high)] == ["SUCCESS", "NOT_FOUND"]


def test_an_unknown_account_is_named(client: Client, followed: Sandbox) -> None:
    def move(envelope: Any) -> None:
        envelope.transaction.source = type(envelope.transaction.source)(OTHER.public_key)

    response = post(client, joining(followed, BOB, change=move, sign=[OTHER]))
    assert (response.status_code, response.json()["code"]) == (409, "no_account")
    assert response.json()["account"] == OTHER.public_key
    assert stored() == []


def test_a_used_sequence_is_refused_and_what_used_it_is_found(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 5: the hash is looked up before anything is said of the sequence number."""
    won, lost = joining(followed, BOB), joining(followed, BOB, fee=200)
    ask(followed, "sendTransaction", transaction=won.to_xdr())
    followed.chain.close_ledger()
    assert refusal(client, lost) == "sequence_used"
    found = post(client, won)
    assert (found.status_code, found.json()["status"], found.json()["retry"]) == (200, "pending", "wait")
    follow(followed)
    found = post(client, won)
    assert (found.status_code, found.json()["status"]) == (200, "success")
    assert [event["type"] for event in found.json()["events"]] == ["joined"]
    assert stored() == []


@pytest.mark.parametrize("moved", [-600, 600])
def test_the_hosts_clock_decides_nothing(
    client: Client, followed: Sandbox, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """Guards WRITING 18: a clock that is off by ten minutes gives the same verdicts."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + moved)
    close = followed.chain.range().last_close
    assert refusal(client, joining(followed, BOB, until=close + 9)) == "time_over"
    assert refusal(client, joining(followed, BOB, until=close + 365 * 86_400)) == "time_too_far"
    assert post(client, joining(followed, BOB, until=close + 10)).status_code == 202
    assert post(client, joining(followed, CAROL, until=close + 3_600)).status_code == 202


def test_the_time_is_the_nodes_where_the_tables_lag(client: Client, followed: Sandbox) -> None:
    """What was last heard would have it too far ahead; the chain's newest ledger has not."""
    order(followed, "advance", seconds=7_200)
    close = followed.chain.range().last_close
    assert post(client, joining(followed, BOB, until=close + 3_600)).status_code == 202


def test_nothing_is_stored_where_the_chain_cannot_be_asked(
    client: Client, followed: Sandbox, settings: Settings
) -> None:
    envelope = joining(followed, BOB)
    settings.SOROBAN_RPC_URL = ["http://127.0.0.1:1"]
    nodes.cache_clear()
    response = post(client, envelope)
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert stored() == []


def test_before_the_chain_was_heard_from_nothing_is_taken(client: Client, followed: Sandbox) -> None:
    Checkpoint.objects.all().delete()
    assert post(client, joining(followed, BOB)).status_code == 503
    assert stored() == []


def test_a_refusal_does_not_rest_on_a_node_that_lags(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 11: a signer that was added a moment ago is missing on a node that lags."""
    order(followed, "signers", account=BOB.public_key, thresholds=[1, 0, 0, 0], signers={CAROL.public_key: 1})
    envelope = joining(followed, BOB, sign=[CAROL])
    Checkpoint.objects.update(chain_ledger=followed.chain.latest + 1)
    assert post(client, envelope).status_code == 503
    followed.chain.close_ledger()
    assert post(client, envelope).status_code == 202


def test_a_first_sending_that_is_refused_for_good_is_rejected(client: Client, followed: Sandbox) -> None:
    """A balance that does not cover the fee: nothing was charged, and the same number can be used again."""
    result = xdr.TransactionResultResult(xdr.TransactionResultCode.txINSUFFICIENT_BALANCE)
    answer = xdr.TransactionResult(xdr.Int64(0), result, xdr.TransactionResultExt(0)).to_xdr()
    order(followed, "core", status=200, body=json.dumps({"status": "ERROR", "error": answer}))
    response = post(client, joining(followed, BOB))
    shown = response.json()
    assert (response.status_code, shown["status"], shown["retry"]) == (202, "rejected", "replace")
    assert (shown["code"], shown["last_answer"]) == ("insufficient_balance", "ERROR txINSUFFICIENT_BALANCE")


def test_a_bad_sequence_at_the_first_sending_is_no_end(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 12: that node lags."""
    result = xdr.TransactionResultResult(xdr.TransactionResultCode.txBAD_SEQ)
    answer = xdr.TransactionResult(xdr.Int64(0), result, xdr.TransactionResultExt(0)).to_xdr()
    order(followed, "core", status=200, body=json.dumps({"status": "ERROR", "error": answer}))
    assert post(client, joining(followed, BOB)).json()["status"] == "pending"


def test_try_again_later_leaves_it_pending(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 1 and 2."""
    order(followed, "refuse", status="TRY_AGAIN_LATER")
    shown = post(client, joining(followed, BOB)).json()
    assert (shown["status"], shown["last_answer"], shown["attempts"]) == ("pending", "TRY_AGAIN_LATER", 1)


SIGNED = [
    # thresholds (master, low, medium, high), signers with weights, who signs
    ((1, 0, 0, 0), {}, "M"),
    ((1, 0, 0, 0), {}, "A"),
    ((1, 0, 0, 0), {"A": 1}, "MA"),
    ((1, 1, 2, 2), {"A": 1}, "M"),
    ((1, 1, 2, 2), {"A": 1}, "AM"),
    ((1, 1, 2, 2), {"A": 1, "B": 1}, "MAB"),
    ((1, 2, 1, 2), {"A": 1}, "M"),
    ((1, 2, 1, 2), {"A": 1}, "MA"),
    ((0, 1, 1, 1), {"A": 1}, "M"),
    ((0, 1, 1, 1), {"A": 1}, "A"),
    ((3, 1, 3, 3), {"A": 2, "B": 1}, "AB"),
    ((3, 1, 3, 3), {"A": 2, "B": 1}, "BM"),
]
VERDICTS = {"PENDING": "taken", "txBAD_AUTH": "weight_short", "txFAILED": "weight_short"}
VERDICTS |= {"txBAD_AUTH_EXTRA": "unused_signature"}


def test_signatures_are_judged_as_the_network_judges_them(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 31."""
    keys = {name: Keypair.from_raw_ed25519_seed(name.encode() * 32) for name in "AB"}
    envelopes = []
    for number, (thresholds, signers, signing) in enumerate(SIGNED):
        master = Keypair.from_raw_ed25519_seed(bytes([100 + number]) * 32)
        followed.chain.fund(master.public_key)
        followed.chain.close_ledger()
        weights = {keys[name].public_key: weight for name, weight in signers.items()}
        order(followed, "signers", account=master.public_key, thresholds=list(thresholds), signers=weights)
        followed.chain.close_ledger()
        envelopes.append(joining(followed, master, sign=[{"M": master, **keys}[name] for name in signing]))
    follow(followed)
    for case, envelope in zip(SIGNED, envelopes, strict=True):
        response = post(client, envelope)
        ours = "taken"
        if response.status_code != 202:
            ours = response.json()["errors"]["xdr"][0].partition(":")[0]
        answer = send(followed, envelope)
        theirs = code(answer) if answer["status"] == "ERROR" else "PENDING"
        assert VERDICTS[theirs] == ours, case


def test_the_network_that_a_wallet_was_set_to_is_named(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 30."""
    envelope = joining(followed, BOB, sign=[])
    there = TransactionEnvelope(envelope.transaction, Network.TESTNET_NETWORK_PASSPHRASE)
    there.sign(BOB)
    envelope.signatures = there.signatures
    response = post(client, envelope)
    assert response.status_code == 400
    assert "'Test SDF Network ; September 2015'" in response.json()["errors"]["xdr"][0]
