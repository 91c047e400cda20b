"""Waiting for conditions."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(condition: Callable[[], Any], seconds: float = 40, what: str = "") -> Any:
    """Return the condition's first true value. Fails the test after `seconds`; `what` says what was waited for."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds: {what or condition}"
        time.sleep(0.05)
    return found
