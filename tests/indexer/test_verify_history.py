"""The deep sweep: history against its entries, a share of the groups a day, and what is no drift."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from ajo.indexer import backfill, heal, verify_history
from ajo.indexer.follow import sync_pass
from ajo.indexer.tasks import sweep
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.commands import run_command
from tests.support.following import assert_equal, catch_up, make_groups, make_paid_round
from tests.support.histories import DAY, History

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_group_is_looked_at_deeply_within_a_day_a_share_beside_each_sweep(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks without the deep sweep in the task that beat sends: what no event announced would be found by nobody."""
    sweep()  # the tables are not filled yet: it leaves without a word
    make_groups(sandbox, 7)
    catch_up(client_of_chain)
    monkeypatch.setattr(verify_history, "DEEP_BATCH", 2)
    settings.SWEEP_INTERVAL = verify_history.DAY_SECONDS // 3
    for _ in range(4):
        sweep()
    ended = SyncRun.objects.exclude(kind=SyncRun.Kind.SYNC).order_by("id").values_list("kind", "counts__groups")
    shallow = (SyncRun.Kind.SWEEP, 7)
    assert list(ended) == [pair for groups in (3, 3, 1, 3) for pair in (shallow, (SyncRun.Kind.DEEP_SWEEP, groups))]
    assert Checkpoint.objects.get().deep_swept_to == 3


def test_a_contribution_that_is_missing_and_one_without_an_entry_are_corrected_by_the_deep_sweep(
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


def test_a_deep_sweep_that_is_asked_for_looks_at_every_group_wherever_the_days_round_is(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 5)
    catch_up(client_of_chain)
    Checkpoint.objects.update(deep_swept_to=3)
    run_command("sweep", "--deep")
    assert SyncRun.objects.filter(kind=SyncRun.Kind.DEEP_SWEEP).latest("id").counts["groups"] == 5
    assert Checkpoint.objects.get().deep_swept_to == 0


def test_what_a_gap_hides_is_no_drift(sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings) -> None:
    History(sandbox.chain, 8).walk(40)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    History(sandbox.chain, 9).walk(20)
    settings.RPC_EVENTS_LIMIT = 3
    assert not sync_pass(client_of_chain).caught_up
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert HistoryGap.objects.get().recovered_at is None
    assert Checkpoint.objects.get().drift["history"] == 0


def test_a_row_that_came_while_a_deep_sweep_read_is_not_unconfirmed(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, first = sandbox.chain, make_paid_round(sandbox)
    catch_up(client_of_chain)
    read = backfill.read_history

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        chain.advance(2 * DAY)
        for fn, *arguments in (("execute_payout", 1), ("contribute", first, 1)):
            assert chain.call(first, fn, *arguments).error is None
        chain.close_ledger()
        catch_up(client_of_chain)
        return read(*args, **kwargs)

    monkeypatch.setattr(heal, "read_history", meanwhile)
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert SyncRun.objects.filter(kind=SyncRun.Kind.DEEP_SWEEP).latest("id").counts["unproven"] == 0
    assert not Group.objects.unconfirmed().exists()
