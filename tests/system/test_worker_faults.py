"""Workers that are killed at each step of a pass, two of everything, and a clock that steps back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from django.db import connection
from django.db.models import F

from ajo.soroban.models import Lease, SyncRun
from tests.support.faults import Gate
from tests.support.histories import DAY
from tests.support.proxy import Exchange, Reply
from tests.support.running import Running, kill_children
from tests.support.waiting import wait_for
from tests.support.wallets import wallets

pytestmark = [
    pytest.mark.system_long,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
CLOCK = Path(__file__).parents[1] / "support" / "clock"


@pytest.fixture(autouse=True)
def in_peace(up: Running) -> Iterator[None]:
    yield
    up.forgive()
    up.expire_lease()
    up.settle()
    assert up.events_lost() == set()


@pytest.mark.parametrize("requests", range(5))
def test_a_worker_killed_at_any_request_of_a_pass_leaves_nothing_half_done(up: Running, requests: int) -> None:
    """Breaks without the lease's end (nobody goes on: the test lets it run out) and, at the last requests, if the
    cursor were moved before the rows are written (`settle` and `events_lost`).
    """
    gate = Gate(requests)
    with up.reading() as seen:
        with up.first.failing(gate):
            up.history.walk(4)
            wait_for(gate.reached.is_set, what=f"request {requests}")
            kill_children(up.worker)
        up.expire_lease()
        with up.life():
            up.advances()
    assert seen.failures() == []


def test_a_worker_killed_inside_its_transaction_leaves_nothing_of_it(up: Running) -> None:
    """Breaks if the cursor were committed apart from the rows: the events of that page would never come again."""
    with up.reading("/api/v1/groups/1/") as seen:  # the locked table itself is what lists of history wait for
        with psycopg.connect(up.database_url) as own:
            own.execute("LOCK TABLE contributions_contribution IN ACCESS EXCLUSIVE MODE")
            until_history_is_written(up)
            kill_children(up.worker)
        up.expire_lease()
        up.settle()
    assert seen.failures() == []
    assert up.events_lost() == set()


def test_a_whole_worker_dies_and_another_one_takes_over(up: Running) -> None:
    """SIGKILL of parent and children, as when a machine dies. Breaks without the lease's end (the test lets it run out)
    and, for what is shown of it, if a run whose process died stayed "running" for good.
    """
    gate = Gate(1)
    with up.reading() as seen:
        with up.first.failing(gate):
            up.history.walk(3)
            wait_for(gate.reached.is_set, what="a pass")
            assert up.worker.process is not None
            worker = psutil.Process(up.worker.process.pid)
            for each in (*worker.children(recursive=True), worker):
                each.kill()
        up.worker = up.start_worker("worker-again")
        up.expire_lease()
        with up.life():
            up.advances()
    assert seen.failures() == []
    connection.close()
    passes = SyncRun.objects.filter(kind=SyncRun.Kind.SYNC)
    assert not passes.filter(outcome=SyncRun.Outcome.RUNNING, pk__lt=passes.latest("id").pk).exists()


def until_history_is_written(up: Running) -> None:
    """A pass waits for the lock, with its cursor moved and not committed."""
    with up.life(), psycopg.connect(up.database_url, autocommit=True) as eye:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_for(lambda: (eye.execute(waiting).fetchone() or [0])[0], what="a pass that waits for the lock")


def test_a_worker_killed_between_its_commit_and_the_cache_is_made_good_by_the_next_pass(up: Running) -> None:
    """Breaks if a pass refreshed only what it changed itself: the old bodies stay under the new label, and `settle`
    finds them.
    """
    gate, port = up.redis_gate, urlsplit(up.redis_url).port
    address = up.redis_url.replace(f":{port}/", f":{gate.port}/")
    chain, (creator, friend) = up.sandbox.chain, wallets(2)
    group = chain.call(creator, "create_group", creator, chain.token, 50, DAY, 3, 0, 0, 0).result
    up.worker.stop()
    slow = up.start_worker("gated", REDIS_URL=address, CELERY_BROKER_URL=up.redis_url)
    try:
        up.settle()
        assert len(up.get(f"/api/v1/groups/{group}/").json()["members"]) == 1
        with gate.held():
            reached = up.checkpoint().ledger
            chain.call(friend, "join_group", friend, group)
            chain.close_ledger()
            wait_for(lambda: up.checkpoint().ledger > reached, what="the commit")
            wait_for(gate.waits.is_set, what="the pass comes to the cache")
            kill_children(slow)
    finally:
        slow.stop()
        up.worker = up.start_worker()
    up.expire_lease()
    chain.close_ledger()  # nothing more happens in that group
    wait_for(lambda: len(up.get(f"/api/v1/groups/{group}/").json()["members"]) == 2, 20, "the new body")


def test_a_killed_workers_lease_runs_out_by_itself(up: Running) -> None:
    """Breaks without `until` in the lease: a lock without an end waits for a person. Nothing here helps it along."""
    gate = Gate(1)
    with up.first.failing(gate):
        up.history.walk(2)
        wait_for(gate.reached.is_set, what="a pass")
        kill_children(up.worker)
    with up.life():
        up.advances(45)


def test_two_beats_and_two_workers_make_one_pass_at_a_time(up: Running) -> None:
    """Breaks without the lease: passes overlap, for each takes longer than the interval."""

    def slowly(exchange: Exchange) -> Reply:
        exchange.ended.wait(0.4)
        return exchange.forward()

    connection.close()
    newest = SyncRun.objects.latest("id").pk
    beat, worker = up.start_beat("beat2"), up.start_worker("worker2")
    try:
        with up.first.failing(slowly), up.life():
            wait_for(lambda: sync_runs_since(newest) >= 8, 60, "eight passes")
        connection.close()
        ended = SyncRun.objects.filter(pk__gt=newest, kind=SyncRun.Kind.SYNC).exclude(finished_at=None)
        spans: list[Any] = list(ended.order_by("started_at").values_list("started_at", "finished_at"))
        overlaps = [(first, second) for first, second in pairwise(spans) if first[1] > second[0]]
        assert overlaps == []
        # on a busy machine an answer may come after RPC_TIMEOUT: such a pass says so, and the next one goes on
        others = ended.exclude(outcome=SyncRun.Outcome.OK)
        assert ended.count() > others.count(), list(others.values_list("reason", flat=True))
    finally:
        beat.stop()
        worker.stop()


def sync_runs_since(pk: int) -> int:
    connection.close()
    return SyncRun.objects.filter(pk__gt=pk, kind=SyncRun.Kind.SYNC).exclude(finished_at=None).count()


@contextmanager
def on_a_machine_with_a_clock(up: Running, file: Path, *more: str) -> Iterator[None]:
    """Worker and beat in processes whose wall clock is `file`'s number of seconds off; `more` are beat's arguments."""
    up.beat.stop()
    up.worker.stop()
    path = os.pathsep.join([str(CLOCK), os.environ.get("PYTHONPATH", "")])
    env = {"PYTHONPATH": path, "CLOCK_FILE": str(file)}
    worker, beat = up.start_worker("worker-clock", **env), up.start_beat("beat-clock", *more, **env)
    try:
        yield
    finally:
        beat.stop()
        worker.stop()
        up.worker, up.beat = up.start_worker(), up.start_beat()


def test_the_clock_steps_back_an_hour_and_beat_goes_on(up: Running, tmp_path: Path) -> None:
    """Breaks with Celery's own schedulers (`-S celery.beat.Scheduler`): they send nothing for an hour."""
    file = tmp_path / "clock"
    file.write_text("0")
    with on_a_machine_with_a_clock(up, file), up.life(), up.reading() as seen:
        up.advances()
        file.write_text("-3600")
        for _ in range(4):
            up.advances(15)
    assert seen.failures() == []


def test_the_database_clock_steps_back_an_hour_while_a_dead_runner_holds_the_lease(up: Running) -> None:
    """Breaks if a lease counted however far away its end is: nobody would run for an hour."""
    with up.life():
        up.advances()
        gate = Gate(0)
        with up.first.failing(gate):
            wait_for(gate.reached.is_set, what="a pass")
            kill_children(up.worker)
            connection.close()
            assert Lease.objects.filter(name=SyncRun.Kind.SYNC).update(until=F("until") + timedelta(hours=1)) == 1
        up.advances(20)
