"""Transactions that others sent: from the tables, else from the chain, by their own hash or a fee bump's inner one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings
from stellar_sdk import (
    Account,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    SorobanServer,
    TransactionBuilder,
    TransactionEnvelope,
    scval,
)

from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.closing import order
from tests.support.factories import API
from tests.support.faults import when
from tests.support.nodes import use_nodes
from tests.support.proxy import Exchange, Proxy, Reply
from tests.support.sending import ALICE, BOB, CAROL, ask, joining, sandbox, sequence
from tests.support.submitting import PATH, follow, followed, post

__all__ = ["followed", "sandbox"]


def known(client: Client, tx_hash: str) -> dict[str, Any]:
    response = client.get(f"{PATH}{tx_hash}/")
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()
    return found


def test_one_that_nobody_knows_is_404(client: Client, followed: Sandbox) -> None:
    response = client.get(f"{PATH}{'0' * 64}/")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


def test_one_that_no_node_can_be_asked_of_is_503(client: Client, followed: Sandbox, settings: Settings) -> None:
    settings.SOROBAN_RPC_URL = ["http://127.0.0.1:1"]
    nodes.cache_clear()
    assert client.get(f"{PATH}{'0' * 64}/")["Retry-After"]


def test_asking_the_chain_is_limited(client: Client, followed: Sandbox, settings: Settings) -> None:
    settings.CHAIN_RATE = "2/d"
    codes = [client.get(f"{PATH}{number:064x}/").status_code for number in range(3)]
    assert codes == [404, 404, 429]


def test_a_success_is_said_once_the_tables_hold_it(client: Client, followed: Sandbox) -> None:
    envelope = joining(followed, BOB)
    ask(followed, "sendTransaction", transaction=envelope.to_xdr())
    followed.chain.close_ledger()
    before = known(client, envelope.hash_hex())
    assert (before["status"], before["retry"], before["ledger"], before["events"]) == ("pending", "wait", None, [])
    assert (before["function"], before["group"], before["source"]) == ("join_group", "1", BOB.public_key)
    follow(followed)
    after = known(client, envelope.hash_hex())
    assert (after["status"], after["ledger"]) == ("success", followed.chain.latest)
    assert [event["type"] for event in after["events"]] == ["joined"]
    assert not ChainTransaction.objects.exists()


def test_a_failure_is_read_from_the_chain_with_whose_it_is(client: Client, followed: Sandbox) -> None:
    """The second join that was simulated on the same state: the contract's own error."""
    first, second = joining(followed, BOB), joining(followed, BOB, ahead=1)
    for envelope in (first, second):
        ask(followed, "sendTransaction", transaction=envelope.to_xdr())
        followed.chain.close_ledger()
    found = known(client, second.hash_hex())
    assert (found["status"], found["retry"], found["code"]) == ("failed", "rebuild", "contract_error")
    assert found["contract_error"]["contract"] == followed.contract
    assert found["contract_error"]["name"]
    assert found["ledger"] == followed.chain.latest
    assert int(found["fee"]["charged"]) > 0
    assert (found["attempts"], found["submitted_at"], found["last_answer"]) == (None, None, None)


