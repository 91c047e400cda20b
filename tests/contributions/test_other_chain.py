"""Another chain than the one that the tables are of: refused, and believed only when every node says so twice."""

from typing import Any

import pytest
from pytest_django import Settings

from ajo import cache
from ajo.soroban.errors import ChainError, RpcUnavailable, WrongChain
from ajo.soroban.models import Checkpoint, RpcNode, SyncRun
from ajo.soroban.nodes import nodes
from ajo.soroban.sandbox.sandbox import Sandbox
from contributions.sync import run_pass
from groups.models import Group
from groups.reads import group_answer
from tests.following import assert_equal, make_groups
from tests.histories import History
from tests.system.faults import when
from tests.system.proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)


def follow(settings: Settings, *sandboxes: Sandbox) -> None:
    """From now on by these nodes, in this order."""
    settings.SOROBAN_RPC_URL = [sandbox.url for sandbox in sandboxes]
    settings.RPC_RETRIES = 0
    RpcNode.objects.all().delete()
    nodes.cache_clear()


def rows() -> list[Any]:
    return list(Group.objects.order_by("id").values())


def test_a_network_that_began_again_halts_the_sync_and_nothing_is_written(sandbox: Sandbox) -> None:
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
    cache.forget_all()
    with pytest.raises(cache.Unavailable, match="another chain"):
        group_answer(1, min_ledger=2000)
    assert rows() == before
    assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED


def test_a_network_that_began_again_and_has_come_further_is_refused_too(sandbox: Sandbox) -> None:
    History(sandbox.chain, 5).walk(10)
    run_pass()
    sandbox.chain.reset()
    sandbox.chain.close_ledger(100)
    make_groups(sandbox, 1)
    with pytest.raises(WrongChain):
        run_pass()


def test_a_node_that_began_again_is_left_for_one_that_did_not(sandbox: Sandbox, settings: Settings) -> None:
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
