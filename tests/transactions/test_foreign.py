"""Transactions that others sent: from the tables, else from the chain, by their own hash or a fee bump's inner one."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings
from stellar_sdk import (
    Account,
    SorobanServer,
    TransactionBuilder,
    scval,
)

from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.factories import API
from tests.support.faults import when
from tests.support.nodes import use_nodes
from tests.support.proxy import Proxy
from tests.support.sending import ALICE, BOB, ask, bumped, joining, looked_up, sandbox, sequence
from tests.support.submitting import PATH, follow, followed

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
    bump = bumped(followed, inner)
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


def test_a_failure_of_others_is_not_said_on_one_nodes_word(
    client: Client, followed: Sandbox, settings: Settings
) -> None:
    """Breaks if it were: whoever is told to build anew pays twice."""
    envelope, failing = joining(followed, BOB), joining(followed, BOB, ahead=1)
    for each in (envelope, failing):
        ask(followed, "sendTransaction", transaction=each.to_xdr())
        followed.chain.close_ledger()
    failed = looked_up(followed, failing)

    def turned(answer: dict[str, Any]) -> None:
        answer["result"] |= {"status": "FAILED", "resultXdr": failed["resultXdr"]}

    fault = when("getTransaction", lambda exchange: exchange.changed(turned))
    with Proxy(followed.url) as liar, liar.failing(fault):
        use_nodes(settings, liar, followed)
        assert client.get(f"{PATH}{envelope.hash_hex()}/").status_code == 503


def test_a_status_that_its_own_result_contradicts_is_no_answer(
    client: Client, followed: Sandbox, settings: Settings
) -> None:
    envelope = joining(followed, BOB)
    ask(followed, "sendTransaction", transaction=envelope.to_xdr())
    followed.chain.close_ledger()
    fault = when("getTransaction", lambda exchange: exchange.changed(lambda it: it["result"].update(status="FAILED")))
    with Proxy(followed.url) as liar, liar.failing(fault):
        use_nodes(settings, liar)
        assert client.get(f"{PATH}{envelope.hash_hex()}/").status_code == 503
        use_nodes(settings, liar, followed)
        assert known(client, envelope.hash_hex())["status"] == "pending"


def test_a_new_groups_id_is_told_where_no_event_has_its_hash(client: Client, followed: Sandbox) -> None:
    """It was carried inside a fee bump: the result has the id."""
    arguments = [
        scval.to_address(ALICE.public_key), scval.to_address(followed.chain.token), scval.to_int128(1),
        scval.to_uint64(3600), scval.to_uint32(3), scval.to_uint64(0), scval.to_uint32(0), scval.to_uint32(0),
    ]  # fmt: skip
    builder = TransactionBuilder(
        Account(ALICE.public_key, sequence(followed, ALICE)), followed.chain.passphrase, base_fee=100
    )
    builder.append_invoke_contract_function_op(followed.contract, "create_group", arguments)
    builder.add_time_bounds(0, followed.chain.range().last_close + 300)
    inner = SorobanServer(followed.url).prepare_transaction(builder.build())
    inner.sign(ALICE)
    bumped(followed, inner)
    follow(followed)
    found = known(client, inner.hash_hex())
    assert (found["status"], found["group"], found["result"]) == ("success", "3", "3")
