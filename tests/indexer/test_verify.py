"""The sweep: what it asks of a node, how it goes on with one that manages less, and which drift it finds."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ajo.indexer.follow import run_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.archival import archived, expiring_soon
from ajo.soroban.contract.keys import ContribKey, GroupKey, MetadataKey, PayoutKey, RefundRequestKey, code_key
from ajo.soroban.models import Checkpoint, RpcNode, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, RpcInvalidAnswer, RpcLimitExceeded, RpcRejected
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.rpc_error import RpcError
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.commands import run_command
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import DAY
from tests.support.nodes import use_nodes
from tests.support.sweeps import drifted
from tests.support.threads import run_concurrently
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def allow(sandbox: Sandbox, keys: int) -> None:
    """From now on the node gives up on more keys than that."""
    answer = sandbox.rpc.call

    def call(method: str, params: Any) -> Any:
        if method == "getLedgerEntries" and len(params["keys"]) > keys:
            raise RpcError(-32001, "request exceeded processing limit threshold")
        return answer(method, params)

    sandbox.rpc.call = call  # type: ignore[method-assign]


def extend(sandbox: Sandbox, key: str, until: int) -> None:
    """Give an entry another end, as anybody on a network can."""
    name = base64.b64decode(key)
    with sandbox.chain.store.ledger():
        stored = sandbox.chain.store.entry(name)
        assert stored is not None
        sandbox.chain.store.put_entry(name, replace(stored, live_until=until))


def test_a_call_about_unchanged_groups_costs_one_statement(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """It is the prepared one that reads the rows. Django's own ones are as many whatever the number of calls."""
    make_groups(sandbox, 8)
    catch_up(client_of_chain)
    new_client = SorobanClient(client_of_chain.url)  # the other has confirmed a ledger

    def sweep() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as queries:
            list(sweep_groups(lambda read: read(new_client)))
        return len(queries), SyncRun.objects.filter(kind=SyncRun.Kind.SWEEP).latest("pk").counts["calls"]

    statements, calls = sweep()
    allow(sandbox, 2)
    assert sweep() == (statements, calls + 7)


@pytest.mark.parametrize("sweep", [sweep_groups, sweep_deep])
def test_a_node_that_gives_up_on_many_groups_is_asked_for_fewer(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Callable[..., Any]
) -> None:
    make_groups(sandbox, 21)
    catch_up(client_of_chain)
    Group.objects.filter(id__in=[3, 20]).update(entry_xdr="AAAA", member_count=9)
    allow(sandbox, 12)
    assert [step.done for step in sweep(lambda read: read(client_of_chain))] == [21]
    assert_equal(sandbox)
    counts = SyncRun.objects.latest("id").counts
    assert (counts["groups"], counts["drift_state"]) == (21, 2)
    assert Checkpoint.objects.get().drift_total == 2


@pytest.mark.parametrize("sweep", [sweep_groups, sweep_deep])
def test_a_node_that_gives_up_on_a_single_group_fails_the_sweep(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Callable[..., Any]
) -> None:
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    allow(sandbox, 0)
    with pytest.raises(RpcLimitExceeded):
        list(sweep(lambda read: read(client_of_chain)))
    assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED


def test_the_ends_of_entries_are_followed_though_nothing_else_changes(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 3)
    catch_up(client_of_chain)
    before = dict(Group.objects.values_list("id", "revision"))
    extend(sandbox, GroupKey(1).to_xdr(sandbox.contract), sandbox.chain.latest - 1)
    extend(sandbox, GroupKey(2).to_xdr(sandbox.contract), 9_999_999)
    kept = Group.objects.get(pk=3).live_until_ledger
    list(sweep_groups(lambda read: read(client_of_chain)))
    assert dict(Group.objects.values_list("id", "live_until_ledger")) == {1: 0, 2: 9_999_999, 3: kept}
    assert dict(Group.objects.values_list("id", "revision")) == before
    assert Checkpoint.objects.get().drift_total == 0


