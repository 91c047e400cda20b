"""A sandbox whose ledgers close by themselves, and one that is told when to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox


@contextmanager
def closing(seconds: float = 0.05) -> Iterator[Sandbox]:
    """Ledgers close every so many seconds, as a network's do."""
    with Sandbox(base_reserve=BASE_RESERVE) as sandbox:
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(seconds):
                with sandbox.chain.lock:
                    if not sandbox.chain.frozen:
                        sandbox.chain.close_ledger()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield sandbox
        finally:
            stop.set()
            thread.join()


def order(sandbox: Sandbox, name: str, **fields: Any) -> Any:
    """`POST /sandbox/NAME`."""
    answer = requests.post(f"{sandbox.url}/sandbox/{name}", json=fields, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()
