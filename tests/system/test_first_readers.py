"""A thousand readers at once of a group that the tables do not have, at two web processes: one asks the chain."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from pytest_django import DjangoDbBlocker

from tests.support.proxy import Exchange, Reply
from tests.support.running import Running, running
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.system_long,
    # Part starts its process with a function of its own between fork and exec, which newer Pythons warn of
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
MANY = 1_000
PATH = "/api/v1/groups/1/"


@pytest.fixture(scope="module", autouse=True)
def _files() -> None:
    """Allow as many sockets as readers, and a few more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4 * MANY), most))


@pytest.fixture
def web(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Running]:
    """Tables that are empty, and nobody who follows the chain."""
    with (
        django_db_blocker.unblock(),
        running(tmp_path_factory.mktemp("web"), WEB_WORKERS="2", RPC_TIMEOUT="8") as service,
    ):
        service.start_web()
        wait_for(lambda: service.get("/health/live").status_code == 200, what="web")
        yield service


class Slowly:
    """As slow as a public node, and counted by method. `waits` is in seconds."""

    def __init__(self, waits: float) -> None:
        self.waits, self.calls = waits, Counter[str]()

    def __call__(self, exchange: Exchange) -> Reply:
        self.calls[exchange.method] += 1
        exchange.ended.wait(self.waits)
        return exchange.forward()


async def _get(port: int) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), body
    finally:
        writer.close()


def at_once(port: int, many: int) -> Counter[tuple[int, bytes]]:
    """Send so many requests at once, and count their answers."""

    async def ask() -> list[tuple[int, bytes]]:
        return await asyncio.wait_for(asyncio.gather(*(_get(port) for _ in range(many))), 60)

    return Counter(asyncio.run(ask()))


def test_of_a_thousand_first_readers_one_asks_the_chain_and_all_are_answered(web: Running) -> None:
    """Breaks without the flight in Redis (one set of calls for each process), without that of the process (one for each
    thread), and if waiting took a place while the chain is well (503 for almost all).
    """
    slowly = Slowly(0.7)
    with web.first.failing(slowly):
        answers = at_once(web.port, MANY)
    ((status, body),) = answers
    assert (status, answers.total()) == (200, MANY)
    assert b'"id":"1"' in body
    assert slowly.calls["getLedgerEntries"] == 2  # its GROUP entry, then all of it


def test_after_a_first_reader_that_died_one_more_asks_the_chain(web: Running) -> None:
    """Breaks without the end of the flight in Redis: whoever comes would wait for the dead one for ever."""
    hangs = Slowly(60)
    assert web.web.process is not None
    workers = psutil.Process(web.web.process.pid).children()
    with web.first.failing(hangs):
        dies = asyncio.new_event_loop()
        first = dies.create_task(_get(web.port))
        dies.run_until_complete(asyncio.wait([first], timeout=0.5))
        wait_for(lambda: hangs.calls["getNetwork"] or hangs.calls["getLedgerEntries"], what="the first reader")
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
        dies.run_until_complete(asyncio.gather(first, return_exceptions=True))
        dies.close()
    slowly = Slowly(0.2)
    with web.first.failing(slowly):
        wait_for(lambda: web.get("/health/live").status_code == 200, what="web again")
        answers = at_once(web.port, 100)
    assert {status for status, _ in answers} == {200}
    assert slowly.calls["getLedgerEntries"] == 2