def test_a_group_ends_with_the_first_of_its_entries(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks where only the GROUP entry's end is looked at: texts, votes and payments would be archived unseen."""
    first, second = wallets(2)
    chain, contract = sandbox.chain, sandbox.contract
    for wallet in (first, second):
        chain.fund(wallet)
    make_groups(sandbox, 1)
    chain.call(first, "set_group_metadata", 1, b"Name", b"", b"")
    chain.call(second, "join_group", second, 1)
    for wallet in (first, second):
        chain.call(wallet, "contribute", wallet, 1)
    chain.close_ledger()
    chain.advance(2 * DAY)
    for fn, *arguments in (("execute_payout", 1), ("contribute", second, 1)):
        assert chain.call(second, fn, *arguments).error is None
    chain.close_ledger()
    catch_up(client_of_chain)
    paid = [ContribKey(1, *each) for each in ((1, first), (1, second), (2, second))]
    for number, key in enumerate((GroupKey(1), MetadataKey(1), *paid, PayoutKey(1, first))):
        extend(sandbox, key.to_xdr(contract), 9_999_999 - number)
    code = code_key(Checkpoint.objects.get().wasm_hash)
    extend(sandbox, code, 7_777_777)
    list(sweep_groups(lambda read: read(client_of_chain)))
    assert Group.objects.get().live_until_ledger == 9_999_998
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert Group.objects.values_list("live_until_ledger", "history_live_until_ledger").get() == (9_999_998, 9_999_994)
    assert Checkpoint.objects.get().code_live_until_ledger == 7_777_777

    chain.close_ledger()
    chain.advance(8 * DAY)
    assert chain.call(first, "request_refund", first, 1).error is None
    chain.close_ledger()
    catch_up(client_of_chain)
    extend(sandbox, RefundRequestKey(1).to_xdr(contract), chain.latest - 1)
    for found, wanted in ((archived, 0), (expiring_soon, 0)):
        assert found(Group.objects.all(), chain.latest).count() == wanted
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert list(archived(Group.objects.all(), chain.latest)) == [Group(id=1)]
    extend(sandbox, RefundRequestKey(1).to_xdr(contract), chain.latest + 5)
    extend(sandbox, code, chain.latest + 5)
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert list(expiring_soon(Group.objects.all(), chain.latest)) == [Group(id=1)]
    assert expiring_soon(Checkpoint.objects.all(), chain.latest).exists()


def test_a_row_that_is_newer_than_the_answer_or_missing(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 3)
    catch_up(client_of_chain)
    Group.objects.get(pk=1).memberships.all().delete()
    Group.objects.filter(pk=1).delete()
    Group.objects.filter(pk=2).update(entry_xdr="from a later ledger", synced_ledger=sandbox.chain.latest + 1)
    list(sweep_groups(lambda read: read(client_of_chain)))
    assert Group.objects.get(pk=2).entry_xdr == "from a later ledger"
    Group.objects.filter(pk=2).update(synced_ledger=1)
    list(sweep_groups(lambda read: read(client_of_chain), [2]))
    assert_equal(sandbox)


@pytest.mark.parametrize("fails", [RpcLimitExceeded("no"), RpcRejected(-32602, "no")])
def test_a_node_that_fails_while_postgresql_answers_leaves_the_connection_fit_for_more(
    client_of_chain: SorobanClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, fails: ChainError
) -> None:
    """Breaks if rows that nobody fetched stayed in the connection: the next statement would find them in its way."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)

    def refuse(*_: object, **__: object) -> Any:
        raise fails

    monkeypatch.setattr(client_of_chain, "get_entries", refuse)
    with pytest.raises(type(fails)):
        list(sweep_groups(lambda read: read(client_of_chain)))
    assert SyncRun.objects.latest("id").reason.startswith(type(fails).__name__)


def test_what_is_no_base64_is_drift_to_no_sweep(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep compares without looking at the form; what differs is read anew, and then the node is left."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    answer = sandbox.rpc.call

    def call(method: str, params: Any) -> Any:
        found = answer(method, params)
        if method == "getLedgerEntries":
            found = found | {"entries": [each | {"xdr": "\0 none"} for each in found["entries"]]}
        return found

    monkeypatch.setattr(sandbox.rpc, "call", call)
    with pytest.raises(RpcInvalidAnswer, match="base64"):
        list(sweep_groups(lambda read: read(client_of_chain)))
    monkeypatch.undo()
    assert_equal(sandbox)
    assert not UndecodedEntry.objects.exists()


@pytest.mark.parametrize("sweep", [sweep_groups, sweep_deep])
def test_drift_is_told_apart_by_kind(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Callable[..., Any]
) -> None:
    make_groups(sandbox, 3)
    sandbox.chain.close_ledger(100)  # of groups that were touched lately a pass reads the names
    catch_up(client_of_chain)
    Group.objects.filter(pk=1).update(entry_xdr="AAAA")
    (creator,) = wallets(1)
    for group_id in (2, 3):
        sandbox.chain.call(creator, "set_group_metadata", group_id, b"Name", b"", b"")
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    list(sweep(lambda read: read(client_of_chain)))
    assert Checkpoint.objects.get().drift == {"state": 1, "metadata": 2, "history": 0}
    counts = SyncRun.objects.latest("id").counts
    assert (counts["drift_state"], counts["drift_metadata"]) == (1, 2)
    assert drifted() == [1, 2, 3]


def test_a_sweep_by_hand_looks_at_all_groups(sandbox: Sandbox) -> None:
    """Breaks if it went on where the worker's was killed, and ended there."""
    make_groups(sandbox, 4)
    run_command("sync")
    Checkpoint.objects.update(swept_to=3)
    Group.objects.filter(pk=1).update(entry_xdr="AAAA", member_count=2)
    run_command("sweep")
    assert_equal(sandbox)


def test_of_several_sweeps_at_once_one_runs(sandbox: Sandbox) -> None:
    """Breaks without the lease: each would find, heal and count the same differences."""
    make_groups(sandbox, 30)
    run_pass()
    Group.objects.update(entry_xdr="AAAA")
    failures = run_concurrently([lambda: list(sweep_groups(nodes().run))] * 3)
    assert [type(failure) for failure in failures] == [Superseded] * 2
    assert Checkpoint.objects.get().drift_state == 30
    assert_equal(sandbox)


def test_a_sweep_does_not_ask_a_node_that_lags(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if any answer would do: nothing that changed since would be found, and the node counted as well."""
    make_groups(sandbox, 2)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as behind:
        (creator,) = wallets(1)
        sandbox.chain.call(creator, "set_group_metadata", 1, b"New", b"", b"")
        sandbox.chain.close_ledger(1000)
        run_pass()
        use_nodes(settings, behind, sandbox)
        list(sweep_groups(nodes().run))
    assert "is at ledger 3, " in RpcNode.objects.get(name__startswith="1:").last_error
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
    monkeypatch.setattr("ajo.indexer.verify.COMPARE_BATCH", 10)
    monkeypatch.setattr("ajo.indexer.verify_history.DEEP_BATCH", 10)
    make_groups(sandbox, 25)
    catch_up(client_of_chain)
    steps = sweep(lambda read: read(client_of_chain))
    assert next(steps).done == 10
    steps.close()
    assert [step.done for step in sweep(lambda read: read(client_of_chain))] == [20, 25]
    assert [step.done for step in sweep(lambda read: read(client_of_chain))] == [10, 20, 25]
