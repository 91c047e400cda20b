"""What is too late to be sent may be in a ledger: "build another" is said only where that cannot pay twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from stellar_sdk import TransactionEnvelope
from stellar_sdk.xdr import LedgerEntryData

from ajo.soroban.models import Checkpoint, RpcNode
from ajo.transactions.remembered import remember
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import requests_seen
from tests.support.closing import order
from tests.support.faults import when
from tests.support.nodes import use_nodes
from tests.support.proxy import Exchange, Proxy, Reply
from tests.support.sending import BOB, account_entry, ask, bumped, joining, sandbox
from tests.support.submitting import follow, followed, post

__all__ = ["followed", "sandbox"]
NEVER, MAYBE, UNKNOWN = (
    "never will be: build another",
    "it may still apply",
    "whether this transaction was applied is not",
)


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


@pytest.mark.parametrize(("first", "status"), [(True, 200), (False, 503)])
def test_no_node_alone_has_a_transaction_built_anew(
    client: Client, followed: Sandbox, settings: Settings, first: bool, status: int
) -> None:
    envelope = applied_elsewhere(followed)

    def nothing(answer: dict[str, Any]) -> None:
        answer["result"] |= {"status": "NOT_FOUND", "ledger": 0, "createdAt": "0"}

    fault = when("getTransaction", lambda exchange: exchange.changed(nothing))
    with Proxy(followed.url) as liar, liar.failing(fault):
        use_nodes(settings, *((liar, followed) if first else (followed, liar)))
        assert post(client, envelope).status_code == status


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
    """Post what is refused, and return the name and the sentence."""
    response = post(client, envelope)
    assert response.status_code == 400, response.content
    (message,) = response.json()["errors"]["xdr"]
    return str(message)


def advance_past(followed: Sandbox, envelope: TransactionEnvelope) -> None:
    """Have the chain pass the transaction's time."""
    conditions = envelope.transaction.preconditions
    assert conditions is not None
    assert conditions.time_bounds is not None
    order(followed, "advance", seconds=conditions.time_bounds.max_time - followed.chain.range().last_close + 1)
    followed.chain.close_ledger()


def bumped_elsewhere(followed: Sandbox) -> TransactionEnvelope:
    """A transaction that was applied inside a fee bump: its events stand under another hash."""
    inner = joining(followed, BOB)
    bumped(followed, inner)
    return inner


def test_an_unused_number_proves_that_it_never_applies(client: Client, followed: Sandbox) -> None:
    """All history may be gone: the account tells, once its time is over."""
    envelope = joining(followed, BOB, until=followed.chain.range().last_close + 9)
    assert MAYBE in said(client, envelope), "others may have sent it, and its time is not over"
    advance_past(followed, envelope)
    followed.chain.close_ledger(20)
    order(followed, "prune", ledgers=3)
    assert NEVER in said(client, envelope)


def test_a_history_that_does_not_reach_back_to_its_life_proves_nothing(client: Client, followed: Sandbox) -> None:
    """Breaks if a history of an hour were enough: it may have been signed for a day, and applied long ago."""
    envelope = bumped_elsewhere(followed)
    advance_past(followed, envelope)
    assert post(client, envelope).status_code == 200
    order(followed, "advance", seconds=7_200)
    followed.chain.close_ledger(10)
    order(followed, "prune", ledgers=3)
    follow(followed)
    answer = said(client, envelope)
    assert answer.startswith("end_unknown: "), "clients act on the word"
    assert UNKNOWN in answer
    assert "build another" not in answer.partition("before you")[0]


def test_a_number_that_another_transaction_used(client: Client, followed: Sandbox) -> None:
    lost = joining(followed, BOB, fee=200)
    entry, ledger = account_entry(followed, BOB), followed.chain.latest
    applied_elsewhere(followed)
    assert said(client, lost).startswith("sequence_used: ")
    assert NEVER in said(client, lost)
    advance_past(followed, lost)
    follow(followed)
    order(followed, "prune", ledgers=followed.chain.latest - ledger)
    assert UNKNOWN in said(client, lost)
    remember(Checkpoint.objects.get(), BOB.public_key, ledger, entry)
    assert NEVER in said(client, lost), "a build has read the account, and the history begins right after it"
    order(followed, "prune", ledgers=followed.chain.latest - ledger - 1)
    assert UNKNOWN in said(client, lost)


def test_one_node_alone_does_not_say_that_a_number_was_used(
    client: Client, followed: Sandbox, settings: Settings
) -> None:
    """It is queued: the next ledger carries it, and whoever built another one has paid twice."""
    envelope = joining(followed, BOB)
    ask(followed, "sendTransaction", transaction=envelope.to_xdr())

    def used(answer: dict[str, Any]) -> None:
        for entry in answer["result"]["entries"]:
            data = LedgerEntryData.from_xdr(entry["xdr"])
            if data.account is not None:
                data.account.seq_num.sequence_number.int64 += 1
                entry["xdr"] = data.to_xdr()

    fault = when("getLedgerEntries", lambda exchange: exchange.changed(used))
    with Proxy(followed.url) as liar, liar.failing(fault):
        use_nodes(settings, liar, followed)
        assert post(client, envelope).status_code == 503


def test_late_posts_do_not_make_the_second_node_back_off(client: Client, followed: Sandbox, settings: Settings) -> None:
    """Breaks if a node that is behind were left for it: anybody may post what is late, unsigned, too."""
    order(followed, "second")
    lost = joining(followed, BOB, fee=200)
    applied_elsewhere(followed)

    class Second:
        url = f"{followed.url}/second"

    use_nodes(settings, followed, Second())
    for _ in range(3):
        assert post(client, lost).status_code in (400, 503)
    assert not RpcNode.objects.backing_off().exists()


def test_its_time_is_asked_about_once(client: Client, followed: Sandbox) -> None:
    envelope = joining(followed, BOB, until=followed.chain.range().last_close + 9)
    client.get("/api/v1/transactions/" + "0" * 64 + "/")  # the node's network is checked once an hour
    requests_seen(followed)
    assert MAYBE in said(client, envelope)
    assert requests_seen(followed) == {"getTransaction": 1, "getLedgerEntries": 1}
