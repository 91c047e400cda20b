"""The pool of nodes: one that fails is left for the next, with a growing backoff; and what every node must say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from ajo.console.tiles import Level, health_tiles
from ajo.indexer.follow import run_pass
from ajo.indexer.tasks import sync
from ajo.indexer.verify import sweep_groups
from ajo.soroban.models import HistoryGap, RpcNode, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, RpcUnavailable
from ajo.soroban.rpc.pool import KNOWN_PROTOCOL, Nodes, node_names, nodes
from devtools.sandbox.rpc_error import METHOD_NOT_FOUND, RpcError
from devtools.sandbox.sandbox import Sandbox
from tests.support.answers import corrupt_answer
from tests.support.faults import answers, error, when
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import History
from tests.support.nodes import use_nodes
from tests.support.proxy import Fault, Proxy

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_a_node_of_another_network_is_left_for_the_next(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks without `Node.check_network`: only the very first contact asks which network it is."""
    make_groups(sandbox, 1)
    run_pass()
    other = sandbox.chain.replica()
    other.passphrase = "Another network"
    with Sandbox(other) as elsewhere:
        use_nodes(settings, elsewhere, sandbox)
        make_groups(sandbox, 1)
        run_pass()
        assert_equal(sandbox)
        assert "another network" in RpcNode.objects.get(name__startswith="1:").last_error
        use_nodes(settings, elsewhere)
        for _ in range(2):
            with pytest.raises(RpcUnavailable, match="another network"):
                run_pass()
    run = SyncRun.objects.latest("id")  # though no pass could begin, what staff see last is not "ok"
    assert (run.outcome, SyncRun.objects.count()) == (SyncRun.Outcome.FAILED, 3)
    assert "another network" in run.reason


