"""A gap whose events a node with longer retention has shrinks, or is filled, and its alarm ends."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ajo.console.tiles import Level, health_tiles
from ajo.indexer.follow import run_pass
from ajo.indexer.tasks import sweep
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, RpcNode
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging
from contributions.models import Contribution, Payout, Refund
from devtools.sandbox.chain import Chain
from devtools.sandbox.sandbox import Sandbox
from groups.models import GroupMember
from tests.support.answers import corrupt_answer, restore_answers
from tests.support.faults import error, when
from tests.support.following import assert_equal, catch_up
from tests.support.histories import History
from tests.support.nodes import use_nodes
from tests.support.proxy import Exchange, Proxy, Reply

pytestmark = pytest.mark.django_db(transaction=True)


def forgetful(chain: Chain, retention: int) -> Chain:
    """A node of the same network that keeps less."""
    node = chain.replica()
    node.retention = retention
    node.prune(node.latest)
    return node


def alarms(client: Client) -> tuple[int, int, bool]:
    """How many gaps status/, the metrics and the front page know of."""
    gaps = len(client.get("/api/v1/status/").json()["gaps"])
    lines = client.get("/metrics").content.decode().splitlines()
    metric = next(float(line.split()[1]) for line in lines if line.startswith("ajo_gaps "))
    fact = next(fact for fact in health_tiles() if fact.name == "Gaps in history")
    return gaps, int(metric), fact.level > Level.WELL


def assert_every_event_is_logged() -> None:
    for model in (Contribution, Payout, Refund):
        assert not model.objects.filter(event_id=None).exists()
    assert not GroupMember.objects.filter(joined_at=None).exists()


def passes() -> None:
    while not run_pass().caught_up:
        pass


def test_a_gap_is_filled_by_a_node_that_remembers_it(sandbox: Sandbox, settings: Settings, client: Client) -> None:
    """Breaks if what was once missing were never asked for again: the gap would stay, with its alarm."""
    History(sandbox.chain, 8).walk(40)
    settings.RPC_EVENTS_LIMIT = 5
    with Sandbox(forgetful(sandbox.chain, 4)) as short:
        use_nodes(settings, short)
        passes()
        assert alarms(client) == (1, 1, True)
        assert Contribution.objects.filter(event_id=None).exists()
        use_nodes(settings, sandbox)
        passes()
    assert alarms(client) == (0, 0, False)
    assert_every_event_is_logged()
    kept = {event.id for event in sandbox.chain.store.events("", "9", "AND contract = ?", [sandbox.contract])}
    assert set(ContractEvent.objects.values_list("id", flat=True)) == kept
    assert_equal(sandbox)
    gap = HistoryGap.objects.exclude(filled_at=None).order_by("-to_ledger")[0]
    assert gap.recovered_at is not None


@pytest.mark.parametrize("asks", ["sweep", "sync"])
def test_a_node_that_is_not_the_first_is_asked_too(sandbox: Sandbox, settings: Settings, asks: str) -> None:
    """Breaks if only the preferred node were asked: it does not have them, and is well."""
    History(sandbox.chain, 8).walk(40)
    with Sandbox(forgetful(sandbox.chain, 4)) as short:
        use_nodes(settings, short)
        passes()
        use_nodes(settings, short, sandbox)
        if asks == "sweep":
            sweep()
        else:
            call_command("sync", stdout=StringIO())
        assert not HistoryGap.objects.missing().exists()
        assert_every_event_is_logged()
        assert not RpcNode.objects.filter(failures__gt=0).exists()
    assert_equal(sandbox)


def test_a_gap_of_which_only_a_part_is_remembered_shrinks(sandbox: Sandbox, settings: Settings, client: Client) -> None:
    history = History(sandbox.chain, 8)
    history.walk(20)
    passes()
    left = Checkpoint.objects.get().ledger
    history.walk(60)
    latest = sandbox.chain.latest
    with Sandbox(forgetful(sandbox.chain, 4)) as short, Sandbox(forgetful(sandbox.chain, 20)) as longer:
        use_nodes(settings, short)
        while Checkpoint.objects.get().ledger < latest or not HistoryGap.objects.exclude(recovered_at=None).exists():
            run_pass()
        whole = HistoryGap.objects.get()
        assert whole.from_ledger <= left + 1
        use_nodes(settings, longer)
        passes()
        rest = HistoryGap.objects.missing().get()
        assert (rest.pk, rest.from_ledger) == (whole.pk, whole.from_ledger)
        assert rest.to_ledger < longer.chain.range().first + 2 < whole.to_ledger
        assert alarms(client) == (1, 1, True)
        recovered = [*Contribution.objects.filter(event_id=None), *Payout.objects.filter(event_id=None)]
        assert recovered
        assert all(row.ledger <= rest.to_ledger for row in recovered)
    assert_equal(sandbox)


def test_a_node_that_leaves_events_out_fills_nothing(sandbox: Sandbox, settings: Settings, client: Client) -> None:
    """Entries prove what happened in these ledgers. Breaks if a node's word that nothing did ended the alarm."""
    History(sandbox.chain, 8).walk(40)
    with Sandbox(forgetful(sandbox.chain, 4)) as short:
        use_nodes(settings, short)
        passes()
        use_nodes(settings, sandbox)

        def nothing(answer: dict[str, Any]) -> None:
            answer["events"] = []

        corrupt_answer(sandbox, "getEvents", nothing, times=100)
        passes()
        assert alarms(client)[2]
        restore_answers(sandbox)
        passes()  # an hour is to pass first
        assert alarms(client)[2]
        HistoryGap.objects.update(asked_at=timezone.now() - timedelta(hours=2))
        passes()
        assert not alarms(client)[2]
    assert_every_event_is_logged()


