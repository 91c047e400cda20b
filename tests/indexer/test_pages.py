"""A node that calls a ledger its newest before it shows that ledger's events: they are found with the next passes."""

from typing import Any

import pytest
from pytest_django import Settings

from ajo.indexer import pages
from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract import events
from ajo.soroban.models import LEDGER_SLACK, Checkpoint, ContractEvent, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group
from tests.support.answers import corrupt_answer, count_calls, restore_answers
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import DAY, History
from tests.support.nodes import use_nodes
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def hide(sandbox: Sandbox, times: int = 1, after: int = 0) -> None:
    """Leave the events of later ledgers than `after` (or of the newest one) out of the next pages, their ends as is."""

    def without(answer: dict[str, Any]) -> None:
        last = after or answer["latestLedger"] - 1
        answer["events"] = [each for each in answer["events"] if each["ledger"] <= last]

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
    assert calls["getEvents"] == (1 if ledgers <= LEDGER_SLACK else 2)  # so far ahead, a second request confirms it
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
    monkeypatch.setattr(pages, "OVERLAP_LEDGERS", 0)
    sandbox.chain.close_ledger()
    sync_pass(client_of_chain)
    assert SyncRun.objects.latest("id").counts["calls"] == 2


def test_a_page_that_leads_nowhere_is_refused(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if an empty page with the cursor that was asked for, far behind its newest ledger, were a page like
    others: the next one would be the same, at once and for ever.
    """
    make_groups(sandbox, 1)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as stuck:
        make_groups(sandbox, 1)
        stuck.chain.catch_up(sandbox.chain)
        cursor = Checkpoint.objects.get().cursor
        corrupt_answer(stuck, "getEvents", lambda answer: answer.update(events=[], cursor=cursor), times=100)
        use_nodes(settings, stuck, sandbox)
        run_pass()
        assert_equal(sandbox)


def test_an_event_from_before_the_cursor_is_not_read_another_way(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks without the look at ids: the same event for another member meets its own row, in every pass."""
    first, second = wallets(2)
    sandbox.chain.fund(first)
    make_groups(sandbox, 1)
    sandbox.chain.call(second, "join_group", second, 1)
    sandbox.chain.call(first, "contribute", first, 1)
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    row = ContractEvent.objects.get(type="contrib")
    topics, value = events.Contribution(1, 1, second, 50).encode()
    old = {
        "type": "contract", "ledger": row.ledger, "ledgerClosedAt": "2026-01-01T00:00:00Z", "id": row.id,
        "contractId": sandbox.contract, "txHash": row.tx_hash, "topic": list(topics), "value": value,
    }  # fmt: skip
    corrupt_answer(sandbox, "getEvents", lambda answer: answer["events"].insert(0, old))
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_a_name_that_is_set_seconds_after_the_groups_creation_comes_with_the_next_pass(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if a pass read only what events speak of: the group would have no name until a sweep came by."""
    chain, (creator,) = sandbox.chain, wallets(1)
    make_groups(sandbox, 150)
    catch_up(client_of_chain)
    for name in (b"Market women", b"Women of the market", b""):
        chain.close_ledger()
        chain.call(creator, "set_group_metadata", 1, name, b"what", b"")
        chain.call(creator, "set_group_metadata", 150, name, b"what", b"")
        chain.close_ledger()
        catch_up(client_of_chain)
        assert SyncRun.objects.latest("id").counts["calls"] == 4
        assert set(Group.objects.filter(id__in=[1, 150]).values_list("name", flat=True)) == {name.decode()}
        assert f'"name":"{name.decode()}"'.encode() in group_answer(150).body
        assert_equal(sandbox)
    chain.close_ledger()
    catch_up(client_of_chain)
    assert SyncRun.objects.latest("id").counts["calls"] == 2
    assert Checkpoint.objects.get().drift_total == 0


def test_names_of_groups_touched_lately_are_looked_at_as_far_as_the_call_has_room(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    chain, (creator,) = sandbox.chain, wallets(1)
    make_groups(sandbox, 250)
    catch_up(client_of_chain)
    for group in (1, 250):
        chain.call(creator, "set_group_metadata", group, b"Name", b"", b"")
    chain.close_ledger()
    catch_up(client_of_chain)
    assert list(Group.objects.exclude(name="").values_list("id", flat=True)) == [250]
    make_groups(sandbox, 199)  # which leave no room for others beside the contract's own entry
    chain.call(creator, "set_group_metadata", 240, b"Name", b"", b"")
    chain.close_ledger()
    sync_pass(client_of_chain)
    assert list(Group.objects.exclude(name="").values_list("id", flat=True)) == [250]
    list(sweep_groups(lambda read: read(client_of_chain)))
    assert_equal(sandbox)