def test_a_node_is_asked_each_hour_which_network_it_serves(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if it were asked once in a worker's life: a network moves to another protocol, an address to another
    network.
    """
    use_nodes(settings, sandbox)
    make_groups(sandbox, 1)
    run_pass()
    assert 0 < (RpcNode.objects.get().protocol_version or 0) <= KNOWN_PROTOCOL
    corrupt_answer(sandbox, "getNetwork", lambda answer: answer.update(protocolVersion=KNOWN_PROTOCOL + 2), times=100)
    run_pass()
    assert not any(fact.name == "Network's protocol" for fact in health_tiles())
    monkeypatch.setattr("ajo.soroban.rpc.pool.NETWORK_CHECK_INTERVAL", 0.0)
    run_pass()
    (protocol,) = (fact for fact in health_tiles() if fact.name == "Network's protocol")
    assert (protocol.value.startswith(f"{KNOWN_PROTOCOL + 2}, newer than"), protocol.level > Level.WELL) == (True, True)
    corrupt_answer(sandbox, "getNetwork", lambda answer: answer.update(passphrase="Another network"))
    with pytest.raises(RpcUnavailable, match="another network"):
        run_pass()


def test_a_node_that_refuses_what_others_answer_is_left(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    with Sandbox(sandbox.chain.replica()) as older:

        def refuse(method: str, params: Any) -> Any:
            raise RpcError(METHOD_NOT_FOUND, f"{method} is not known here")

        older.rpc.call = refuse  # type: ignore[method-assign]
        settings.SOROBAN_RPC_URL = [older.url, sandbox.url]
        nodes.cache_clear()
        make_groups(sandbox, 1)
        sync()
    assert_equal(sandbox)


def test_a_second_node_that_refuses_leaves_the_answer_to_the_first(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if a refusal of the second node ended the read, and the first one were backed off for it."""
    with Sandbox(sandbox.chain.replica()) as older:

        def refuse(method: str, params: Any) -> Any:
            raise RpcError(METHOD_NOT_FOUND, f"{method} is not known here")

        older.rpc.call = refuse  # type: ignore[method-assign]
        use_nodes(settings, sandbox, older)
        newest = nodes().run(
            lambda client: nodes().second_opinion(client, lambda other: other.get_health().latest_ledger)
        )
        assert newest == sandbox.chain.latest
        with pytest.raises(ChainError):  # where another has to answer, the first one alone does not
            nodes().run(lambda client: nodes().second_opinion(client, lambda other: 1, other_only=True))


def test_a_node_that_is_dead_for_long_has_no_say_in_what_the_others_agree_on(
    sandbox: Sandbox, settings: Settings
) -> None:
    """Breaks if every address had to answer: with a dead one in the list, the sync would wait for ever."""
    History(sandbox.chain, 8).walk(20)
    run_pass()
    sandbox.chain.close_ledger(sandbox.chain.retention)
    make_groups(sandbox, 1)
    with Sandbox(sandbox.chain.replica()) as dead:
        use_nodes(settings, sandbox, dead)
    with pytest.raises(RpcUnavailable):
        run_pass()
    RpcNode.objects.filter(name__startswith="2:").update(answered_at=timezone.now() - timedelta(minutes=11))
    while not run_pass().caught_up:
        pass
    assert HistoryGap.objects.count() == 1
    assert_equal(sandbox)


def test_a_node_that_keeps_less_makes_no_gap_where_another_keeps_more(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the first node's word were enough: the other one would never be asked for the events again."""
    history = History(sandbox.chain, 8)
    history.walk(20)
    run_pass()
    history.walk(30)
    keeps_less = sandbox.chain.replica()
    keeps_less.retention = 5
    with Sandbox(keeps_less) as less, Proxy(sandbox.url) as more:
        use_nodes(settings, less, more)
        with (
            more.failing(when("getEvents", error(-32603, "database is locked"))),
            pytest.raises(RpcUnavailable, match="locked"),
        ):
            run_pass()
        while not run_pass().caught_up:
            pass
        list(sweep_groups(nodes().run))  # names, of which no event tells
        assert not HistoryGap.objects.exists()
        assert_equal(sandbox)


@pytest.mark.parametrize(("away", "asked_first"), [(timedelta(minutes=4), "second"), (timedelta(hours=1), "first")])
def test_a_pause_that_an_earlier_clock_set_does_not_count(
    sandbox: Sandbox, settings: Settings, away: timedelta, asked_first: str
) -> None:
    """Breaks if a node were left however far away the end of its pause is: an hour after a step back of one."""
    with Proxy(sandbox.url) as first, Proxy(sandbox.url) as second:
        settings.SOROBAN_RPC_URL = [first.url, second.url]
        met = {"first": first, "second": second}
        RpcNode.objects.create(name=node_names()[0], failures=1, left_until=timezone.now() + away)
        with first.failing(lambda exchange: exchange.forward()), second.failing(lambda exchange: exchange.forward()):
            Nodes(settings.SOROBAN_RPC_URL).run(lambda reader: reader.get_health())
        assert [name for name, proxy in met.items() if proxy.met] == [asked_first]


def test_a_read_that_one_address_refuses_is_begun_anew_with_the_next(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks without the loop in `Nodes.run`: a reader of an unknown group would be told to come again."""
    with Proxy(sandbox.url) as first, Proxy(sandbox.url) as second:
        settings.SOROBAN_RPC_URL = [first.url, second.url]
        with first.refusing():
            latest = Nodes(settings.SOROBAN_RPC_URL).run(lambda reader: reader.get_health().latest_ledger)
        assert latest == sandbox.chain.latest
        assert RpcNode.objects.get(name=node_names()[0]).failures == 1


def asked(pool: Nodes) -> list[str]:
    """Ask a node, and return the first words of the statements that it cost."""
    with CaptureQueriesContext(connection) as statements:
        pool.run(lambda reader: reader.get_health())
    return [statement["sql"].split(" ", 1)[0] for statement in statements]


def test_a_node_that_goes_on_answering_costs_no_statements(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if each request wrote the node's row: all processes would queue for it."""
    use_nodes(settings, sandbox)
    assert asked(nodes())[-1] == "UPDATE"  # that it answers; before it, the network's protocol
    assert asked(nodes()) == []
    monkeypatch.setattr("ajo.soroban.rpc.pool.ANSWER_INTERVAL", 0.0)
    before = RpcNode.objects.get().answered_at
    assert asked(nodes()) == ["UPDATE"]
    after = RpcNode.objects.get().answered_at
    assert before is not None
    assert after is not None
    assert after > before


def test_a_node_that_answers_after_a_failure_is_written_at_once(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the memory of an earlier answer outlived a failure: the node would stay in backoff."""
    with Proxy(sandbox.url) as proxy:
        use_nodes(settings, proxy)
        asked(nodes())
        with proxy.failing(answers(500)), pytest.raises(RpcUnavailable):
            asked(nodes())
        assert RpcNode.objects.get().failures == 1
        asked(nodes())
    node = RpcNode.objects.get()
    assert (node.failures, node.left_until) == (0, None)


def test_of_several_nodes_the_backoff_is_read_once_a_second_while_there_is_none(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if each request read the nodes' health, or if a process never read what another one has written."""
    with Proxy(sandbox.url) as first:
        use_nodes(settings, first, sandbox)
        asked(nodes())
        assert asked(nodes()) == []
        monkeypatch.setattr("ajo.soroban.rpc.pool.ORDER_TTL", -1.0)  # a second later
        nodes()._none_left_until = 0.0
        left_until = timezone.now() + timedelta(minutes=4)
        RpcNode.objects.filter(name=node_names()[0]).update(failures=3, left_until=left_until)
        with first.failing(answers(500)):
            asked(nodes())
        assert RpcNode.objects.get(name=node_names()[0]).failures == 3, "another process's failure counts here"


def test_a_nodes_own_failure_is_seen_by_the_next_request(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if "none is in backoff" outlived a failure: each request would try the dead node first."""
    with Proxy(sandbox.url) as first:
        use_nodes(settings, first, sandbox)
        asked(nodes())
        with first.refusing():
            asked(nodes())
            asked(nodes())
    assert RpcNode.objects.get(name=node_names()[0]).failures == 1


def test_a_node_in_backoff_that_answers_all_the_same_is_written_at_once(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the memory of its last answer kept a node in the backoff that another process has set."""
    with Proxy(sandbox.url) as first, Proxy(sandbox.url) as second:
        use_nodes(settings, first, second)
        asked(nodes())
        with second.refusing():
            RpcNode.objects.update(failures=2, left_until=timezone.now() + timedelta(minutes=4))
            nodes()._none_left_until = 0.0  # a second later
            asked(nodes())
    node = RpcNode.objects.get(name=node_names()[0])
    assert (node.failures, node.left_until) == (0, None)
