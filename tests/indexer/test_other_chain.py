"""Another chain than the one that the tables are of: refused, and believed only when every node says so twice."""

import time
from typing import Any

import pytest
import requests
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from ajo import cache
from ajo.console.front_page import panel
from ajo.indexer.follow import run_pass
from ajo.indexer.verify import sweep_groups
from ajo.soroban.models import Checkpoint, HistoryGap, RpcNode, SyncRun
from ajo.soroban.rpc.errors import ChainError, NodeLagging, RpcUnavailable, WrongChain
from ajo.soroban.rpc.pool import KNOWN_PROTOCOL, nodes
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group
from tests.indexer.test_hostile import lie
from tests.support.faults import error, result, when
from tests.support.following import assert_equal, make_groups
from tests.support.histories import History, wallets
from tests.support.proxy import Exchange, Proxy, Reply

pytestmark = pytest.mark.django_db(transaction=True)


def follow(settings: Settings, *sandboxes: Sandbox | Proxy) -> None:
    """From now on by these nodes, in this order."""
    settings.SOROBAN_RPC_URL = [sandbox.url for sandbox in sandboxes]
    settings.RPC_RETRIES = 0
    RpcNode.objects.all().delete()
    nodes.cache_clear()


def rows() -> list[Any]:
    return list(Group.objects.order_by("id").values())


def test_a_network_that_began_again_halts_the_sync_and_nothing_is_written(sandbox: Sandbox) -> None:
    """Breaks without `doubts.refuse_turned_back`: the new chain's groups would be written over the old one's."""
    History(sandbox.chain, 5).walk(40)
    run_pass()
    before = rows()
    sandbox.chain.reset()
    sandbox.chain.close_ledger()
    with pytest.raises(WrongChain):
        run_pass()
    assert "the network began again" in Checkpoint.objects.get().halted
    make_groups(sandbox, 9)
    sandbox.chain.close_ledger(2000)
    with pytest.raises(ChainError, match="reset_chain"):
        run_pass()
    cache.invalidate_all()
    with pytest.raises(cache.Unavailable, match="another chain"):
        group_answer(1, min_ledger=2000)
    assert rows() == before
    assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED


def test_a_halted_chain_is_not_swept(sandbox: Sandbox) -> None:
    """Breaks without the look at the refusal in `sweep`: what the new chain's groups are called would be written."""
    make_groups(sandbox, 3)
    run_pass()
    before = rows()
    sandbox.chain.reset()
    sandbox.chain.close_ledger()
    with pytest.raises(WrongChain):
        run_pass()
    make_groups(sandbox, 9)
    sandbox.chain.close_ledger(300)
    with pytest.raises(ChainError, match="reset_chain"):
        list(sweep_groups(nodes().run))
    assert rows() == before


