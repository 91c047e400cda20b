"""Answers that one node gets wrong: each fails a pass at most, nothing of it stays, and another node is asked."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from stellar_sdk import scval

from ajo.indexer.follow import run_pass, sync_pass
from ajo.soroban.contract.codec import b64
from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.models import Checkpoint, HistoryGap, RpcNode, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.answers import corrupt_answer
from tests.support.faults import error, result, when
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import History
from tests.support.nodes import forget_backoff, use_nodes
from tests.support.proxy import Exchange, Proxy, Reply

pytestmark = pytest.mark.django_db(transaction=True)


def put(**values: Any) -> Any:
    return lambda answer: answer.update(values)


def put_event(**values: Any) -> Any:
    return lambda answer: [each.update(values) for each in answer["events"]]


def put_entry(**values: Any) -> Any:
    return lambda answer: [each.update(values) for each in answer["entries"]]


def rename(answer: Any) -> None:
    """Events of a name that the host would not allow: unreadable, but the group stands second."""
    for each in answer["events"]:
        each["topic"][0] = b64(scval.to_symbol("a").to_xdr_bytes()[:-4] + b"\0\0\0\0")


FAR = f"{(4_000_000_000 << 31):019d}-0000000000"
WRONG_ANSWERS = [
    ("getEvents", put(latestLedger=10**30)),
    ("getEvents", put(latestLedger=-5)),
    ("getEvents", put(latestLedger=4_000_000_000)),
    ("getEvents", put(latestLedger=4_000_000_000, latestLedgerCloseTime=253402300799)),
    ("getEvents", put(latestLedgerCloseTime=10**18)),
    ("getEvents", put(latestLedgerCloseTime="253402300799")),
    ("getEvents", put(oldestLedger=10**30)),
    ("getEvents", put(cursor=FAR)),
    ("getEvents", put(cursor="\u0663" * 19 + "-0000000000")),
    ("getEvents", put_event(topic=["\u0000"])),
    ("getEvents", put_event(value="\u0000")),
    ("getEvents", put_event(value="\ud800")),
    ("getEvents", put_event(ledgerClosedAt="0001-01-01T00:00:00+23:00")),
    ("getEvents", rename),
    ("getLedgerEntries", put_entry(xdr="\u0000")),
    ("getLedgerEntries", put_entry(xdr="\ud800")),
    ("getLedgerEntries", put_entry(liveUntilLedgerSeq=10**30)),
    ("getLedgerEntries", put_entry(liveUntilLedgerSeq=-1)),
]


@pytest.mark.parametrize("number", range(len(WRONG_ANSWERS)))
def test_one_false_answer_is_a_failed_pass_at_most(
    sandbox: Sandbox, client_of_chain: SorobanClient, number: int
) -> None:
    history = History(sandbox.chain, 9)
    history.walk(15)
    catch_up(client_of_chain)
    history.walk(15)
    make_groups(sandbox, 1)
    corrupt_answer(sandbox, *WRONG_ANSWERS[number])
    try:
        sync_pass(client_of_chain)
    except ChainError:
        assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED
    history.walk(3)
    catch_up(client_of_chain)
    UndecodedEntry.objects.all().delete()
    assert_equal(sandbox)


FIRST = [
    ("getHealth", put(latestLedger=4_000_000_000)),
    ("getHealth", put(latestLedger=4_000_000_000, oldestLedger=4_000_000_000)),
    ("getHealth", put(ledgerRetentionWindow=-(10**30))),
    ("getNetwork", put(passphrase="\u0000")),
    ("getEvents", put(latestLedger=4_000_000_000)),
    ("getEvents", put(cursor=FAR)),
]


@pytest.mark.parametrize("number", range(len(FIRST)))
def test_a_false_answer_at_first_contact_does_not_stay(
    sandbox: Sandbox, client_of_chain: SorobanClient, number: int
) -> None:
    History(sandbox.chain, 9).walk(15)
    corrupt_answer(sandbox, *FIRST[number])
    with suppress(ChainError):
        sync_pass(client_of_chain)
    catch_up(client_of_chain)
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
        Checkpoint.objects.update(chain_advanced_at=timezone.now() - timedelta(seconds=settings.STALE_AFTER + 1))
        run_pass()
        assert "stands still" in RpcNode.objects.get(name__startswith="1:").last_error
        assert_equal(sandbox)


def test_a_node_that_stands_still_keeps_no_gap_from_being_recorded(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if its one answer, that there is nothing new, outweighed for ever the others', that events are pruned."""
    History(sandbox.chain, 8).walk(20)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as frozen:
        sandbox.chain.close_ledger(sandbox.chain.retention)
        make_groups(sandbox, 1)
        use_nodes(settings, sandbox, frozen)
        Checkpoint.objects.update(chain_advanced_at=timezone.now() - timedelta(minutes=5))
        with pytest.raises(NodeLagging, match="stands still"):
            run_pass()
        assert not HistoryGap.objects.exists()
        Checkpoint.objects.update(chain_advanced_at=timezone.now() - timedelta(minutes=11))
        while not run_pass().caught_up:
            pass
        assert HistoryGap.objects.count() == 1
        assert_equal(sandbox)


