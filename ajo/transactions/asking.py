"""Hold back questions to slow nodes, so that they do not take all web threads: a client waits for each, and a thread.

A node answers in milliseconds as a rule, and nothing is held back. While one takes long, a request that asks the chain
needs one of the few waiter slots.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

from ajo.cache import waiter_slot

SLOW: Final = 2.0  # seconds after which a request counts as slow
SLOW_FOR: Final = 10.0  # seconds after a slow request for which the next one is expected to be slow, too


class _Clock:
    """Tells by this process's requests whether nodes are slow: by what is under way, and by what ended lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self._under_way: dict[object, float] = {}  # when each began (time.monotonic), the oldest first
        self._slow_until = 0.0

    def begin(self) -> object:
        with self._lock:
            request = object()
            self._under_way[request] = time.monotonic()
        return request

    def end(self, request: object) -> None:
        with self._lock:
            if time.monotonic() - self._under_way.pop(request) > SLOW:
                self._slow_until = time.monotonic() + SLOW_FOR

    def is_slow(self) -> bool:
        with self._lock:
            now = time.monotonic()
            oldest = next(iter(self._under_way.values()), now)
        return now < self._slow_until or now - oldest > SLOW


_clock = _Clock()


@contextmanager
def chain_slot(client: str = "") -> Iterator[None]:
    """Hold a waiter slot while the block asks the chain, if nodes are slow. Raise Unavailable where none is free.

    `client` is the client's address: a named one has one slot at most.
    """
    with waiter_slot("chain", client) if _clock.is_slow() else nullcontext():
        request = _clock.begin()
        try:
            yield
        finally:
            _clock.end(request)


def reset_for_tests() -> None:
    """Forget that nodes were slow."""
    _clock.reset()
