"""What the worker does, in a thread of the test's process: ledgers close, the tables follow, transactions end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.client import SorobanClient
from ajo.transactions.follow import follow
from devtools.sandbox.sandbox import Sandbox
from tests.support.following import catch_up

LEDGER_PAUSE = 0.2  # seconds between two ledgers
LONG_AGO = "2025-01-01T00:00:00Z"


@contextmanager
def working(sandbox: Sandbox) -> Iterator[None]:
    """Run sync and follower beside the test, a ledger after another. What they raise is raised at the end."""
    ended, failures = threading.Event(), list[Exception]()

    def work() -> None:
        client = SorobanClient(sandbox.url, retries=0)
        try:
            while not ended.wait(LEDGER_PAUSE):
                with sandbox.chain.lock:
                    if not sandbox.chain.frozen:
                        sandbox.chain.close_ledger()
                catch_up(client)
                ChainTransaction.objects.pending().update(next_attempt_at=LONG_AGO)
                follow()
        except Exception as failure:  # shown by the test
            failures.append(failure)
        finally:
            client.close()
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]
