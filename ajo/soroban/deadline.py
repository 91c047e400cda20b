"""A deadline for a unit of work: after it, what is done is written and the rest is left to the next unit.

A node may take seconds for each call, and a page of events or a batch of groups may need hundreds. A unit that had to
be finished whole would be killed by the task's time limit and restarted from nothing, for ever.
"""

from __future__ import annotations

import math
import time
from typing import Final

UNIT_SECONDS = 60.0  # a call that has begun may take some more


class Deadline:
    """A moment after which no further call is begun. Callers begin one in any case, so each unit makes progress."""

    def __init__(self, seconds: float | None = None) -> None:
        self._at = time.monotonic() + (UNIT_SECONDS if seconds is None else seconds)

    def is_past(self) -> bool:
        return time.monotonic() >= self._at


NEVER: Final = Deadline(math.inf)
