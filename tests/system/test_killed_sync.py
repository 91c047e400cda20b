"""Commands as real processes, killed without warning wherever they may be: the next one repeats the step."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from ajo import cache
from ajo.cache import store, watermark
from ajo.conf.addresses import redis_namespace
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.bodies import group_bodies
from groups.cached import group_answer
from groups.models import Group
from tests.support.comparison import differences
from tests.support.histories import History, contract_entries

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]


class Gate:
    """Lets a number of requests through to the sandbox and tells when the next one has come; that one waits."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._answer = sandbox.rpc.call
        self._left: int | None = None
        self.reached = threading.Event()
        self.opened = threading.Event()
        sandbox.rpc.call = self.call  # type: ignore[method-assign]

    def close_after(self, requests: int) -> None:
        self._left = requests
        self.reached.clear()
        self.opened.clear()

    def open(self) -> None:
        self._left = None
        self.opened.set()

    def call(self, method: str, params: Any) -> Any:
        if self._left is not None:
            if self._left == 0:
                self.reached.set()
                self.opened.wait(30)
            else:
                self._left -= 1
        return self._answer(method, params)


@pytest.fixture
def sandbox(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The chain that the other process follows. What this one looks for in Redis are that one's keys."""
    with Sandbox() as running:
        settings.SOROBAN_RPC_URL = [running.url]
        theirs = redis_namespace(running.chain.passphrase, running.contract)
        for module, name in (
            (store, "PREFIX"),
            (store, "VERSION_KEY"),
            (watermark, "VERSION_KEY"),
            (cache, "VERSION_KEY"),
        ):
            ours = getattr(module, name)
            monkeypatch.setattr(module, name, ours.replace(settings.REDIS_NAMESPACE, theirs))
        nodes.cache_clear()
        yield running
        nodes.cache_clear()


def start(sandbox: Sandbox, *command: str) -> "subprocess.Popen[str]":
    database = connection.settings_dict
    address = f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    environment = os.environ | {
        "DATABASE_URL": f"{address}/{database['NAME']}",
        "SOROBAN_RPC_URL": sandbox.url,
        "RPC_EVENTS_LIMIT": "5",
        "AJO_CONTRACT_ID": sandbox.contract,
        "STELLAR_NETWORK_PASSPHRASE": sandbox.chain.passphrase,
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_sync(sandbox: Sandbox, *command: str) -> None:
    with start(sandbox, *(command or ("sync",))) as process:
        answer, _ = process.communicate(timeout=120)
    assert process.returncode == 0, answer


@pytest.mark.parametrize("requests", range(1, 12))
def test_a_sync_killed_before_any_request_leaves_nothing_half_done(sandbox: Sandbox, requests: int) -> None:
    """Breaks if the cursor moved before its rows (contributions missing), or the lease had no end (nobody goes on)."""
    History(sandbox.chain, 13).walk(25)
    kill_after(sandbox, requests, "sync")
    run_sync(sandbox)
    assert [d for d in differences(contract_entries(sandbox.chain)) if ": name:" not in d] == []
    assert Contribution.objects.exists()
    assert Checkpoint.objects.get().ledger == sandbox.chain.latest
    bodies_are_the_tables()


def kill_after(sandbox: Sandbox, requests: int, *command: str) -> None:
    """Kill it as it waits for the answer to its next request."""
    gate = Gate(sandbox)
    gate.close_after(requests)
    with start(sandbox, *command) as process:
        assert gate.reached.wait(60)
        process.send_signal(signal.SIGKILL)
    gate.open()
    expire_lease()


@pytest.mark.parametrize("command", [("rebuild",), ("sweep", "--deep")], ids=lambda command: command[0])
@pytest.mark.parametrize("requests", range(1, 5))
def test_a_rebuild_or_a_deep_sweep_killed_before_any_request_goes_on(
    sandbox: Sandbox, command: tuple[str, ...], requests: int
) -> None:
    """Breaks if its position were kept before the rows of that place are written, or apart from them."""
    History(sandbox.chain, 13).walk(25)
    run_sync(sandbox)
    Group.objects.update(entry_xdr="AAAA", member_count=1, contributions_received=0, synced_ledger=1, verified_round=0)
    Contribution.objects.filter(round=1).delete()
    kill_after(sandbox, requests, *command)
    run_sync(sandbox, *command)
    assert differences(contract_entries(sandbox.chain)) == []
    bodies_are_the_tables()


def expire_lease() -> None:
    """End every lease, as half a minute does."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE soroban_lease SET until = now() - interval '1 second'")


def bodies_are_the_tables() -> None:
    """No old body stands under the new label."""
    for group_id, document in group_bodies(Group.objects.values_list("id", flat=True)).items():
        assert group_answer(group_id).body == document.body


def test_a_sync_killed_inside_its_transaction_or_between_commit_and_refresh_is_repeated(sandbox: Sandbox) -> None:
    """Without the ledger that Redis keeps beside the bodies, the refresh that was missed would never be made."""
    history = History(sandbox.chain, 13)
    history.walk(15)
    run_sync(sandbox)
    for group_id in history.groups:
        group_answer(group_id)
    before = cache.current_watermark()
    assert before is not None
    history.walk(25)
    run_sync(sandbox)
    # as if killed after its commit: the tables have moved, the watermark and the bodies have not
    cache.with_redis(lambda r: r.flushdb())
    cache.with_redis(lambda r: r.set(cache.VERSION_KEY, before.dump()))
    for group_id in history.groups:
        old = cache.Document(b'{"old":true}', 0, 1)
        cache.refresh(before, {f"group:{group_id}": old}, before.freshness.ledger)
    assert group_answer(history.groups[0]).body == b'{"old":true}'
    assert group_answer(history.groups[0]).ledger == before.freshness.ledger
    run_sync(sandbox)
    bodies_are_the_tables()
    after = cache.current_watermark()
    assert after is not None
    assert after.freshness.ledger == Checkpoint.objects.get().ledger
    assert settings.REDIS_URL
