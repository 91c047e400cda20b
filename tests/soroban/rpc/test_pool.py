"""One node that spoils it for all: it stands still, lies, drips, floods or contradicts itself, and another is asked."""

from __future__ import annotations

import socket
import threading
import time
import zlib
from contextlib import suppress
from datetime import timedelta
from resource import RUSAGE_SELF, getrusage

import pytest
from django.utils import timezone
from pytest_django import Settings

from ajo.indexer.follow import run_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.verify import sweep_groups
from ajo.soroban.contract import events
from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, RpcNode
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.answers import corrupt_answer
from tests.support.faults import answers, error, when
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import History
from tests.support.nodes import use_nodes
from tests.support.proxy import Exchange, Fault, Proxy, Reply
from tests.support.threads import run_concurrently
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


class Drip:
    """A node that answers HTTP 200 and then a byte now and then, for ever."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            met, _ = self._listening.accept()
            threading.Thread(target=self._drip, args=(met,), daemon=True).start()

    @staticmethod
    def _drip(met: socket.socket) -> None:
        with met, suppress(OSError):
            met.recv(65536)
            met.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            while True:
                met.sendall(b" ")
                time.sleep(0.1)


def test_a_node_that_answers_for_ever_is_left_for_another(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the timeout were that of each read alone."""
    settings.RPC_TIMEOUT = 1
    use_nodes(settings, Drip(), sandbox)  # type: ignore[arg-type]
    make_groups(sandbox, 1)
    run_pass()
    assert "not complete in time" in RpcNode.objects.get(name__startswith="1:").last_error
    assert_equal(sandbox)


