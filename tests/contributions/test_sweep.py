"""What a sweep asks of a node, and how it goes on with one that manages less."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import DatabaseError
from pytest_django import Settings

from ajo.database.ahead import asked_ahead
from ajo.soroban.binding.keys import GroupKey
from ajo.soroban.client import SorobanClient
from ajo.soroban.errors import ChainError, RpcInvalidAnswer, RpcRejected, RpcTooMuch
from ajo.soroban.models import Checkpoint, SyncRun, UndecodedEntry
from ajo.soroban.sandbox.rpc_error import RpcError
from ajo.soroban.sandbox.sandbox import Sandbox
from contributions import deep_sweep
from contributions.deep_sweep import sweep_deep
from contributions.sweep import sweep_groups
from contributions.tasks import sweep
from groups.models import Group
from tests.following import assert_equal, catch_up, make_groups
from tests.histories import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def allow(sandbox: Sandbox, keys: int) -> None:
    """From now on the node gives up on more keys than that."""
    answer = sandbox.rpc.call

    def call(method: str, params: Any) -> Any:
        if method == "getLedgerEntries" and len(params["keys"]) > keys:
            raise RpcError(-32001, "request exceeded processing limit threshold")
        return answer(method, params)

    sandbox.rpc.call = call  # type: ignore[method-assign]


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
    with pytest.raises(RpcTooMuch):
        list(sweep(lambda read: read(client_of_chain)))
    assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED


def test_the_ends_of_entries_are_followed_though_nothing_else_changes(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 3)
    catch_up(client_of_chain)
    before = dict(Group.objects.values_list("id", "revision"))
    with sandbox.chain.store.ledger():
        for group_id, until in ((1, sandbox.chain.latest - 1), (2, 9_999_999)):
            key = base64.b64decode(GroupKey(group_id).to_xdr(sandbox.contract))
            stored = sandbox.chain.store.entry(key)
            assert stored is not None
            sandbox.chain.store.put_entry(key, replace(stored, live_until=until))
    kept = Group.objects.get(pk=3).live_until_ledger
    list(sweep_groups(lambda read: read(client_of_chain)))
    assert dict(Group.objects.values_list("id", "live_until_ledger")) == {1: 0, 2: 9_999_999, 3: kept}
    assert dict(Group.objects.values_list("id", "revision")) == before
    assert Checkpoint.objects.get().drift_total == 0


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


@pytest.mark.parametrize("fails", [RpcTooMuch("no"), RpcRejected(-32602, "no")])
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


def test_a_statement_that_fails_is_a_database_error_of_django() -> None:
    with pytest.raises(DatabaseError, match="nowhere"), asked_ahead("SELECT * FROM nowhere WHERE $1 = ''", "") as rows:
        rows()
    with asked_ahead("SELECT $1, NULL", "Ẹ") as rows:
        assert rows() == [["Ẹ".encode(), None]]


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


def test_every_group_is_looked_at_deeply_within_a_day_a_share_beside_each_sweep(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without the deep sweep in the task that beat sends: what no event told would be found by nobody."""
    sweep()  # the tables are not filled yet: it leaves without a word
    make_groups(sandbox, 7)
    catch_up(client_of_chain)
    monkeypatch.setattr(deep_sweep, "BATCH", 2)
    settings.SWEEP_INTERVAL = deep_sweep.DAY // 3
    for _ in range(4):
        sweep()
    ended = SyncRun.objects.exclude(kind=SyncRun.Kind.SYNC).order_by("id").values_list("kind", "counts__groups")
    shallow = (SyncRun.Kind.SWEEP, 7)
    assert list(ended) == [pair for groups in (3, 3, 1, 3) for pair in (shallow, (SyncRun.Kind.DEEP_SWEEP, groups))]
    assert Checkpoint.objects.get().deep_swept_to == 3


@pytest.mark.parametrize("sweep", [sweep_groups, sweep_deep])
def test_drift_is_told_apart_by_kind(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Callable[..., Any]
) -> None:
    make_groups(sandbox, 3)
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