def test_a_node_of_another_network_is_left_for_the_next(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks without `Node.check_network`: only the very first contact asks which network it is."""
    make_groups(sandbox, 1)
    run_pass()
    other = sandbox.chain.replica()
    other.passphrase = "Another network"
    with Sandbox(other) as elsewhere:
        follow(settings, elsewhere, sandbox)
        make_groups(sandbox, 1)
        run_pass()
        assert_equal(sandbox)
        assert "another network" in RpcNode.objects.get(name__startswith="1:").last_error
        follow(settings, elsewhere)
        for _ in range(2):
            with pytest.raises(RpcUnavailable, match="another network"):
                run_pass()
    run = SyncRun.objects.latest("id")  # though no pass could begin, what staff see last is not "ok"
    assert (run.outcome, SyncRun.objects.count()) == (SyncRun.Outcome.FAILED, 3)
    assert "another network" in run.reason


def test_a_network_that_began_again_and_has_come_further_is_refused_too(sandbox: Sandbox) -> None:
    """Breaks if only a lower ledger were another chain's: it is known by times, its count or its groups' creation."""
    History(sandbox.chain, 5).walk(10)
    run_pass()
    sandbox.chain.reset()
    sandbox.chain.close_ledger(100)
    make_groups(sandbox, 1)
    with pytest.raises(WrongChain):
        run_pass()


def test_a_node_is_asked_each_hour_which_network_it_serves(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if it were asked once in a worker's life: a network moves to another protocol, an address to another
    network.
    """
    follow(settings, sandbox)
    make_groups(sandbox, 1)
    run_pass()
    assert 0 < (RpcNode.objects.get().protocol_version or 0) <= KNOWN_PROTOCOL
    lie(sandbox, "getNetwork", lambda said: said.update(protocolVersion=KNOWN_PROTOCOL + 2), times=100)
    run_pass()
    assert not any(fact.name == "Network's protocol" for fact in panel())
    monkeypatch.setattr("ajo.soroban.rpc.pool.NETWORK_CHECK_INTERVAL", 0.0)
    run_pass()
    (told,) = (fact for fact in panel() if fact.name == "Network's protocol")
    assert (told.value.startswith(f"{KNOWN_PROTOCOL + 2}, newer than"), told.alarm) == (True, True)
    lie(sandbox, "getNetwork", lambda said: said.update(passphrase="Another network"))
    with pytest.raises(RpcUnavailable, match="another network"):
        run_pass()


def test_a_node_that_began_again_is_left_for_one_that_did_not(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if one node's verdict halted the sync, or ended `Nodes.run`."""
    with Sandbox(sandbox.chain.replica()) as reset:
        follow(settings, reset, sandbox)
        History(reset.chain, 5).walk(10)
        History(sandbox.chain, 5).walk(10)
        run_pass()
        reset.chain.reset()
        reset.chain.close_ledger()
        make_groups(sandbox, 1)
        RpcNode.objects.update(left_until=None)
        run_pass()
        assert Checkpoint.objects.get().halted == ""
        assert "the network began again" in RpcNode.objects.get(name__startswith="1:").last_error
        assert_equal(sandbox)


def test_a_node_that_began_again_beside_one_that_is_silent_halts_nothing(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if a node that cannot be asked just now counted as one that agrees."""
    History(sandbox.chain, 5).walk(10)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as silent:
        follow(settings, sandbox, silent)
    sandbox.chain.reset()
    sandbox.chain.close_ledger()
    with pytest.raises(RpcUnavailable):
        run_pass()
    assert Checkpoint.objects.get().halted == ""


def test_one_slip_of_the_only_node_halts_nothing(sandbox: Sandbox, settings: Settings) -> None:
    """One answer as another chain would give it, and never again. Breaks if the first verdict counts."""
    make_groups(sandbox, 1)
    run_pass()
    make_groups(sandbox, 1)

    def slip(answer: dict[str, Any]) -> None:
        answer["result"] |= {"latestLedgerCloseTime": "1"}

    with Proxy(sandbox.url) as proxy:
        settings.SOROBAN_RPC_URL = [proxy.url]
        nodes.cache_clear()
        with proxy.failing(when("getEvents", lambda exchange: exchange.changed(slip), times=1)):
            run_pass()
    assert SyncRun.objects.order_by("-id")[1].reason.startswith("WrongChain")
    assert Checkpoint.objects.get().halted == ""
    assert_equal(sandbox)


def test_another_contract_or_network_than_the_tables_is_refused_and_stays_right_when_it_is_put_right(
    sandbox: Sandbox, settings: Settings
) -> None:
    """Breaks without `Checkpoint.refusal`: two contracts' groups would share one numbering."""
    make_groups(sandbox, 1)
    run_pass()
    ours, settings.AJO_CONTRACT_ID = settings.AJO_CONTRACT_ID, sandbox.chain.token
    with pytest.raises(ChainError, match="AJO_CONTRACT_ID"):
        run_pass()
    with pytest.raises(cache.Unavailable, match="another chain"):
        group_answer(1, min_ledger=sandbox.chain.latest + 1)
    settings.AJO_CONTRACT_ID = ours
    run_pass()
    assert_equal(sandbox)


def forget_pauses() -> None:
    RpcNode.objects.all().delete()


def test_one_answer_from_far_ahead_is_not_believed(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks with a rule that only asks which ledger closed later: every honest answer would be another chain's."""
    make_groups(sandbox, 1)
    run_pass()
    make_groups(sandbox, 1)

    def slip(answer: dict[str, Any]) -> None:
        answer["result"]["latestLedger"] += 15_000

    with Proxy(sandbox.url) as liar:
        follow(settings, liar, sandbox)
        with liar.failing(when("getEvents", lambda exchange: exchange.changed(slip), times=1)):
            run_pass()
    forget_pauses()
    make_groups(sandbox, 1)
    run_pass()
    assert_equal(sandbox)


def test_a_node_of_another_network_does_not_make_a_gap(sandbox: Sandbox, settings: Settings) -> None:
    """It changed behind its address. Breaks if what it says of its ledgers is kept before it is compared with ours."""
    make_groups(sandbox, 1)
    run_pass()
    oldest, newest = 60_000_000, 60_100_000

    def elsewhere(exchange: Exchange) -> Reply:
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

    with Proxy(sandbox.url) as liar:
        follow(settings, liar, sandbox)
        with liar.failing(elsewhere):
            run_pass()
    forget_pauses()
    make_groups(sandbox, 1)
    run_pass()
    assert not HistoryGap.objects.exists()
    assert_equal(sandbox)


def test_a_node_without_the_contract_says_nothing_of_its_groups(sandbox: Sandbox, settings: Settings) -> None:
    """As on a network that began again and has come further. Breaks if our count stands in for the one it has not."""
    make_groups(sandbox, 1)
    run_pass()
    before = Checkpoint.objects.values().get()
    make_groups(sandbox, 1)

    def nothing(answer: dict[str, Any]) -> None:
        answer["result"]["entries"] = []

    with Proxy(sandbox.url) as proxy:
        follow(settings, proxy)
        with proxy.failing(when("getLedgerEntries", lambda exchange: exchange.changed(nothing))):
            with pytest.raises(NodeLagging, match="does not have the contract"):
                run_pass()
            with pytest.raises(CommandError, match="does not have the contract"):
                call_command("rebuild")
        assert Checkpoint.objects.values().get() == before
        run_pass()
    assert_equal(sandbox)


def test_a_count_from_before_ours_was_read_halts_nothing(sandbox: Sandbox, settings: Settings) -> None:
    """Behind one address stand nodes that are a ledger or two apart: the contract is read from the newest of them, the
    groups from the oldest, and the next answer comes from one between. Breaks if a count is kept with the oldest
    ledger of its reading.
    """
    chain, (_, second) = sandbox.chain, wallets(2)
    make_groups(sandbox, 2)
    run_pass()
    chain.call(second, "join_group", second, 1)
    chain.close_ledger()
    oldest = chain.replica()
    chain.close_ledger()
    between = chain.replica()
    make_groups(sandbox, 1)
    answers = 0

    def apart(exchange: Exchange) -> Reply:
        nonlocal answers
        answers += exchange.method == "getLedgerEntries"
        is_of_the_contract = exchange.method == "getLedgerEntries" and answers == 1
        return exchange.forward() if is_of_the_contract else ask(at_oldest.url, exchange)

    with Sandbox(oldest) as at_oldest, Sandbox(between) as at_between, Proxy(sandbox.url) as balancer:
        follow(settings, balancer)
        with balancer.failing(apart):
            run_pass()
        assert Checkpoint.objects.get().group_count == 3
        forget_pauses()
        with balancer.failing(lambda exchange: ask(at_between.url, exchange)), pytest.raises(NodeLagging):
            run_pass()
    assert Checkpoint.objects.get().halted == ""


def ask(url: str, exchange: Exchange) -> Reply:
    answer = requests.post(url, json=exchange.call, timeout=10)
    return Reply(answer.content, answer.status_code)


@pytest.mark.parametrize("command", ["rebuild", "redecode"])
def test_no_command_writes_another_chain_over_the_tables(sandbox: Sandbox, command: str) -> None:
    """Breaks if a command did not look at `halt_reason` first, or a rebuild not at the node's newest ledger."""
    History(sandbox.chain, 5).walk(40)
    run_pass()
    before = rows(), list(Contribution.objects.order_by("id").values())
    sandbox.chain.reset()
    sandbox.chain.close_ledger()
    with pytest.raises(WrongChain):
        run_pass()
    with pytest.raises(CommandError, match="reset_chain"):
        call_command(command)
    if command == "rebuild":
        Checkpoint.objects.update(halted="")  # as if nobody had noticed yet
        with pytest.raises(CommandError, match="began again"):
            call_command(command)
        Checkpoint.objects.update(halted="the network began again")
    make_groups(sandbox, 1)
    sandbox.chain.close_ledger(200)
    with pytest.raises(CommandError, match="reset_chain"):
        call_command(command)
    assert (rows(), list(Contribution.objects.order_by("id").values())) == before
