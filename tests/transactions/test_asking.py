"""While a node is slow, what asks the chain leaves web threads to everybody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from django.test import Client
from pytest_django import Settings

from ajo.cache import Unavailable, read_through, waiter_slot_count
from ajo.transactions import asking
from ajo.transactions.asking import chain_slot
from devtools.sandbox.sandbox import Sandbox
from tests.support.factories import API
from tests.support.faults import hangs, when
from tests.support.nodes import use_nodes
from tests.support.proxy import Proxy
from tests.support.sending import BOB, joining, sandbox
from tests.support.submitting import PATH, followed, post
from tests.support.threads import run_concurrently
from tests.support.waiting import wait_for

__all__ = ["followed", "sandbox"]


@pytest.fixture(autouse=True)
def quick_nodes(settings: Settings) -> Iterator[None]:
    """Begin and end with nodes that were not slow, and with the slots of eight threads."""
    settings.WEB_THREADS = 8
    read_through.reset_for_tests()
    asking.reset_for_tests()
    yield
    read_through.reset_for_tests()
    asking.reset_for_tests()


def held_at_once(count: int) -> int:
    """Ask with so many threads at once; return how many of them may."""
    may: list[bool] = []
    done = threading.Barrier(count)

    def ask() -> None:
        try:
            with chain_slot():
                may.append(True)
                done.wait()
        except Unavailable:
            may.append(False)
            done.wait()

    assert run_concurrently([ask] * count) == []
    return sum(may)


def test_quick_nodes_hold_nothing_back() -> None:
    assert held_at_once(30) == 30


def test_after_a_slow_request_only_waiter_slots_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SLOW", 0.0)
    with chain_slot():
        pass
    assert held_at_once(8) == waiter_slot_count() == 2


def test_a_client_has_one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SLOW", 0.0)
    with chain_slot():
        pass
    with chain_slot("203.0.113.7"):
        with pytest.raises(Unavailable, match="Another request of yours"), chain_slot("203.0.113.7"):
            pass
        with chain_slot("203.0.113.8"):
            pass


def test_a_request_that_is_slow_already_holds_back_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if only what has ended counted: requests would take all threads while the first one hangs."""
    monkeypatch.setattr(asking, "SLOW", 0.0)
    with chain_slot():
        assert held_at_once(8) == 2


@pytest.mark.django_db(transaction=True)
def test_a_node_that_hangs_leaves_web_threads_to_reads(
    client: Client, followed: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Posts and look-ups as many as there are threads: few wait for the node, all others are told to come again."""
    envelope = joining(followed, BOB)
    monkeypatch.setattr(asking, "SLOW", 0.0)
    with chain_slot():
        pass  # the node was slow a moment ago
    codes: list[int] = []

    def submit(client: Client) -> None:
        codes.append(post(client, envelope).status_code)

    def look_up(client: Client) -> None:
        codes.append(client.get(f"{PATH}{'0' * 64}/").status_code)

    for wait in ("submit.READ_WAIT", "foreign.LOOK_UP_WAIT"):
        monkeypatch.setattr(f"ajo.transactions.{wait}", 60.0)
    settings.RPC_TIMEOUT = 60
    askers = [
        partial(ask, Client(REMOTE_ADDR=f"203.0.113.{number}")) for number, ask in enumerate([submit, look_up] * 4)
    ]
    threads = [threading.Thread(target=run_concurrently, args=([each],)) for each in askers]
    with Proxy(followed.url) as proxy:
        with proxy.failing(hangs):
            use_nodes(settings, proxy)
            for thread in threads:
                thread.start()
            wait_for(lambda: len(codes) == 6, 30, "those that got no place")
            assert client.get(f"{API}groups/1/").status_code == 200
            assert proxy.met <= waiter_slot_count()
            assert codes == [503] * 6
        for thread in threads:
            thread.join()
    assert len(codes) == 8


@pytest.mark.django_db(transaction=True)
def test_a_first_sending_that_hangs_is_given_up_and_the_row_stays(
    client: Client, followed: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajo.transactions.submit.SEND_WAIT", 0.2)
    with Proxy(followed.url) as proxy, proxy.failing(when("sendTransaction", hangs)):
        use_nodes(settings, proxy)
        response = post(client, joining(followed, BOB))
    assert (response.status_code, response.json()["status"]) == (202, "pending")
