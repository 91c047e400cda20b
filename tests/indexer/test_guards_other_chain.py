"""Guards against another chain than the one that the tables are of: refused, and believed only when every node says so
twice.
"""

from typing import Any

import pytest
import requests
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from ajo import cache
from ajo.indexer.follow import run_pass
from ajo.indexer.verify import sweep_groups
from ajo.soroban.models import Checkpoint, RpcNode, SyncRun
from ajo.soroban.rpc.errors import ChainError, NodeLagging, RpcUnavailable, WrongChain
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups import models
from groups.cached import group_answer
from groups.models import Group
from tests.support.faults import when
from tests.support.following import assert_equal, make_groups
from tests.support.histories import History
from tests.support.nodes import forget_backoff, use_nodes
from tests.support.proxy import Exchange, Proxy, Reply
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def rows() -> list[Any]:
    """Return every group's row."""
    return list(Group.objects.order_by("id").values())


def test_a_network_that_began_again_halts_the_sync_and_nothing_is_written(sandbox: Sandbox) -> None:
    """Breaks without `plausibility.check_ledger_continuity`: the new chain's groups would be written over the old
    one's.
    """
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
    """Breaks without the look at `halt_reason` in `sweep`: what the new chain's groups are called would be written."""
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


def test_a_network_that_began_again_and_has_come_further_is_refused_too(sandbox: Sandbox) -> None:
    """Breaks if only a lower ledger were another chain's: it is known by times, its count or its groups' creation."""
    History(sandbox.chain, 5).walk(10)
    run_pass()
    sandbox.chain.reset()
    sandbox.chain.close_ledger(100)
    make_groups(sandbox, 1)
    with pytest.raises(WrongChain):
        run_pass()


def test_a_node_that_began_again_is_left_for_one_that_did_not(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if one node's answer halted the sync, or ended `Nodes.run`."""
    with Sandbox(sandbox.chain.replica()) as reset:
        use_nodes(settings, reset, sandbox)
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
        use_nodes(settings, sandbox, silent)
    sandbox.chain.reset()
    sandbox.chain.close_ledger()
    with pytest.raises(RpcUnavailable):
        run_pass()
    assert Checkpoint.objects.get().halted == ""


def test_one_slip_of_the_only_node_halts_nothing(sandbox: Sandbox, settings: Settings) -> None:
    """One answer as another chain would give it, and never again. Breaks if one reading were enough."""
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


def test_another_contract_or_network_than_the_tables_is_refused_and_stays_right_when_it_is_corrected(
    sandbox: Sandbox, settings: Settings
) -> None:
    """Breaks without `Checkpoint.halt_reason`: two contracts' groups would share one numbering."""
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


def test_a_node_without_the_contract_says_nothing_of_its_groups(sandbox: Sandbox, settings: Settings) -> None:
    """The network began again and has come further. Breaks if our count stands in for the one it has not."""
    make_groups(sandbox, 1)
    run_pass()
    before = Checkpoint.objects.values().get()
    make_groups(sandbox, 1)

    def nothing(answer: dict[str, Any]) -> None:
        answer["result"]["entries"] = []

    with Proxy(sandbox.url) as proxy:
        use_nodes(settings, proxy)
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
        use_nodes(settings, balancer)
        with balancer.failing(apart):
            run_pass()
        assert Checkpoint.objects.get().group_count == 3
        forget_backoff()
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


def test_another_chains_first_group_is_not_recognised(sandbox: Sandbox) -> None:
    make_groups(sandbox, 1)
    run_pass()
    sandbox.chain.reset()
    sandbox.chain.close_ledger(3)
    make_groups(sandbox, 1)
    with pytest.raises(WrongChain):
        run_pass()
    assert Checkpoint.objects.get().halted


def test_a_whole_other_chain_is_still_recognised(sandbox: Sandbox) -> None:
    """Breaks if what two askings agree on were enough."""
    make_groups(sandbox, 3)
    run_pass()
    before = list(models.Group.objects.order_by("id").values())
    sandbox.chain.reset()
    sandbox.chain.close_ledger(3)
    make_groups(sandbox, 3)
    with pytest.raises(WrongChain):
        run_pass()
    assert Checkpoint.objects.get().halted
    assert list(models.Group.objects.order_by("id").values()) == before
