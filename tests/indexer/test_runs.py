"""SyncRun rows: how a run ended, in whatever words; old ones go, the newest of each kind stay."""

from datetime import timedelta

import pytest
from django.utils import timezone

from ajo.indexer import runs
from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.rebuild import rebuild_groups
from ajo.indexer.tasks import prune_runs, sync
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.models import SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox
from tests.support.answers import count_calls
from tests.support.following import assert_equal, catch_up, make_groups

SYNC, SWEEP = SyncRun.Kind.SYNC, SyncRun.Kind.SWEEP
OK, RUNNING = SyncRun.Outcome.OK, SyncRun.Outcome.RUNNING


def made(kind: SyncRun.Kind, days: float, outcome: SyncRun.Outcome = OK) -> int:
    started_at = timezone.now() - timedelta(days=days)
    return SyncRun.objects.create(kind=kind, outcome=outcome, started_at=started_at).pk


def left() -> set[int]:
    return set(SyncRun.objects.values_list("pk", flat=True))


@pytest.mark.django_db
def test_runs_older_than_the_setting_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PRUNE_BATCH", 2)  # so that it takes more than one batch
    for days in (90, 80, 70, 60, 50):
        made(SYNC, days)
    young = {made(SYNC, 13.9), made(SYNC, 1)}
    prune_runs.apply()
    assert left() == young


@pytest.mark.django_db
def test_the_newest_of_each_kind_and_the_newest_that_ended_stay_however_old() -> None:
    made(SWEEP, 99)
    made(SYNC, 98)
    kept = {made(SWEEP, 97), made(SYNC, 96), made(SYNC, 95, RUNNING)}
    assert runs.prune(14) == 2
    assert left() == kept


@pytest.mark.django_db
def test_a_second_time_there_is_nothing_to_delete() -> None:
    for days in (30, 20, 1):
        made(SYNC, days)
    assert (runs.prune(14), runs.prune(14)) == (2, 0)


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_process_died_is_closed_by_the_next(sandbox: Sandbox) -> None:
    dead = SyncRun.objects.create(kind=SyncRun.Kind.SYNC)
    other = SyncRun.objects.create(kind=SyncRun.Kind.SWEEP)
    make_groups(sandbox, 1)
    run_pass()
    dead.refresh_from_db()
    other.refresh_from_db()
    assert (dead.outcome, other.outcome) == (SyncRun.Outcome.FAILED, SyncRun.Outcome.RUNNING)
    assert (dead.finished_at is not None, "killed" in dead.reason) == (True, True)


@pytest.mark.django_db(transaction=True)
def test_a_run_counts_every_request_that_it_sends(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if each caller counted its own: second requests, and those before the first page, would be missing."""
    make_groups(sandbox, 2)
    calls = count_calls(sandbox)
    sync_pass(client_of_chain)
    assert SyncRun.objects.latest("id").counts["calls"] == calls.total() > 2
    for job in (sweep_groups, sweep_deep, rebuild_groups):
        calls.clear()
        list(job(lambda read: read(client_of_chain)))
        assert SyncRun.objects.latest("id").counts["calls"] == calls.total() > 0


ERRORS = ["a\\u0000b", "\\ud800", "startLedger must be within the ledger range: 5 - " + "9" * 300]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("message", ERRORS)
@pytest.mark.parametrize("code", [-32600, -32602, -32603, 10**30])
def test_a_nodes_words_are_stored_whatever_they_are(
    sandbox: Sandbox, client_of_chain: SorobanClient, message: str, code: int
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    body = f'{{"jsonrpc":"2.0","id":"$id","error":{{"code":{code},"message":"{message}"}}}}'
    sandbox.answer_next(200, body.encode())
    with pytest.raises(ChainError):
        sync_pass(client_of_chain)
    assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED
    sandbox.answer_next(200, body.encode(), times=9)
    nodes.cache_clear()
    sync()
    sandbox.server.canned.clear()
    catch_up(client_of_chain)
    assert_equal(sandbox)
