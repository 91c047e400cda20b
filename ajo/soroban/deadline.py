"""How long a unit of work goes on before what is done of it is kept and the rest left to the next unit.

A node may take seconds for each call, and a page of events or a batch of groups may need hundreds. A unit that had to
be finished whole would be ended by the task's time limit, and begun again from nothing, for ever.
"""

from __future__ import annotations

import math
import time
from typing import Final

READING = 60.0  # seconds; a call that has begun may take some more


class Deadline:
    """A moment after which no further call is begun. Whoever goes by it begins one in any case: each unit gets on."""

    def __init__(self, seconds: float | None = None) -> None:
        self._at = time.monotonic() + (READING if seconds is None else seconds)

    def is_past(self) -> bool:
        return time.monotonic() >= self._at


NEVER: Final = Deadline(math.inf)
