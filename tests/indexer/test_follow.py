"""The sync against the sandbox over HTTP: whatever happened on the chain, the tables equal its entries."""

from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from stellar_sdk import scval

from ajo.indexer.follow import sync_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.verify import sweep_groups
from ajo.soroban.contract.codec import b64
from ajo.soroban.contract.keys import GroupKey, InstanceKey
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, RpcUnavailable
from contributions.models import Contribution, Payout
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group, GroupMember
from tests.support.answers import corrupt_answer
from tests.support.comparison import differences
from tests.support.following import assert_equal, catch_up, make_groups, read_entry, write_entry
from tests.support.histories import DAY, History, contract_entries
from tests.support.threads import run_concurrently
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
    """A node delivers twice, or a pass died after its commit."""
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


def test_a_contract_of_which_nothing_can_be_read_fills_no_tables(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    key = InstanceKey()
    entry = read_entry(sandbox, key)
    write_entry(sandbox, key, read_entry(sandbox, GroupKey(1)))
    with pytest.raises(ChainError, match="no contract that this version can read"):
        catch_up(client_of_chain)
    assert not Checkpoint.objects.get().is_loaded
    assert UndecodedEntry.objects.get().key == key.to_xdr(sandbox.contract)
    write_entry(sandbox, key, entry)
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_of_two_passes_at_once_one_runs_and_the_tables_are_right(sandbox: Sandbox) -> None:
    History(sandbox.chain, 6).walk(40)
    clients = [SorobanClient(sandbox.url, retries=0) for _ in range(4)]
    failures = run_concurrently([partial(sync_pass, c) for c in clients])
    assert all(isinstance(failure, Superseded) for failure in failures)
    assert len(failures) < 4
    sync_pass(clients[0])
    for client in clients:
        client.close()
    assert differences(contract_entries(sandbox.chain)) == []
    assert Checkpoint.objects.count() == 1


def test_without_the_lease_the_cursors_compare_and_set_keeps_two_passes_apart(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    History(sandbox.chain, 6).walk(10)
    sync_pass(client_of_chain)
    before = Checkpoint.objects.get()
    History(sandbox.chain, 7).walk(10)
    sync_pass(client_of_chain)
    events = ContractEvent.objects.count()
    assert not Checkpoint.objects.advance(before, cursor="0000000000000000001-0000000000")
    assert ContractEvent.objects.count() == events


UNKNOWN = b64(scval.to_symbol("merged").to_xdr_bytes())


def test_an_event_that_no_version_here_knows_has_its_group_read_again(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    (_, second) = wallets(2)
    sandbox.chain.call(second, "join_group", second, 1)
    sandbox.chain.close_ledger()
    corrupt_answer(
        sandbox, "getEvents", lambda answer: [e.update(topic=[UNKNOWN, e["topic"][1]]) for e in answer["events"]]
    )
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_what_is_announced_twice_is_written_once(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 1)
    (creator,) = wallets(1)
    sandbox.chain.fund(creator)
    sandbox.chain.call(creator, "contribute", creator, 1)
    sandbox.chain.close_ledger()

    def twice(answer: Any) -> None:
        again = [dict(each, id=each["id"][:-1] + "7") for each in answer["events"]]
        answer["events"] = sorted(answer["events"] + again, key=lambda each: str(each["id"]))

    corrupt_answer(sandbox, "getEvents", twice)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    assert Contribution.objects.get().event_id is not None


def test_tokens_that_cannot_be_read_hold_nothing_up(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RpcUnavailable("too many kilobytes")

    monkeypatch.setattr("ajo.indexer.follow.read_tokens", refuse)
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    assert_equal(sandbox)
