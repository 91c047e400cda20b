"""The sync against the sandbox over HTTP: whatever happened on the chain, the tables equal its entries."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from stellar_sdk import scval

from ajo import cache
from ajo.indexer.follow import sync_pass
from ajo.indexer.solvency import check_solvency
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import RpcUnavailable
from contributions.models import Contribution, Payout
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group, GroupMember, Token
from tests.support.answers import count_calls
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import DAY, History
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("seed", range(4))
def test_tables_equal_the_chain_after_a_random_history(
    sandbox: Sandbox, client_of_chain: SorobanClient, seed: int, settings: Settings
) -> None:
    settings.RPC_EVENTS_LIMIT = 7  # pages that end anywhere, inside transactions too
    history = History(sandbox.chain, seed)
    for _ in range(4):
        history.walk(20)
        catch_up(client_of_chain)
        list(sweep_groups(lambda read: read(client_of_chain)))  # names change without an event
        assert_equal(sandbox)
    assert Contribution.objects.exists()
    assert Payout.objects.exists()
    assert not GroupMember.objects.filter(joined_at=None).exists()
    assert Checkpoint.objects.get().ledger == sandbox.chain.latest


def test_a_second_pass_changes_nothing(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    History(sandbox.chain, 11).walk(30)
    catch_up(client_of_chain)
    before = list(Group.objects.order_by("id").values()), list(Contribution.objects.order_by("id").values())
    catch_up(client_of_chain)
    assert before == (list(Group.objects.order_by("id").values()), list(Contribution.objects.order_by("id").values()))


def test_an_idle_pass_costs_two_calls(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    History(sandbox.chain, 3).walk(10)
    catch_up(client_of_chain)
    sandbox.chain.close_ledger()
    sync_pass(client_of_chain)
    assert SyncRun.objects.latest("id").counts["calls"] == 2


def test_a_page_that_is_played_again_is_written_once(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """What a node that delivers twice, or a pass that died after its commit, leads to."""
    History(sandbox.chain, 5).walk(40)
    catch_up(client_of_chain)
    Checkpoint.objects.update(cursor="")
    events = ContractEvent.objects.count()
    catch_up(client_of_chain)
    assert ContractEvent.objects.count() == events
    assert_equal(sandbox)


def test_one_transaction_with_several_contributions_gives_several_rows(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    chain = sandbox.chain
    members = wallets(3)
    for wallet in members:
        chain.fund(wallet)
    group = chain.call(members[0], "create_group", members[0], chain.token, 50, DAY, 3, 0, 0, 0).result
    for wallet in members[1:]:
        chain.call(wallet, "join_group", wallet, group)
    chain.close_ledger()
    pay_all(sandbox, members, [group] * 3)
    chain.close_ledger()
    catch_up(client_of_chain)
    rows = Contribution.objects.all()
    assert len(rows) == 3
    assert len({row.tx_hash for row in rows}) == 1
    assert len({row.event_id for row in rows}) == 3
    assert_equal(sandbox)


def pay_all(sandbox: Sandbox, members: list[str], groups: list[int]) -> None:
    """One transaction of a router contract: `contribute` for each pair of member and group."""
    arguments = (
        scval.to_address(sandbox.contract),
        scval.to_vec([scval.to_address(member) for member in members]),
        scval.to_vec([scval.to_uint64(group) for group in groups]),
    )
    chain = sandbox.chain
    done = chain.submit(members[0], "contribute_all", [a.to_xdr() for a in arguments], on=chain.contracts.router)
    assert done.error is None


def test_a_name_reaches_the_tables_by_the_sweep_and_counts_as_drift(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """set_group_metadata emits no event: only comparing finds it."""
    chain = sandbox.chain
    (creator,) = wallets(1)
    chain.call(creator, "create_group", creator, chain.token, 50, DAY, 3, 0, 0, 0)
    chain.close_ledger()
    chain.close_ledger(100)  # of a group that nobody has touched for minutes
    catch_up(client_of_chain)
    chain.call(creator, "set_group_metadata", 1, b"caf\xc3\xa9 \xff\x00", b"what", b"rules")
    chain.close_ledger()
    catch_up(client_of_chain)
    assert Group.objects.get().name == ""
    assert [step.done for step in sweep_groups(lambda read: read(client_of_chain))] == [1]
    assert Group.objects.get().name == "café \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
    assert SyncRun.objects.latest("id").counts["drift_metadata"] == 1
    assert Checkpoint.objects.get().drift_total == 1
    assert "café".encode() in group_answer(1).body


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


def test_a_sweep_of_unchanged_groups_costs_one_call_for_a_hundred(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 250)
    catch_up(client_of_chain)
    list(sweep_groups(lambda read: read(client_of_chain)))
    run = SyncRun.objects.latest("id")
    assert (run.counts["calls"], run.counts["groups"], run.counts["groups_changed"]) == (3, 250, 0)


@pytest.mark.parametrize("sweep", [sweep_groups, sweep_deep])
def test_a_sweep_that_was_killed_goes_on_where_it_was(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajo.indexer.verify.BATCH", 10)
    monkeypatch.setattr("ajo.indexer.verify_history.BATCH", 10)
    make_groups(sandbox, 25)
    catch_up(client_of_chain)
    steps = sweep(lambda read: read(client_of_chain))
    assert next(steps).done == 10
    steps.close()
    assert [step.done for step in sweep(lambda read: read(client_of_chain))] == [20, 25]
    assert [step.done for step in sweep(lambda read: read(client_of_chain))] == [10, 20, 25]


def test_an_empty_database_takes_all_groups_though_their_events_are_pruned(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks without `_load_state` (no groups), `_note_first_gap` (nothing says so) or `recover_gaps` (no history)."""
    History(sandbox.chain, 21).walk(40)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    gap = HistoryGap.objects.get()
    assert gap.from_ledger == 0
    assert gap.recovered_at is not None
    recovered = Contribution.objects.filter(event_id=None)
    assert recovered.exists()
    assert not recovered.exclude(tx_hash=None, created_at=None).exists()


