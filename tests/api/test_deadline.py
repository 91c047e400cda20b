"""A read that needs the chain has one deadline, however many nodes and attempts it takes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from ajo.cache import DEADLINE
from ajo.indexer.follow import sync_pass
from ajo.soroban.rpc.errors import RpcUnavailable
from ajo.soroban.rpc.pool import Nodes, nodes
from devtools.sandbox.sandbox import Sandbox
from tests.support.factories import API
from tests.support.faults import hangs
from tests.support.histories import History
from tests.support.proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)
SOON = DEADLINE + 2.0  # seconds: the deadline, and what a slow machine needs besides


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    with Sandbox() as running:
        settings.STELLAR_NETWORK_PASSPHRASE = running.chain.passphrase
        settings.AJO_CONTRACT_ID = running.contract
        History(running.chain, 3).walk(6)
        yield running


@pytest.fixture
def first(sandbox: Sandbox) -> Iterator[Proxy]:
    with Proxy(sandbox.url) as between:
        yield between


@pytest.fixture
def second(sandbox: Sandbox) -> Iterator[Proxy]:
    with Proxy(sandbox.url) as between:
        yield between


@pytest.fixture(autouse=True)
def ahead(sandbox: Sandbox, first: Proxy, second: Proxy, settings: Settings) -> Iterator[str]:
    """The path of a group at a ledger that the chain has and the tables do not."""
    settings.SOROBAN_RPC_URL = [first.url, second.url]
    nodes.cache_clear()
    Nodes(settings.SOROBAN_RPC_URL).run(sync_pass)
    sandbox.chain.close_ledger(2)
    yield f"{API}groups/1/?min_ledger={sandbox.chain.latest}"
    nodes.cache_clear()


def test_nodes_that_take_a_request_and_never_answer_are_left_within_seconds(
    client: Client, first: Proxy, second: Proxy, ahead: str
) -> None:
    """Breaks if each attempt had RPC_TIMEOUT: three of eight seconds for each of two nodes."""
    with first.failing(hangs), second.failing(hangs):
        began = time.monotonic()
        response = client.get(ahead)
        took = time.monotonic() - began
    assert (response.status_code, int(response["Retry-After"]) >= 1) == (503, True)
    assert took < SOON


def test_within_it_the_other_node_is_asked(client: Client, first: Proxy, ahead: str) -> None:
    """Breaks if the first node could take the whole time."""
    with first.failing(hangs):
        began = time.monotonic()
        response = client.get(ahead)
        took = time.monotonic() - began
    assert response.status_code == 200
    assert took < SOON


def test_who_waits_for_another_reader_has_the_same_deadline(
    client: Client, first: Proxy, second: Proxy, ahead: str
) -> None:
    answers: list[tuple[int, float]] = []

    def ask(address: str) -> None:
        began = time.monotonic()
        status = Client().get(ahead, REMOTE_ADDR=address).status_code
        answers.append((status, time.monotonic() - began))
        connection.close()  # this thread's

    with first.failing(hangs), second.failing(hangs):
        readers = [threading.Thread(target=ask, args=(f"192.0.2.{number}",)) for number in range(1, 4)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert [status for status, _ in answers] == [503] * 3
    assert max(took for _, took in answers) < SOON


@contextmanager
def stalling(after: float) -> Iterator[str]:
    """The address of a node that begins to answer after so many seconds, and does not go on."""
    ended = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(2**16)
            ended.wait(after)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            ended.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def test_an_answer_that_stands_still_after_its_beginning_has_no_time_of_its_own() -> None:
    """Breaks if the wait for its next part began anew: twice the deadline."""
    with stalling(1.5) as url:
        began = time.monotonic()
        with pytest.raises(RpcUnavailable):
            Nodes([url]).run(lambda reader: reader.get_health(), began + 2.0)
        assert time.monotonic() - began < 3.0