def test_a_ledger_of_the_future_is_not_believed(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if whatever a node says twice were: every correct node would lag behind it for ever."""
    settings.AJO_SANDBOX = False
    make_groups(sandbox, 1)
    run_pass()
    ledger = 2 * 10**9
    far = {"latestLedger": ledger, "latestLedgerCloseTime": str(2**37), "cursor": f"{ledger << 32:019d}-0000000000"}
    corrupt_answer(sandbox, "getEvents", lambda answer: answer.update(far), times=9)
    with pytest.raises(NodeLagging, match="closes in the future"):
        run_pass()
    assert Checkpoint.objects.get().chain_ledger < 100


def test_a_sandbox_whose_clock_was_moved_is_followed(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if its close times counted as the future's: the sync would stand still until the day had caught up."""
    settings.AJO_SANDBOX = False
    make_groups(sandbox, 1)
    run_pass()
    sandbox.chain.advance(10 * 365 * 86_400)  # the chain of a test begins in the past
    make_groups(sandbox, 1)
    with pytest.raises(NodeLagging, match="closes in the future"):
        run_pass()
    settings.AJO_SANDBOX = True
    run_pass()
    assert Checkpoint.objects.get().chain_closed_at == datetime.fromtimestamp(sandbox.chain.range().last_close, UTC)
    assert_equal(sandbox)


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
            lambda answer: answer.update(entries=[each for each in answer["entries"] if each["key"] != own]), times=100,
        )  # fmt: skip
        use_nodes(settings, without, sandbox)
        run_pass()
    assert_equal(sandbox)


def test_a_ledger_that_is_not_there_yet_once_believed_halts_nothing(sandbox: Sandbox) -> None:
    """Too small a leap to be asked for twice. Breaks if contradictions alone were enough for another chain: every
    correct answer of the next seconds is one.
    """
    make_groups(sandbox, 1)
    run_pass()
    corrupt_answer(sandbox, "getEvents", lambda answer: answer.update(latestLedger=answer["latestLedger"] + 4))
    make_groups(sandbox, 1)
    run_pass()
    sandbox.chain.close_ledger()
    with pytest.raises(NodeLagging, match="have our groups"):
        run_pass()
    assert Checkpoint.objects.get().halted == ""
    sandbox.chain.close_ledger(9)
    run_pass()
    assert_equal(sandbox)


def test_one_answer_from_far_ahead_is_not_believed(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks with a rule that only asks which ledger closed later: every correct answer would be another chain's."""
    make_groups(sandbox, 1)
    run_pass()
    make_groups(sandbox, 1)

    def slip(answer: dict[str, Any]) -> None:
        answer["result"]["latestLedger"] += 15_000

    with Proxy(sandbox.url) as faulty:
        use_nodes(settings, faulty, sandbox)
        with faulty.failing(when("getEvents", lambda exchange: exchange.changed(slip), times=1)):
            run_pass()
    forget_backoff()
    make_groups(sandbox, 1)
    run_pass()
    assert_equal(sandbox)


def test_a_node_of_another_network_does_not_make_a_gap(sandbox: Sandbox, settings: Settings) -> None:
    """The network changed behind a node's address. Breaks if what it says of its ledgers is kept before it is compared
    with ours.
    """
    make_groups(sandbox, 1)
    run_pass()
    oldest, newest = 60_000_000, 60_100_000

    def of_another_network(exchange: Exchange) -> Reply:
        if exchange.method == "getHealth":
            healthy = {"status": "healthy", "ledgerRetentionWindow": 120_960}
            return result(healthy | {"latestLedger": newest, "oldestLedger": oldest})(exchange)
        if exchange.method == "getEvents" and exchange.call["params"].get("startLedger") == newest:
            closed = {"oldestLedgerCloseTime": "1", "latestLedgerCloseTime": str(int(time.time()))}
            page = {"events": [], "cursor": f"{newest << 32:019d}-0000000000", **closed}
            return result(page | {"latestLedger": newest, "oldestLedger": oldest})(exchange)
        if exchange.method == "getEvents":
            return error(-32600, f"startLedger must be within the ledger range: {oldest} - {newest}")(exchange)
        return exchange.forward()

    with Proxy(sandbox.url) as faulty:
        use_nodes(settings, faulty, sandbox)
        with faulty.failing(of_another_network):
            run_pass()
    forget_backoff()
    make_groups(sandbox, 1)
    run_pass()
    assert not HistoryGap.objects.exists()
    assert_equal(sandbox)