def test_a_fee_bump_is_found_by_the_inner_hash(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 36: anybody may bump a transaction, and its own hash has to go on naming it."""
    inner = joining(followed, BOB)
    bump = FeeBumpTransactionEnvelope(
        FeeBumpTransaction(CAROL, 2 * inner.transaction.fee, inner), followed.chain.passphrase
    )
    bump.sign(CAROL)
    ask(followed, "sendTransaction", transaction=bump.to_xdr())
    followed.chain.close_ledger()
    for tx_hash in (inner.hash_hex(), bump.hash_hex()):
        found = known(client, tx_hash)
        assert (found["hash"], found["status"], found["function"]) == (tx_hash, "pending", "join_group")
        assert found["source"] == BOB.public_key
        assert found["fee"]["max"] == str(2 * inner.transaction.fee)
    follow(followed)
    for tx_hash in (inner.hash_hex(), bump.hash_hex()):
        found = known(client, tx_hash)
        assert (found["status"], [event["type"] for event in found["events"]]) == ("success", ["joined"])


def test_a_name_that_no_event_announces_is_shown_with_its_success(client: Client, followed: Sandbox) -> None:
    """Breaks if the tables' ledger alone were asked: no event makes the sync read a name."""
    builder = TransactionBuilder(
        Account(ALICE.public_key, sequence(followed, ALICE)), followed.chain.passphrase, base_fee=100
    )
    texts = [scval.to_string(text) for text in ("Esusu", "ours", "none")]
    builder.append_invoke_contract_function_op(
        followed.contract, "set_group_metadata", [scval.to_uint64(1), *texts]
    ).add_time_bounds(0, followed.chain.range().last_close + 300)
    envelope = SorobanServer(followed.url).prepare_transaction(builder.build())
    envelope.sign(ALICE)
    ask(followed, "sendTransaction", transaction=envelope.to_xdr())
    followed.chain.close_ledger()
    assert known(client, envelope.hash_hex())["status"] == "pending"
    follow(followed)
    Group.objects.filter(pk=1).update(synced_ledger=3)  # as a pass that had no other reason to read it
    assert known(client, envelope.hash_hex())["status"] == "success"
    assert Group.objects.get(pk=1).synced_ledger >= followed.chain.latest
    assert client.get(f"{API}groups/1/").json()["name"] == "Esusu"


@pytest.mark.parametrize("tx_hash", ["0" * 64, "F" * 64])
def test_waiting_for_one_that_nobody_knows_is_404_at_once(client: Client, followed: Sandbox, tx_hash: str) -> None:
    assert client.get(f"{PATH}{tx_hash}/", headers={"Prefer": "wait=25"}).status_code == 404


def test_a_success_of_others_waits_until_its_group_was_read(client: Client, followed: Sandbox) -> None:
    envelope = joining(followed, BOB)
    ask(followed, "sendTransaction", transaction=envelope.to_xdr())
    followed.chain.close_ledger()
    follow(followed)
    assert known(client, envelope.hash_hex())["status"] == "success"
    Group.objects.filter(pk=1).update(synced_ledger=followed.chain.latest - 1)
    assert known(client, envelope.hash_hex())["status"] == "pending"
    Group.objects.filter(pk=1).update(unreadable_since=Now())
    assert known(client, envelope.hash_hex())["status"] == "success", "readers are told of such a group"


def applied_elsewhere(followed: Sandbox) -> TransactionEnvelope:
    """A transaction that somebody else sent, and that the tables have not heard of."""
    envelope = joining(followed, BOB)
    ask(followed, "sendTransaction", transaction=envelope.to_xdr())
    followed.chain.close_ledger()
    return envelope


def test_a_look_up_older_than_its_range_refuses_nothing(client: Client, followed: Sandbox) -> None:
    """Guards WRITING 10: whoever is told to build another pays twice."""
    envelope = applied_elsewhere(followed)
    order(followed, "race", times=1)
    found = post(client, envelope)
    assert (found.status_code, found.json()["status"]) == (200, "pending")


@pytest.mark.parametrize("first", [True, False])
def test_no_node_alone_has_a_transaction_built_anew(
    client: Client, followed: Sandbox, settings: Settings, first: bool
) -> None:
    envelope = applied_elsewhere(followed)

    def nothing(answer: dict[str, Any]) -> None:
        answer["result"] |= {"status": "NOT_FOUND", "ledger": 0, "createdAt": "0"}

    fault = when("getTransaction", lambda exchange: exchange.changed(nothing))
    with Proxy(followed.url) as liar, liar.failing(fault):
        use_nodes(settings, *((liar, followed) if first else (followed, liar)))
        found = post(client, envelope)
    assert (found.status_code, found.json()["status"]) == (200, "pending")


def test_a_node_that_lags_refuses_nothing(client: Client, followed: Sandbox, settings: Settings) -> None:
    """Its history does not have the ledger that used the sequence number: it says NOT_FOUND, and tells nothing."""
    order(followed, "second")
    envelope = applied_elsewhere(followed)
    look_ups: list[str] = []

    def behind(exchange: Exchange) -> Reply:
        look_ups.append(exchange.method)
        answer = ask(followed, exchange.method, "/second", **exchange.call["params"])
        return Reply(json.dumps(answer | {"id": exchange.call["id"]}).encode())

    with Proxy(followed.url) as lagging, lagging.failing(when("getTransaction", behind)):
        use_nodes(settings, lagging)
        assert post(client, envelope).status_code == 503
        assert look_ups
        use_nodes(settings, lagging, followed)
        assert post(client, envelope).json()["status"] == "pending"


def said(client: Client, envelope: TransactionEnvelope) -> str:
    response = post(client, envelope)
    assert response.status_code == 400, response.content
    (message,) = response.json()["errors"]["xdr"]
    return str(message)


def test_what_is_too_late_is_told_to_be_built_anew_only_where_that_is_safe(client: Client, followed: Sandbox) -> None:
    close = followed.chain.range().last_close
    envelope = joining(followed, BOB, until=close + 9)
    assert "it may still apply" in said(client, envelope), "others may have sent it, and its time is not over"
    order(followed, "advance", seconds=9)
    followed.chain.close_ledger()
    assert "never will be: build another" in said(client, envelope)
    followed.chain.close_ledger(30)
    order(followed, "prune", ledgers=3)
    answer = said(client, envelope)
    assert "they cannot say whether this transaction was applied" in answer
    assert "build another" not in answer.partition("before you")[0]


def test_a_number_that_another_transaction_used_is_told_to_be_built_anew(client: Client, followed: Sandbox) -> None:
    lost = joining(followed, BOB, fee=200)
    applied_elsewhere(followed)
    assert said(client, lost).startswith("sequence_used: ")
    assert said(client, lost).endswith("never will be: build another.")
    followed.chain.close_ledger(10)
    order(followed, "prune", ledgers=3)
    assert "they cannot say whether this transaction was applied" in said(client, lost)
