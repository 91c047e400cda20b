"""A node that calls a ledger its newest before it shows that ledger's events: they are found with the next passes."""

from typing import Any

import pytest
from pytest_django import Settings

from ajo.indexer import pages
from ajo.indexer.follow import sync_pass
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.models import LEDGER_SLACK, Checkpoint, ContractEvent, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from tests.support.answers import corrupt_answer, count_calls, restore_answers
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import DAY, History
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def hide(sandbox: Sandbox, times: int = 1, after: int = 0) -> None:
    """Leave the events of later ledgers than `after` (or of the newest one) out of the next pages, their ends as is."""

    def without(said: dict[str, Any]) -> None:
        last = after or said["latestLedger"] - 1
        said["events"] = [each for each in said["events"] if each["ledger"] <= last]

    corrupt_answer(sandbox, "getEvents", without, times)


def pay(sandbox: Sandbox, times: int = 1) -> None:
    """Make so many groups, which their creator pays in the newest ledger."""
    chain, (creator,) = sandbox.chain, wallets(1)
    chain.fund(creator)
    made = [chain.call(creator, "create_group", creator, chain.token, 50, DAY, 3, 0, 0, 0).result for _ in range(times)]
    chain.close_ledger()
    for group in made:
        assert chain.call(creator, "contribute", creator, group).error is None
    chain.close_ledger()


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("ledgers", [0, 1, 15])
def test_events_that_a_node_shows_late_are_found_with_the_next_passes(
    sandbox: Sandbox, client_of_chain: SorobanClient, passes: int, ledgers: int
) -> None:
    """Breaks where a page begins at the cursor: it has gone past them, and nobody would ask for them again."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    before = sandbox.chain.latest
    pay(sandbox)
    hide(sandbox, 1000, before)
    for _ in range(passes):
        catch_up(client_of_chain)
        sandbox.chain.close_ledger(ledgers)
    assert not Contribution.objects.exists()
    restore_answers(sandbox)
    calls = count_calls(sandbox)
    catch_up(client_of_chain)
    assert Contribution.objects.exclude(tx_hash=None).exclude(created_at=None).count() == 1
    assert calls["getEvents"] == (1 if ledgers <= LEDGER_SLACK else 2)  # so far ahead, a second asking confirms it
    assert Checkpoint.objects.get().ledger == sandbox.chain.latest
    assert_equal(sandbox)


def test_a_contribution_that_came_without_its_transaction_is_completed(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    before = sandbox.chain.latest
    pay(sandbox)
    hide(sandbox, 1000, before)
    catch_up(client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert list(Contribution.objects.values_list("tx_hash", flat=True)) == [None]
    restore_answers(sandbox)
    catch_up(client_of_chain)
    assert Contribution.objects.exclude(tx_hash=None).exclude(event_id=None).count() == 1
    assert_equal(sandbox)


@pytest.mark.parametrize("limit", [1, 2, 5, 8])
def test_late_events_are_found_page_by_page_and_what_is_known_holds_nothing_up(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings, limit: int
) -> None:
    """Breaks if the ledgers that are asked for again filled the page: it would lead nowhere, for ever."""
    settings.RPC_EVENTS_LIMIT = limit
    pay(sandbox, times=12)
    catch_up(client_of_chain)
    before = sandbox.chain.latest
    pay(sandbox, times=3)
    hide(sandbox, after=before)
    sync_pass(client_of_chain)
    catch_up(client_of_chain)
    History(sandbox.chain, 5).walk(10)
    list(sweep_deep(lambda read: read(client_of_chain)))
    catch_up(client_of_chain)
    if limit > 1:  # a page of one event holds either a known one or the next
        assert not Contribution.objects.filter(tx_hash=None).exists()
    assert_equal(sandbox)


def test_a_node_that_keeps_less_than_is_asked_for_again_makes_no_gap(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    pay(sandbox, times=3)
    catch_up(client_of_chain)
    sandbox.chain.retention = 8
    for _ in range(4):
        sandbox.chain.close_ledger(2)
        pay(sandbox)
        catch_up(client_of_chain)
    assert not HistoryGap.objects.exists()
    assert_equal(sandbox)


def test_a_node_that_is_behind_the_cursor_is_lagging_though_it_has_the_ledgers_before(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if a page that ends before the cursor were one of a node that has caught up."""
    pay(sandbox)
    with Sandbox(sandbox.chain.replica()) as behind:
        pay(sandbox)
        catch_up(client_of_chain)
        before = Checkpoint.objects.values().get()
        lagging = SorobanClient(behind.url, retries=0)
        with pytest.raises(NodeLagging):
            sync_pass(lagging)
        lagging.close()
    assert Checkpoint.objects.values().get() == before


def test_what_is_asked_for_again_costs_no_call_and_is_written_once(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(sandbox, times=5)
    catch_up(client_of_chain)
    events = ContractEvent.objects.count()
    sandbox.chain.close_ledger()
    sync_pass(client_of_chain)
    run = SyncRun.objects.latest("id")
    assert (run.counts["calls"], run.counts["events"]) == (2, 0)
    assert ContractEvent.objects.count() == events
    monkeypatch.setattr(pages, "OVERLAP", 0)
    sandbox.chain.close_ledger()
    sync_pass(client_of_chain)
    assert SyncRun.objects.latest("id").counts["calls"] == 2