def test_an_answer_without_measure_is_not_read(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if an answer were read whole before anybody looks at it: a few hundred kilobytes unfold to what fits in no
    worker's memory.
    """
    make_groups(sandbox, 1)
    packed = zlib.compressobj(9, wbits=31)  # gzip, piece by piece: it must not be the test that takes the memory
    bomb = b"".join(packed.compress(bytes(2**20)) for _ in range(400)) + packed.flush()
    before = getrusage(RUSAGE_SELF).ru_maxrss  # KiB
    with Proxy(sandbox.url) as proxy, proxy.failing(answers(200, bomb, ("Content-Encoding", "gzip"))):
        use_nodes(settings, proxy, sandbox)
        run_pass()
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 200_000
    assert "more than" in RpcNode.objects.get(name__startswith="1:").last_error
    assert_equal(sandbox)


def test_a_redirect_is_not_followed_with_the_providers_key(sandbox: Sandbox, settings: Settings) -> None:
    make_groups(sandbox, 1)
    settings.SOROBAN_RPC_HEADERS = {"X-Api-Key": "a-key"}
    with Proxy(sandbox.url) as elsewhere, Proxy(sandbox.url) as proxy:
        away = answers(307, b"", ("Location", f"{elsewhere.url}/"))
        with elsewhere.failing(answers(500)), proxy.failing(away):
            use_nodes(settings, proxy, sandbox)
            run_pass()
            assert elsewhere.met == 0
    assert "HTTP 307" in RpcNode.objects.get(name__startswith="1:").last_error


@pytest.mark.parametrize(
    ("fault", "pauses"),
    [
        (answers(500), [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        (answers(429, b"", ("Retry-After", "60")), [60] * 5 + [64]),
        (answers(429, b"", ("Retry-After", "3600")), [300]),
    ],
)
def test_a_node_that_goes_on_failing_is_left_for_a_growing_while(
    sandbox: Sandbox, settings: Settings, fault: Fault, pauses: list[int]
) -> None:
    """Breaks if a pause did not grow, or not end."""
    with Proxy(sandbox.url) as proxy, proxy.failing(fault):
        use_nodes(settings, proxy, sandbox)
        make_groups(sandbox, 1)
        for pause in pauses:
            RpcNode.objects.update(left_until=None)
            run_pass()
            node = RpcNode.objects.get(name__startswith="1:")
            assert node.left_until is not None
            assert node.failed_at is not None
            assert node.left_until - node.failed_at == timedelta(seconds=pause)


def test_a_node_that_contradicts_itself_about_what_it_has_pruned_makes_no_gap(
    sandbox: Sandbox, settings: Settings
) -> None:
    """getEvents says that our cursor is pruned, getHealth of the same node does not. Breaks without the comparison in
    `_out_of_range`: the cursor would be dropped and a gap recorded that is none.
    """
    History(sandbox.chain, 5).walk(20)
    run_pass()
    History(sandbox.chain, 6).walk(5)
    latest = sandbox.chain.latest
    pruned = error(-32600, f"startLedger must be within the ledger range: {latest - 1} - {latest}")

    def contradicts(exchange: Exchange) -> Reply:
        return pruned(exchange) if exchange.call["params"]["pagination"]["limit"] > 1 else exchange.forward()

    with Proxy(sandbox.url) as proxy:
        use_nodes(settings, proxy)
        before = Checkpoint.objects.get().cursor
        with proxy.failing(when("getEvents", contradicts)), pytest.raises(NodeLagging, match="contradicts itself"):
            run_pass()
        assert Checkpoint.objects.get().cursor == before
        while not run_pass().caught_up:
            pass
    assert not HistoryGap.objects.exists()
    assert not Contribution.objects.filter(event_id=None).exists()


def test_of_several_sweeps_at_once_one_runs(sandbox: Sandbox) -> None:
    """Breaks without the lease: each would find, heal and count the same differences."""
    make_groups(sandbox, 30)
    run_pass()
    Group.objects.update(entry_xdr="AAAA")
    failures = run_concurrently([lambda: list(sweep_groups(nodes().run))] * 3)
    assert [type(failure) for failure in failures] == [Superseded] * 2
    assert Checkpoint.objects.get().drift_state == 30
    assert_equal(sandbox)


@pytest.mark.parametrize("behind", [0, 5000])
def test_a_node_that_stands_still_is_left_for_one_that_goes_on(
    sandbox: Sandbox, settings: Settings, behind: int
) -> None:
    """Breaks if lag were measured against what the same node said: its passes would all be well, and old for ever."""
    make_groups(sandbox, 1)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as frozen:
        use_nodes(settings, frozen, sandbox)
        sandbox.chain.close_ledger(behind + 1)
        make_groups(sandbox, 1)
        run_pass()
        assert Group.objects.count() == 1
        Checkpoint.objects.update(heard_at=timezone.now() - timedelta(seconds=settings.STALE_AFTER + 1))
        run_pass()
        assert "stands still" in RpcNode.objects.get(name__startswith="1:").last_error
        assert_equal(sandbox)


def test_a_node_that_stands_still_keeps_no_gap_from_being_told(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if its one answer, that there is nothing new, outweighed for ever the others', that events are pruned."""
    History(sandbox.chain, 8).walk(20)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as frozen:
        sandbox.chain.close_ledger(sandbox.chain.retention)
        make_groups(sandbox, 1)
        use_nodes(settings, sandbox, frozen)
        Checkpoint.objects.update(heard_at=timezone.now() - timedelta(minutes=5))
        with pytest.raises(NodeLagging, match="stands still"):
            run_pass()
        assert not HistoryGap.objects.exists()
        Checkpoint.objects.update(heard_at=timezone.now() - timedelta(minutes=11))
        while not run_pass().caught_up:
            pass
        assert HistoryGap.objects.count() == 1
        assert_equal(sandbox)


def test_a_page_that_leads_nowhere_is_refused(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if an empty page with the cursor that was asked for, far behind its newest ledger, were a page like
    others: the next one would be the same, at once and for ever.
    """
    make_groups(sandbox, 1)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as stuck:
        make_groups(sandbox, 1)
        stuck.chain.catch_up(sandbox.chain)
        cursor = Checkpoint.objects.get().cursor
        corrupt_answer(stuck, "getEvents", lambda said: said.update(events=[], cursor=cursor), times=100)
        use_nodes(settings, stuck, sandbox)
        run_pass()
        assert_equal(sandbox)


def test_an_event_from_before_the_cursor_is_not_read_another_way(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks without the look at ids: the same event for another member meets its own row, in every pass."""
    first, second = wallets(2)
    sandbox.chain.fund(first)
    make_groups(sandbox, 1)
    sandbox.chain.call(second, "join_group", second, 1)
    sandbox.chain.call(first, "contribute", first, 1)
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    row = ContractEvent.objects.get(type="contrib")
    topics, value = events.Contribution(1, 1, second, 50).encode()
    old = {
        "type": "contract", "ledger": row.ledger, "ledgerClosedAt": "2026-01-01T00:00:00Z", "id": row.id,
        "contractId": sandbox.contract, "txHash": row.tx_hash, "topic": list(topics), "value": value,
    }  # fmt: skip
    corrupt_answer(sandbox, "getEvents", lambda said: said["events"].insert(0, old))
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_a_ledger_of_the_future_is_not_believed(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if whatever a node says twice were: every honest node would lag behind it for ever."""
    make_groups(sandbox, 1)
    run_pass()
    ledger = 2 * 10**9
    far = {"latestLedger": ledger, "latestLedgerCloseTime": str(2**37), "cursor": f"{ledger << 32:019d}-0000000000"}
    corrupt_answer(sandbox, "getEvents", lambda said: said.update(far), times=9)
    with pytest.raises(NodeLagging, match="closes in the future"):
        run_pass()
    assert Checkpoint.objects.get().chain_ledger < 100


@pytest.mark.parametrize("is_loaded", [None, False])
def test_a_node_that_does_not_know_the_contract_is_left_for_one_that_does(
    sandbox: Sandbox, settings: Settings, is_loaded: bool | None
) -> None:
    make_groups(sandbox, 2)
    if is_loaded is not None:
        run_pass()
        Checkpoint.objects.update(is_loaded=is_loaded)
    own = InstanceKey().to_xdr(sandbox.contract)
    with Sandbox(sandbox.chain.replica()) as without:
        corrupt_answer(
            without, "getLedgerEntries",
            lambda said: said.update(entries=[each for each in said["entries"] if each["key"] != own]), times=100,
        )  # fmt: skip
        use_nodes(settings, without, sandbox)
        run_pass()
    assert_equal(sandbox)


def test_a_sweep_does_not_ask_a_node_that_lags(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if any answer would do: nothing that changed since would be found, and the node counted as well."""
    make_groups(sandbox, 2)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as behind:
        (creator,) = wallets(1)
        sandbox.chain.call(creator, "set_group_metadata", 1, b"New", b"", b"")
        sandbox.chain.close_ledger(1000)
        run_pass()
        use_nodes(settings, behind, sandbox)
        list(sweep_groups(nodes().run))
    assert "is at ledger 3, " in RpcNode.objects.get(name__startswith="1:").last_error
    assert_equal(sandbox)
