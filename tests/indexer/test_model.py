"""Random histories with random faults in between, and passes that die anywhere: at the end the tables equal the chain.

What is broken is drawn by hypothesis, so a failure shrinks to the few faults that lead to it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker, Settings

from ajo import cache
from ajo.indexer.follow import sync_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.verify import sweep_groups
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError
from contributions.models import Contribution, Payout, Refund
from devtools.sandbox.rpc import Rpc
from devtools.sandbox.sandbox import Sandbox
from groups.bodies import group_bodies
from groups.cached import group_answer
from groups.models import Group
from tests.support.comparison import differences
from tests.support.histories import History, contract_entries

pytestmark = pytest.mark.django_db(transaction=True)

RETENTION = 120  # ledgers
GARBAGE = (
    (200, b"<html>maintenance</html>"),
    (200, b""),
    (200, b"[1, 2]"),
    (200, b'{"jsonrpc":"2.0","id":"another","result":{}}'),
    (200, b'{"jsonrpc":"2.0","id":"$id","result":{"events"'),
    (200, b'{"jsonrpc":"2.0","id":"$id","error":{"code":-32603,"message":"database is locked"}}'),
    (200, b'{"jsonrpc":"2.0","id":"$id","error":{"code":-32600,"message":"could not read"}}'),
    (200, b'{"jsonrpc":"2.0","id":"$id","error":{"code":-32001,"message":"processing limit"}}'),
    (429, b"slow down"),
    (500, b"oh no"),
)
# Where a pass may die: each is called once in every pass that has something to write.
DEATHS = (
    "ajo.indexer.follow.write_snapshots",
    "ajo.indexer.follow.write_history",
    "ajo.indexer.follow.read_tokens",  # the first call after the commit
    "ajo.indexer.follow.refresh_cache",
)

STEPS = st.one_of(
    st.tuples(st.just("walk"), st.integers(1, 12)),
    st.tuples(st.just("passes"), st.integers(1, 4)),
    st.tuples(st.just("limit"), st.sampled_from((1, 2, 3, 7, 50))),
    st.tuples(st.just("garbage"), st.tuples(st.sampled_from(GARBAGE), st.integers(0, 4))),
    st.tuples(st.just("twice"), st.integers(1, 3)),
    st.tuples(st.just("lagging"), st.integers(1, 10)),
    st.tuples(st.just("mixed"), st.integers(1, 3)),
    st.tuples(st.just("death"), st.sampled_from(DEATHS)),
    st.tuples(st.just("gap"), st.integers(0, 5)),
    st.tuples(st.just("empty redis"), st.none()),
    st.tuples(st.just("sweep"), st.none()),
)
UNANNOUNCED = ("name", "description", "rules")


class Death(BaseException):
    """No handler of a process that was killed runs; this is as near as one process comes to it."""


class World:
    """A chain, its history, and a follower that things happen to."""

    def __init__(self, sandbox: Sandbox, settings: Settings, seed: int) -> None:
        self.sandbox, self.settings = sandbox, settings
        self.history = History(sandbox.chain, seed)
        self.client = SorobanClient(sandbox.url, retries=0)
        self.old = sandbox.chain.replica()
        settings.RPC_EVENTS_LIMIT = 5
        settings.RPC_RETRIES = 0  # another node than ours is asked in vain: nobody listens there

    def run(self, name: str, value: Any) -> None:
        actions: dict[str, Callable[[Any], object]] = {
            "walk": self.history.walk,
            "passes": self.passes,
            "limit": lambda limit: setattr(self.settings, "RPC_EVENTS_LIMIT", limit),
            "garbage": self.garbage,
            "twice": self.twice,
            "lagging": self.lagging,
            "mixed": self.mixed,
            "death": self.death,
            "gap": self.gap,
            "empty redis": lambda _: cache.with_redis(lambda r: r.flushall()),
            "sweep": lambda _: self.sweep(),
        }
        actions[name](value)

    def passes(self, count: int, client: SorobanClient | None = None) -> None:
        for _ in range(count):
            with suppress(ChainError):
                sync_pass(client or self.client)

    def garbage(self, what: tuple[tuple[int, bytes], int]) -> None:
        """The request after so many others meets it."""
        (status, body), after = what
        answer, left = self.sandbox.rpc.call, itertools.count()

        def call(method: str, params: Any) -> Any:
            if next(left) + 1 == after:
                self.sandbox.answer_next(status, body)
            return answer(method, params)

        if after == 0:
            self.sandbox.answer_next(status, body)
        with patch.object(self.sandbox.rpc, "call", call):
            self.passes(2)
        self.sandbox.server.canned.clear()

    def twice(self, passes: int) -> None:
        """Every event two times, and those of the page before again."""
        true_call = self.sandbox.rpc.call
        before: list[Any] = []

        def call(method: str, params: Any) -> Any:
            answer = true_call(method, params)
            if method != "getEvents":
                return answer
            events = answer["events"]
            doubled = {**answer, "events": [*before, *events, *events]}
            before[:] = events
            return json.loads(json.dumps(doubled))

        with patch.object(self.sandbox.rpc, "call", call):
            self.passes(passes)

    def lagging(self, ledgers: int) -> None:
        """Another node answers, which has not moved since the last time; it comes nearer afterwards."""
        with Sandbox(self.old) as other:
            client = SorobanClient(other.url, retries=0)
            self.passes(2, client)
            client.close()
        self.old = self.sandbox.chain.replica()
        self.history.walk(ledgers)

    def mixed(self, passes: int) -> None:
        """Events come from a node that is well, entries from one that has not moved since the last time."""
        answer, other = self.sandbox.rpc.call, Rpc(self.old).call

        def call(method: str, params: Any) -> Any:
            return (other if method == "getLedgerEntries" else answer)(method, params)

        with patch.object(self.sandbox.rpc, "call", call):
            self.passes(passes)

    def read(self) -> None:
        """Somebody reads every group, so that Redis holds what the tables say now."""
        for group_id in Group.objects.values_list("id", flat=True):
            assert group_answer(group_id).body

    def death(self, place: str) -> None:
        self.read()
        self.history.walk(2)

        def die(*args: Any, **more: Any) -> None:
            raise Death

        with patch(place, die), suppress(Death, ChainError):
            sync_pass(self.client)

    def gap(self, more: int) -> None:
        """Longer away than the node keeps events."""
        self.sandbox.chain.close_ledger(RETENTION + more)

    def sweep(self) -> None:
        with suppress(ChainError, Superseded):
            list(sweep_groups(lambda read: read(self.client)))

    def settle(self) -> None:
        """No more faults: the sync catches up; then the sweep brings what no event announces, and nothing else."""
        self.sandbox.chain.close_ledger()
        while not sync_pass(self.client).caught_up:
            pass
        found = differences(contract_entries(self.sandbox.chain))
        assert [d for d in found if d.split(": ")[1] not in UNANNOUNCED] == []
        list(sweep_groups(lambda read: read(self.client)))
        sync_pass(self.client)

    def check(self) -> None:
        assert differences(contract_entries(self.sandbox.chain)) == []
        assert Checkpoint.objects.get().ledger == self.sandbox.chain.latest
        chain = self.sandbox.chain
        kept = {event.id for event in chain.store.events("", "9", "AND contract = ?", [chain.contract])}
        missing = kept - set(ContractEvent.objects.values_list("id", flat=True))
        spans = [(gap.from_ledger, gap.to_ledger) for gap in HistoryGap.objects.all()]
        assert [e for e in missing if not any(low <= int(e[:19]) >> 32 <= high for low, high in spans)] == []
        if not spans:
            for model in (Contribution, Payout, Refund):
                assert not model.objects.filter(event_id=None).exists()
        bodies = group_bodies(Group.objects.values_list("id", flat=True))
        assert {i: group_answer(i).body for i in bodies} == {i: document.body for i, document in bodies.items()}


def emptied(unblocked: Callable[[], Any]) -> None:
    """Each example begins with empty tables."""
    with unblocked(), connection.cursor() as cursor:
        tables = [f'"{name}"' for name in connection.introspection.django_table_names(only_existing=True)]
        wanted = [t for t in tables if t.startswith(('"soroban_', '"groups_', '"contributions_'))]
        cursor.execute(f"TRUNCATE {', '.join(wanted)} RESTART IDENTITY")
    cache.with_redis(lambda r: r.flushall())


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**16), steps=st.lists(STEPS, min_size=4, max_size=14))
def test_after_any_history_and_any_faults_the_tables_equal_the_chain(
    settings: Settings, django_db_blocker: DjangoDbBlocker, seed: int, steps: list[tuple[str, Any]]
) -> None:
    """No single guard: the sum of them. Of those that other tests name, most make this one fail too when removed."""
    emptied(django_db_blocker.unblock)
    with Sandbox(retention=RETENTION) as sandbox:
        settings.STELLAR_NETWORK_PASSPHRASE = sandbox.chain.passphrase
        settings.AJO_CONTRACT_ID = sandbox.contract
        world = World(sandbox, settings, seed)
        world.history.walk(4)
        for name, value in steps:
            world.run(name, value)
        world.settle()
        world.check()
        world.client.close()
    assert SyncRun.objects.exists()
