"""A node that takes long for each answer: whatever a task has to read, what it did before its time was up is kept.

Time is counted in calls here: each takes seconds by the clock that deadlines go by, and a task that goes on for longer
than Celery's soft limit is ended as Celery would end it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from ajo.indexer import tasks
from ajo.indexer.follow import run_pass
from ajo.indexer.rebuild import rebuild_groups
from ajo.soroban import deadline
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.pool import nodes
from ajo.soroban.rpc.transport import Http
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)

GROUPS = 40
SECONDS = 22.0  # of a call, beside which nothing takes time: for each group at least one has to be made


class SlowNode:
    """Makes each call of this process take long, and ends a task that goes on for too long."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now, self._begun, self.longest = 0.0, math.inf, 0.0
        post = Http.post

        def slow(http: Http, *args: Any, **named: Any) -> Any:
            self.now += SECONDS
            self.longest = max(self.longest, self.now - self._begun)
            if self.now - self._begun > settings.CELERY_TASK_SOFT_TIME_LIMIT:
                raise SoftTimeLimitExceeded
            return post(http, *args, **named)

        patch.setattr(Http, "post", slow)
        patch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: self.now))
        patch.setattr("groups.snapshots.MAX_KEYS", 6)  # one group a call, as if it had a hundred members
        patch.setattr("ajo.indexer.backfill.MAX_KEYS", 6)

    def run(self, task: Callable[[], object]) -> None:
        self._begun = self.now
        task()
        self._begun = math.inf


@pytest.fixture
def slow(sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch) -> SlowNode:
    """A chain that the tables follow already, with one paid group for each of the calls to come."""
    (creator,) = wallets(1)
    sandbox.chain.fund(creator)
    make_groups(sandbox, GROUPS)
    return SlowNode(monkeypatch)


def pay_all(sandbox: Sandbox) -> None:
    (creator,) = wallets(1)
    for group_id in range(1, GROUPS + 1):
        assert sandbox.chain.call(creator, "contribute", creator, group_id).error is None
    sandbox.chain.close_ledger()


def finish(slow: SlowNode, task: Callable[[], object], is_done: Callable[[], bool]) -> None:
    """Run the task as beat does, until it has done everything; none of its runs may have failed."""
    for _ in range(2 * GROUPS):
        if is_done():
            break
        slow.run(task)
    else:
        pytest.fail("it is never finished")
    assert not SyncRun.objects.filter(outcome=SyncRun.Outcome.FAILED).exists()


def is_caught_up(sandbox: Sandbox) -> bool:
    return Checkpoint.objects.filter(ledger=sandbox.chain.latest).exists()


def test_a_page_of_events_of_many_groups_is_finished_in_portions(
    sandbox: Sandbox, client_of_chain: SorobanClient, slow: SlowNode
) -> None:
    """Breaks where the groups of a page are read, and the cursor is moved, all at once."""
    catch_up(client_of_chain)
    pay_all(sandbox)
    finish(slow, tasks.sync, lambda: is_caught_up(sandbox))
    assert slow.longest < settings.CELERY_TASK_SOFT_TIME_LIMIT / 2
    assert Contribution.objects.exclude(tx_hash=None).count() == GROUPS
    assert_equal(sandbox)


def test_the_cursor_moves_with_each_portion_and_no_group_is_read_twice(
    sandbox: Sandbox, client_of_chain: SorobanClient, slow: SlowNode
) -> None:
    catch_up(client_of_chain)
    SyncRun.objects.all().delete()
    pay_all(sandbox)
    cursors = []

    def a_pass() -> None:
        run_pass()
        cursors.append(Checkpoint.objects.get().cursor)

    finish(slow, a_pass, lambda: is_caught_up(sandbox))
    assert cursors == sorted(set(cursors))
    counts = list(SyncRun.objects.order_by("id").values_list("counts", flat=True))
    assert sum(each["groups_read"] for each in counts) == GROUPS
    assert sum(each["events"] for each in counts) == GROUPS
    assert max(each["calls"] for each in counts) < 10
    assert_equal(sandbox)


def test_tables_are_filled_in_portions(sandbox: Sandbox, slow: SlowNode) -> None:
    pay_all(sandbox)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    sandbox.chain.close_ledger(5)
    finish(slow, tasks.sync, lambda: HistoryGap.objects.exclude(recovered_at=None).exists() and is_caught_up(sandbox))
    assert_equal(sandbox)


def test_a_sweep_heals_in_portions(sandbox: Sandbox, client_of_chain: SorobanClient, slow: SlowNode) -> None:
    pay_all(sandbox)
    catch_up(client_of_chain)
    Group.objects.update(entry_xdr="AAAA", member_count=2)
    finish(slow, tasks.sweep, lambda: not Group.objects.filter(entry_xdr="AAAA").exists())
    assert Checkpoint.objects.get().drift_state == GROUPS
    assert_equal(sandbox)


def test_a_deep_sweep_proves_in_portions(sandbox: Sandbox, client_of_chain: SorobanClient, slow: SlowNode) -> None:
    pay_all(sandbox)
    catch_up(client_of_chain)
    Contribution.objects.all().delete()
    finish(slow, tasks.sweep, lambda: Contribution.objects.count() == GROUPS)
    assert slow.longest < settings.CELERY_TASK_SOFT_TIME_LIMIT
    assert_equal(sandbox)


def test_a_rebuild_holds_the_syncs_lease_for_no_more_than_some_calls(
    sandbox: Sandbox, client_of_chain: SorobanClient, slow: SlowNode
) -> None:
    """Breaks with batches of a fixed number of groups: passes would wait for one as long as it takes."""
    pay_all(sandbox)
    catch_up(client_of_chain)
    Group.objects.update(name="wrong", contributions_received=0)
    Contribution.objects.all().delete()
    before, steps = slow.now, 0
    for _ in rebuild_groups(nodes().run):
        assert slow.now - before <= 12 * SECONDS
        before, steps = slow.now, steps + 1
    assert steps > 5
    assert_equal(sandbox)
