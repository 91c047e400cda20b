"""The lease: one runner holds it, keeps it while it reads, and loses it when it does not renew."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from ajo.indexer.follow import run_pass
from ajo.indexer.lease import Superseded, lease
from ajo.soroban.models import Lease, SyncRun
from devtools.sandbox.sandbox import Sandbox
from tests.support.following import assert_equal, make_groups
from tests.support.threads import run_concurrently

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_lease_is_held_by_one_and_taken_over_when_its_holder_is_gone() -> None:
    with lease("sync"):
        with pytest.raises(Superseded), lease("sync"):
            pass
        with lease("sweep"):
            pass
    with lease("sync") as held:
        held.renew()


def test_a_rebuild_waits_for_the_lease_of_a_pass_that_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, waiting, sleep = threading.Event(), threading.Event(), time.sleep

    def note_and_sleep(seconds: float) -> None:
        waiting.set()
        sleep(seconds)

    def a_pass() -> None:
        with lease("sync"):
            taken.set()
            assert waiting.wait(10)

    def a_rebuild() -> None:
        assert taken.wait(10)
        with pytest.raises(Superseded), lease("sync"):
            pass
        monkeypatch.setattr("ajo.indexer.lease.time.sleep", note_and_sleep)
        with lease("sync", patience=10):
            pass

    assert run_concurrently([a_pass, a_rebuild]) == []


def test_a_pass_keeps_its_lease_however_long_it_reads(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the lease were renewed only before the rows are written: another pass would begin meanwhile, the first
    leave it what it has read, and so on, for as long as the chain is slow.
    """
    lasts = timedelta(seconds=2)
    monkeypatch.setattr("ajo.indexer.lease.LEASE_LIFETIME", lasts)
    monkeypatch.setattr("ajo.indexer.lease.RENEW_AFTER", 0.0)
    answer = sandbox.rpc.call
    others: list[Superseded] = []

    def slow(method: str, params: Any) -> Any:
        """Answer each call of the pass after half a second, in which other passes are refused."""
        until = time.monotonic() + 0.5
        while method != "getNetwork" and time.monotonic() < until:  # that one is asked before the lease is taken
            try:
                run_pass()
            except Superseded as failure:
                others.append(failure)
        connection.close()  # this thread's
        return answer(method, params)

    make_groups(sandbox, 3)
    monkeypatch.setattr(sandbox.rpc, "call", slow)
    began = time.monotonic()
    run_pass()
    assert time.monotonic() - began > lasts.total_seconds()
    assert len(others) > 5
    assert list(SyncRun.objects.values_list("outcome", flat=True)) == [SyncRun.Outcome.OK]
    assert_equal(sandbox)


def test_a_lease_that_another_had_meanwhile_is_not_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a free lease could be renewed: what this runner has read is from before the other's pass."""
    monkeypatch.setattr("ajo.indexer.lease.RENEW_AFTER", 0.0)
    with lease("sync") as slow:
        slow.renew()
        Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
        slow.renew()  # late, but nobody came
        Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
        with lease("sync"):
            pass
        with pytest.raises(Superseded):
            slow.renew()
