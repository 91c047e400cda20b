"""Ledgers that the network cannot have reached: an answer that names one is refused, and rows of one are replaced."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ajo import cache
from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.rebuild import rebuild_groups
from ajo.indexer.redecode import redecode
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.keys import GroupKey
from ajo.soroban.models import Checkpoint, ContractEvent, RpcNode, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging
from devtools.sandbox.sandbox import Sandbox
from groups.cached import read_group
from groups.models import Group, Token
from tests.support.answers import corrupt_answer, restore_answers
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import History
from tests.support.nodes import use_nodes
from tests.support.proxy import Exchange, Proxy, Reply
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)

FAR = 4_000_000_000
READERS: dict[str, Callable[[SorobanClient], Any]] = {
    "pass": sync_pass,
    "sweep": lambda client: list(sweep_groups(lambda read: read(client))),
    "deep sweep": lambda client: list(sweep_deep(lambda read: read(client))),
    "rebuild": lambda client: list(rebuild_groups(lambda read: read(client))),
    "redecode": lambda client: redecode(lambda read: read(client)),
    "read-through": lambda _: read_group(1),
}


def ahead(ledgers: int) -> Callable[[Any], None]:
    return lambda answer: answer.update(latestLedger=min(answer["latestLedger"] + ledgers, FAR))


def changed(sandbox: Sandbox) -> None:
    """A group that has a new member, and one that is new."""
    (_, second) = wallets(2)
    sandbox.chain.call(second, "join_group", second, 1)
    make_groups(sandbox, 1)


@pytest.mark.parametrize("ledgers", [100, FAR])
@pytest.mark.parametrize("reader", READERS)
def test_an_entry_from_a_ledger_that_cannot_be_yet_is_not_believed(
    sandbox: Sandbox, client_of_chain: SorobanClient, reader: str, ledgers: int
) -> None:
    """Breaks where an answer's ledger is taken as it is: no correct reading would ever replace the row."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    UndecodedEntry.objects.create(
        key=GroupKey(1).to_xdr(sandbox.contract), group_id=1, xdr="AAAA", error="not known then", ledger=1
    )
    changed(sandbox)
    corrupt_answer(sandbox, "getLedgerEntries", ahead(ledgers), times=2)
    with suppress(ChainError, cache.Unavailable):
        READERS[reader](client_of_chain)
    newest = sandbox.chain.latest
    assert not Group.objects.filter(synced_ledger__gt=newest).exists()
    assert not Token.objects.filter(checked_ledger__gt=newest).exists()
    assert Checkpoint.objects.get().instance_ledger <= newest
    restore_answers(sandbox)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    assert Checkpoint.objects.get().group_count == 2


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("ledgers", [100, FAR])
def test_nor_is_it_at_first_contact(
    sandbox: Sandbox, client_of_chain: SorobanClient, ledgers: int, number: int
) -> None:
    """The first wrong answer is one after the other: of the contract, of the first load, of the first page."""
    make_groups(sandbox, 2)
    answers = iter(range(1, 1000))
    corrupt_answer(
        sandbox, "getLedgerEntries",
        lambda answer: ahead(ledgers)(answer) if next(answers) == number else None, times=1000,
    )  # fmt: skip
    with suppress(ChainError):
        sync_pass(client_of_chain)
    assert not Group.objects.filter(synced_ledger__gt=sandbox.chain.latest).exists()
    assert not Checkpoint.objects.filter(instance_ledger__gt=sandbox.chain.latest).exists()
    catch_up(client_of_chain)
    assert_equal(sandbox)


def freeze() -> None:
    """Write what believing such an answer would have left."""
    Group.objects.update(synced_ledger=FAR)
    Checkpoint.objects.update(instance_ledger=FAR)


