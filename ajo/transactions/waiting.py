"""`Prefer: wait=N` (RFC 7240): answer once the status is final, else after N seconds as it stands.

A request that waits holds a web thread, and neither a transaction nor a connection of the database between two looks.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from django.db import connection
from rest_framework.request import Request

from ajo.cache import Unavailable, waiter_slot, waiter_slot_count

MAX_WAIT: Final = 25  # seconds; ajo/webserver/connections.py ends a request that takes longer than some more
POLL: Final = 0.25  # seconds between two looks at the row
MAX_HEADER = 500  # characters
# of several the first counts (RFC 7240 §2)
_WAIT: Final = re.compile(r"""(?:^|,)\s*wait\s*=\s*"?([0-9]{1,4})"?\s*(?=,|;|$)""", re.ASCII | re.IGNORECASE)


def preferred_wait(request: Request) -> int:
    """Return how many seconds the client would wait, MAX_WAIT at most; 0 where it says nothing that can be read."""
    header = request.headers.get("Prefer", "")
    found = _WAIT.search(header) if len(header) <= MAX_HEADER else None
    return min(int(found[1]), MAX_WAIT) if found else 0


def wait_until_final(is_final: Callable[[], bool], deadline: float, client: str) -> bool:
    """Wait until `is_final`, until `deadline` (time.monotonic). Return False, at once, where no place is free.

    `client` is the client's address, which has one place at most.
    """
    try:
        with _place(), waiter_slot("transaction", client, MAX_WAIT + 1):
            while not is_final() and time.monotonic() < deadline:
                if not connection.in_atomic_block:
                    connection.close()  # back to the pool
                time.sleep(min(POLL, max(0.0, deadline - time.monotonic())))
    except Unavailable:
        return False
    return True


@lru_cache(maxsize=1)
def _places() -> threading.BoundedSemaphore | None:
    """Return the process's places for requests that wait so long: they leave one of the waiter slots to others."""
    places = waiter_slot_count() - 1
    return threading.BoundedSemaphore(places) if places > 0 else None


@contextmanager
def _place() -> Iterator[None]:
    """Hold one of the places. Raise Unavailable where none is free."""
    places = _places()
    if places is None or not places.acquire(blocking=False):
        raise Unavailable("Too many requests wait for a transaction.")
    try:
        yield
    finally:
        places.release()
