"""Nodes that lag, forget, or serve a network that began again, under the running service."""

import json
import random
from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from ajo.soroban.models import HistoryGap
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.histories import History
from tests.support.proxy import Exchange, Proxy, Reply
from tests.support.running import Running, running
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.system_long,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
RETENTION = 300  # ledgers


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("chain")
    with django_db_blocker.unblock(), running(home, RETENTION, SWEEP_INTERVAL="10") as service:
        service.start_all()
        yield service


def gaps() -> list[HistoryGap]:
    connection.close()
    return list(HistoryGap.objects.order_by("id"))


def switch(up: Running, upstream: str) -> None:
    for proxy in (up.first, up.second):
        proxy.upstream = upstream


def test_what_no_event_tells_reaches_the_tables_by_the_sweep(up: Running) -> None:
    """Breaks without the sweep in the schedule: a name changes without an event."""
    group = Group.objects.select_related("creator").order_by("id")[0]
    creator = group.creator.wallet_address
    done = up.sandbox.chain.call(creator, "set_group_metadata", group.pk, b"a new name", b"", b"")
    assert done.error is None
    up.settle()
    wait_for(lambda: up.differences() == [], 30, "the sweep")
    wait_for(lambda: b"a new name" in up.get(f"/api/v1/groups/{group.pk}/").content, what="the new name")


def test_every_node_falls_far_behind_and_catches_up(up: Running) -> None:
    """Breaks without the difference between too old and ahead in `follow._out_of_range`: a gap would be written, or the
    cursor go back. Marked stale, for what the nodes know is old.
    """
    behind = up.sandbox.chain.replica()
    with up.life():
        up.advances()
    up.history.walk(20)
    up.settle()
    before = up.checkpoint()
    with Sandbox(behind) as lagging, up.reading() as seen:
        switch(up, lagging.url)
        wait_for(lambda: seen.stale, 20, "answers marked stale")
        wait_for(lambda: up.node(up.first).failures > 1, what="the nodes are found to lag")
        after = up.checkpoint()
        switch(up, up.sandbox.url)
        with up.life():
            up.advances()
    assert (after.cursor, after.ledger, after.halted) == (before.cursor, before.ledger, "")
    assert seen.failures() == []
    up.settle()
    assert gaps() == []
    assert up.events_lost() == set()


class Balancer:
    """About every other request goes to a node that is some ledgers behind."""

    def __init__(self, up: Running, lagging: Sandbox) -> None:
        self._up, self._lagging = up, lagging
        self._other = Proxy(lagging.url)
        self._rng = random.Random(5)
        self.count = 0

    def __call__(self, exchange: Exchange) -> Reply:
        self.count += 1
        if self.count % 20 == 0:
            self._lagging.chain.catch_up(self._up.sandbox.chain)
        if self._rng.random() < 0.5:
            return exchange.forward()
        return self._other.answer(json.dumps(exchange.call).encode())


def test_nodes_that_are_never_quite_together_behind_one_address(up: Running) -> None:
    """Breaks without the difference between too old and ahead: a gap would be written. That entries from before their
    event are not taken is shown in test_node_faults.py: here later events would heal it.
    """
    with Sandbox(up.sandbox.chain.replica()) as lagging:
        mixed = Balancer(up, lagging)
        with up.first.failing(mixed), up.second.failing(mixed), up.life(), up.reading() as seen:
            wait_for(lambda: mixed.count > 60, what="sixty requests")
    assert seen.failures() == []
    assert up.checkpoint().halted == ""
    up.settle()
    assert gaps() == []
    assert up.events_lost() == set()


def test_nobody_reaches_the_chain_for_longer_than_it_keeps_events(up: Running) -> None:
    """Breaks without `follow._out_of_range` (refused for ever), `_load_state` (groups that changed meanwhile stay old)
    or `recover_gaps` (contributions of that time are missing).
    """
    with up.first.refusing(), up.second.refusing(), up.reading() as seen:
        reached = up.checkpoint().ledger
        up.history.walk(30)
        up.sandbox.chain.close_ledger(RETENTION)
        up.history.walk(5)
        wait_for(lambda: seen.stale, 20, "answers marked stale")
    assert seen.failures() == []
    wait_for(lambda: [gap for gap in gaps() if gap.recovered_at], what="the gap is recovered")
    up.settle()
    (gap,) = gaps()
    assert gap.from_ledger <= reached + 1 < gap.to_ledger
    assert Contribution.objects.filter(event_id=None).exists()
    assert up.get("/api/v1/status/").json()["gaps"][0]["to_ledger"] == gap.to_ledger


def test_the_network_begins_again(up: Running) -> None:
    """Breaks without `plausibility.check_ledger_continuity`: the new chain's rows would be written among the old one's.
    The one fault that waits for a person, with the command in the status.
    """
    before = list(Group.objects.order_by("id").values_list("id", "entry_xdr"))
    with up.reading() as seen:
        up.sandbox.chain.reset()
        up.history = History(up.sandbox.chain, 8)
        up.history.walk(10)
        wait_for(lambda: up.checkpoint().halted, what="the sync halts")
        wait_for(lambda: up.get("/health/ready").status_code == 503, what="not ready")
        reason = up.get("/health/ready").json()["problems"][0]
        assert "the network began again" in reason
        assert "manage.py reset_chain --yes" in reason
        wait_for(lambda: seen.stale, 20, "answers marked stale")
    assert seen.failures() == []
    assert list(Group.objects.order_by("id").values_list("id", "entry_xdr")) == before
    up.manage("reset_chain", "--yes")
    up.settle()
    assert up.events_lost() == set()
    assert up.get("/health/ready").status_code == 200