def test_rows_from_a_ledger_that_cannot_be_are_replaced_by_the_next_event(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if "older never over newer" held for them too; so does a count of groups that nobody could raise."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    freeze()
    changed(sandbox)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    checkpoint = Checkpoint.objects.get()
    assert (checkpoint.group_count, checkpoint.instance_ledger) == (2, sandbox.chain.latest)


@pytest.mark.parametrize("reader", ["sweep", "deep sweep", "rebuild"])
def test_rows_from_a_ledger_that_cannot_be_are_replaced_without_an_event(
    sandbox: Sandbox, client_of_chain: SorobanClient, reader: str
) -> None:
    """Breaks if a sweep left rows alone whose entries are the same, or asked for nodes that know that ledger."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    (creator,) = wallets(1)
    sandbox.chain.call(creator, "set_group_metadata", 1, b"New", b"", b"")
    sandbox.chain.close_ledger()
    freeze()
    READERS[reader](client_of_chain)
    assert_equal(sandbox)
    assert not Group.objects.filter(synced_ledger__gt=sandbox.chain.latest).exists()


def test_a_gap_is_recovered_beside_rows_from_a_ledger_that_cannot_be(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    History(sandbox.chain, 8).walk(20)
    catch_up(client_of_chain)
    Group.objects.filter(pk=1).update(synced_ledger=FAR)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_what_was_set_aside_at_a_ledger_that_cannot_be_is_settled(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if what was said last counted by its number: the entry would be shown as unread for ever."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    UndecodedEntry.objects.create(
        key=GroupKey(1).to_xdr(sandbox.contract), group_id=1, xdr="AAAA", error="of a faulty node", ledger=FAR
    )
    Group.objects.update(synced_ledger=FAR, unreadable_since=timezone.now(), entry_xdr="")
    list(sweep_groups(lambda read: read(client_of_chain)))
    sync_pass(client_of_chain)
    assert not UndecodedEntry.objects.exists()
    assert_equal(sandbox)


def test_a_client_that_names_a_ledger_is_not_answered_from_one_that_cannot_be(
    sandbox: Sandbox, client_of_chain: SorobanClient, client: Client
) -> None:
    """Breaks as 200 with the old members and `Latest-Ledger: 4000000000`."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    freeze()
    changed(sandbox)
    response = client.get(f"/api/v1/groups/1/?min_ledger={sandbox.chain.latest}")
    assert len(response.json()["members"]) == 2
    assert response.headers["Latest-Ledger"] == str(sandbox.chain.latest)


def ahead_in_all(sandbox: Sandbox, ledgers: int) -> Callable[[Exchange], Reply]:
    """A node that is ahead in all that it says, always, with close times that fit."""

    def change(answer: dict[str, Any]) -> None:
        if "result" in answer and "latestLedger" in answer["result"]:
            result = answer["result"]
            result["latestLedger"] = sandbox.chain.latest + ledgers
            if "latestLedgerCloseTime" in result:
                result["latestLedgerCloseTime"] = str(int(result["latestLedgerCloseTime"]) + 5 * ledgers)
                result["cursor"] = f"{result['latestLedger'] << 32:019d}-0000000000"

    def fault(exchange: Exchange) -> Reply:
        params = exchange.call.get("params") or {}
        if params.get("startLedger", 0) > sandbox.chain.latest:
            params["startLedger"] = sandbox.chain.latest
            with Proxy(sandbox.url) as node:
                reply = node.answer(json.dumps(exchange.call).encode())
            exchange = Exchange(exchange.call, lambda: reply, exchange.ended)
        return exchange.changed(change)

    return fault


def test_a_leap_that_another_node_does_not_know_is_not_believed(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the faulty node's own second answer were enough: every correct answer would be another chain's."""
    make_groups(sandbox, 1)
    run_pass()
    changed(sandbox)
    with Proxy(sandbox.url) as first:
        use_nodes(settings, first, sandbox)
        with first.failing(ahead_in_all(sandbox, 15_000)):
            run_pass()
    assert_equal(sandbox)
    assert Checkpoint.objects.get().chain_ledger == sandbox.chain.latest
    assert "contradicts" in RpcNode.objects.get(name__startswith="1:").last_error


def test_a_position_that_the_only_node_invented_is_corrected_by_later_answers(
    sandbox: Sandbox, settings: Settings
) -> None:
    """Breaks for ever: the cursor is ahead of the chain, and its ledger and time do not fit. Events that were passed
    over are applied."""
    make_groups(sandbox, 1)
    run_pass()
    with Proxy(sandbox.url) as only:
        use_nodes(settings, only)
        with only.failing(ahead_in_all(sandbox, 15_000)):
            run_pass()
        assert Checkpoint.objects.get().chain_ledger > 15_000
        sandbox.chain.advance(100_000)  # seconds: on a network that closes a ledger in five, it is not there yet by far
        changed(sandbox)
        with pytest.raises(NodeLagging, match="have our groups"):
            run_pass()
        while not run_pass().caught_up:
            pass
    assert_equal(sandbox)
    checkpoint = Checkpoint.objects.get()
    assert (checkpoint.chain_ledger, checkpoint.ledger, checkpoint.halted) == (sandbox.chain.latest,) * 2 + ("",)
    assert ContractEvent.objects.filter(type="joined").exists()


def test_a_chain_that_closes_ledgers_faster_than_any_network_is_followed(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """A sandbox whose clock is moved. Breaks if what cannot be were refused without a second request."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    for _ in range(3):
        sandbox.chain.close_ledger(5000)
        changed(sandbox)
        catch_up(client_of_chain)
        assert_equal(sandbox)
    sandbox.chain.close_ledger(5000)
    list(sweep_groups(lambda read: read(client_of_chain)))
    list(rebuild_groups(lambda read: read(client_of_chain)))
    Checkpoint.objects.update(chain_advanced_at=timezone.now() + timedelta(days=1))  # the database's clock stepped back
    catch_up(client_of_chain)
    call_command("sweep")
    assert_equal(sandbox)