def test_filling_goes_on_where_it_committed_last(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch, client_of_chain: SorobanClient
) -> None:
    """Breaks if a pass read for as long as it takes, or began anew each time."""
    History(sandbox.chain, 8).walk(40)
    settings.RPC_EVENTS_LIMIT = 2
    with Sandbox(forgetful(sandbox.chain, 4)) as short:
        use_nodes(settings, short)
        passes()
    stored = ContractEvent.objects.count()
    use_nodes(settings, sandbox)
    monkeypatch.setattr("ajo.indexer.gaps.PASS_BUDGET", 0.05)
    seen = [stored]
    while not run_pass().caught_up:
        seen.append(ContractEvent.objects.count())
    assert seen == sorted(seen)
    assert len(seen) > 2
    monkeypatch.undo()
    catch_up(client_of_chain)
    assert_every_event_is_logged()


def test_a_node_that_contradicts_itself_about_what_it_has_pruned_makes_no_gap(
    sandbox: Sandbox, settings: Settings
) -> None:
    """getEvents says that our cursor is pruned, getHealth of the same node does not. Breaks without the comparison in
    `_out_of_range`: the cursor would be dropped and a gap recorded that is none.
    """
    History(sandbox.chain, 5).walk(20)
    run_pass()
    History(sandbox.chain, 6).walk(5)
    latest = sandbox.chain.latest
    pruned = error(-32600, f"startLedger must be within the ledger range: {latest - 1} - {latest}")

    def contradicts(exchange: Exchange) -> Reply:
        return pruned(exchange) if exchange.call["params"]["pagination"]["limit"] > 1 else exchange.forward()

    with Proxy(sandbox.url) as proxy:
        use_nodes(settings, proxy)
        before = Checkpoint.objects.get().cursor
        with proxy.failing(when("getEvents", contradicts)), pytest.raises(NodeLagging, match="contradicts itself"):
            run_pass()
        assert Checkpoint.objects.get().cursor == before
        while not run_pass().caught_up:
            pass
    assert not HistoryGap.objects.exists()
    assert not Contribution.objects.filter(event_id=None).exists()
