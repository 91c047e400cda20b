"""Two at once: one row, no error, the newer state."""

import threading
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.lease import Superseded, lease
from ajo.soroban.models import Checkpoint, ContractEvent, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, User
from groups.snapshots import GroupReader
from groups.sync import write_groups
from tests.support.comparison import differences
from tests.support.following import assert_equal, make_groups
from tests.support.histories import History, contract_entries
from tests.support.threads import run_concurrently
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def test_wallets_are_made_once_by_many() -> None:
    addresses = wallets(50)
    orders = [addresses, addresses[::-1], addresses[20:], addresses[:30]]
    assert run_concurrently([partial(User.objects.ensure, some) for some in orders]) == []
    assert User.objects.count() == 50


def test_groups_are_written_once_by_many_and_the_newer_reading_stays(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    history = History(sandbox.chain, 4)
    history.walk(20)
    ids = history.groups[:]
    reader = GroupReader(client_of_chain, sandbox.contract)
    older = reader.read(ids).groups.copy()
    history.walk(20)
    newer = GroupReader(client_of_chain, sandbox.contract).read(ids).groups
    assert older != newer
    assert run_concurrently([partial(write_groups, r) for r in (newer, older, newer, older)]) == []
    write_groups(older)
    stored = {group.pk: group.entry_xdr for group in Group.objects.all()}
    assert stored == {group_id: reading.group_xdr for group_id, reading in newer.items()}


def test_contributions_are_recorded_once_by_many(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    History(sandbox.chain, 5).walk(30)
    sync_pass(client_of_chain)
    rows = list(Contribution.objects.values("group_id", "user_id", "round", "amount", "event_id"))
    assert rows
    Contribution.objects.all().delete()

    def record() -> None:
        Contribution.objects.record(rows)

    assert run_concurrently([record] * 4) == []
    assert Contribution.objects.count() == len(rows)


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


def test_a_lease_is_held_by_one_and_taken_over_when_its_holder_is_gone() -> None:
    with lease("sync"):
        with pytest.raises(Superseded), lease("sync"):
            pass
        with lease("sweep"):
            pass
    with lease("sync") as held:
        held.renew()


def test_a_rebuild_waits_for_the_lease_of_a_pass_that_is_running() -> None:
    taken, waiting = threading.Event(), threading.Event()

    def a_pass() -> None:
        with lease("sync"):
            taken.set()
            assert waiting.wait(10)

    def a_rebuild() -> None:
        assert taken.wait(10)
        with pytest.raises(Superseded), lease("sync"):
            pass
        threading.Timer(0.3, waiting.set).start()
        with lease("sync", patience=10):
            pass

    assert run_concurrently([a_pass, a_rebuild]) == []


def test_a_pass_keeps_its_lease_however_long_it_reads(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the lease were renewed only before the rows are written: another pass would begin meanwhile, the first
    leave it what it has read, and so on, for as long as the chain is slow.
    """
    monkeypatch.setattr("ajo.indexer.lease.LASTS", timedelta(seconds=2))
    monkeypatch.setattr("ajo.indexer.lease.RENEW_AFTER", 0.0)
    answer, ended, others = sandbox.rpc.call, threading.Event(), []

    def slow(method: str, params: Any) -> Any:
        time.sleep(0.5)
        return answer(method, params)

    def first() -> None:
        try:
            run_pass()
        finally:
            ended.set()

    def next_ones() -> None:
        time.sleep(0.3)
        while not ended.is_set():
            try:
                run_pass()
            except Superseded as failure:
                others.append(failure)
            time.sleep(0.05)

    make_groups(sandbox, 3)
    monkeypatch.setattr(sandbox.rpc, "call", slow)
    assert run_concurrently([first, next_ones]) == []
    assert len(others) > 5
    assert list(SyncRun.objects.values_list("outcome", flat=True)) == [SyncRun.Outcome.OK]
    assert_equal(sandbox)