def test_events_pruned_while_the_sync_was_away_are_a_gap_and_what_they_told_is_recovered(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks without `_out_of_range` (refused for ever), or with a gap that begins where the node's window does."""
    history = History(sandbox.chain, 8)
    history.walk(30)
    catch_up(client_of_chain)
    left = Checkpoint.objects.get().ledger
    history.walk(30)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    history.walk(10)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    gap = HistoryGap.objects.get()
    assert gap.from_ledger == left
    assert gap.to_ledger >= sandbox.chain.range().first - 1


def test_a_recovered_contribution_is_completed_not_doubled_when_its_event_turns_up(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if `record` knew a row by its event: the recovered one has none."""
    History(sandbox.chain, 5).walk(40)
    catch_up(client_of_chain)
    told = list(Contribution.objects.order_by("id").values())
    Contribution.objects.update(event_id=None, tx_hash=None, ledger=None, created_at=None)
    Checkpoint.objects.update(cursor="")
    catch_up(client_of_chain)
    assert list(Contribution.objects.order_by("id").values()) == told


def test_a_lagging_node_is_no_gap_and_nothing_goes_back(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if -32600 alone were a gap: a cursor ahead of the node gets the same words."""
    history = History(sandbox.chain, 5)
    history.walk(20)
    behind = sandbox.chain.replica()
    history.walk(20)
    catch_up(client_of_chain)
    before = Checkpoint.objects.values().get()
    with Sandbox(behind) as lagging:
        slow = SorobanClient(lagging.url, retries=0)
        with pytest.raises(RpcUnavailable):
            sync_pass(slow)
        slow.close()
    assert Checkpoint.objects.values().get() == before
    assert not HistoryGap.objects.exists()
    assert_equal(sandbox)


GARBAGE = [
    (200, b"<html>maintenance</html>"),
    (200, b""),
    (200, b'{"jsonrpc":"2.0","id":"$id","result":null}'),
    (200, b'{"jsonrpc":"2.0","id":"$id","result":{"events":[{"type":"contract"}]}}'),
    (200, b'{"jsonrpc":"2.0","id":"another","result":{}}'),
    (200, b'{"jsonrpc":"2.0","id":"$id","result":{"events"'),
    (200, b'{"jsonrpc":"2.0","id":"$id","error":{"code":-32603,"message":"database is locked"}}'),
    (200, b"[1, 2]"),
    (500, b"oh no"),
    (503, b"busy"),
    (504, b""),
]


@pytest.mark.parametrize(("status", "body"), GARBAGE)
def test_garbage_from_the_rpc_ends_the_pass_with_its_reason_and_the_next_one_goes_on(
    sandbox: Sandbox, client_of_chain: SorobanClient, status: int, body: bytes
) -> None:
    history = History(sandbox.chain, 9)
    history.walk(15)
    catch_up(client_of_chain)
    before = Checkpoint.objects.values().get()
    history.walk(15)
    sandbox.answer_next(status, body)
    with pytest.raises(RpcUnavailable):
        sync_pass(client_of_chain)
    assert Checkpoint.objects.values().get() == before
    run = SyncRun.objects.latest("id")
    assert run.outcome == SyncRun.Outcome.FAILED
    assert run.reason
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_a_contribution_that_is_missing_and_one_without_an_entry_are_put_right_by_the_deep_sweep(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    History(sandbox.chain, 5).walk(40)
    catch_up(client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain)))
    clean = SyncRun.objects.latest("id").counts
    assert (clean["drift_history"], clean["unproven"]) == (0, 0)
    lost = Contribution.objects.order_by("id").values().first()
    assert lost
    Contribution.objects.filter(pk=lost["id"]).delete()
    Contribution.objects.create(group_id=lost["group_id"], user_id=lost["user_id"], round=99, amount=1)
    list(sweep_deep(lambda read: read(client_of_chain)))
    found = SyncRun.objects.latest("id").counts
    assert (found["drift_history"], found["unproven"]) == (2, 0)
    assert not Group.objects.unconfirmed().exists()
    again = Contribution.objects.values().get(event_id=lost["event_id"])
    assert again | {"id": 0} == lost | {"id": 0}
    assert_equal(sandbox)


def test_what_the_contract_holds_less_than_it_owes_is_counted(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    chain = sandbox.chain
    (creator,) = wallets(1)
    chain.fund(creator)
    chain.call(creator, "create_group", creator, chain.token, 5000, DAY, 3, 0, 0, 0)
    chain.call(creator, "create_group", creator, chain.token, 7000, DAY, 3, 0, 0, 100)
    chain.call(creator, "contribute", creator, 1)
    chain.close_ledger()
    catch_up(client_of_chain)
    counts = {"calls": 0}
    check_solvency(Checkpoint.objects.get(), counts, client_of_chain)
    token = Token.objects.get()
    assert (token.balance, int(token.owed), counts["insolvent_tokens"]) == (5000, 5000, 0)
    # the premium is booked in the pool and collected from nobody: the contract's own shortfall, and no alarm
    chain.call(creator, "contribute", creator, 2)
    chain.close_ledger()
    catch_up(client_of_chain)
    check_solvency(Checkpoint.objects.get(), counts, client_of_chain)
    token.refresh_from_db()
    assert (token.balance, int(token.owed), counts["insolvent_tokens"]) == (12000, 12070, 0)
    assert int(token.booked_premiums) == 70


def test_an_unknown_group_is_read_from_the_chain_once_and_an_impossible_one_never(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    Group.objects.filter(pk=2).delete()
    cache.invalidate_all()
    calls = count_calls(sandbox)
    assert b'"id":"2"' in group_answer(2).body
    assert calls == {"getNetwork": 1, "getLedgerEntries": 2}
    assert b'"id":"2"' in group_answer(2).body
    with pytest.raises(cache.Absent):
        group_answer(3)
    assert calls == {"getNetwork": 1, "getLedgerEntries": 2}


def test_the_number_of_statements_of_a_pass_does_not_grow_with_its_events(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)

    def statements(count: int) -> int:
        make_groups(sandbox, count)
        with CaptureQueriesContext(connection) as queries:
            catch_up(client_of_chain)
        return len(queries)

    assert statements(2) == statements(60)
