"""Watches the parts of a running stack: one that died alone is started again."""

import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from devtools.stack.process import ManagedProcess, has_disk_space

MAX_RESTARTS, PERIOD = 3, 60.0  # of one part within so many seconds; then something is wrong that no start mends
# Seconds from one start to the next: the children of a PostgreSQL that was killed hold its memory for a moment.
MIN_LIFE = 1.0


class Watch:
    """The parts, and when each was started again. `changed` is called after each start."""

    def __init__(self, parts: Sequence[ManagedProcess], data: Path, changed: Callable[[], None]) -> None:
        self._parts = parts
        self._data = data
        self._changed = changed
        self._waiting: set[ManagedProcess] = set()  # ended by a full disk
        self._restarts: defaultdict[ManagedProcess, deque[float]] = defaultdict(lambda: deque(maxlen=MAX_RESTARTS))

    def check(self) -> None:
        """Start again what has ended. Raises StackError for a part that ends for the fourth time within a minute."""
        for part in self._parts:
            if part in self._waiting:
                if has_disk_space(self._data):
                    self._waiting.remove(part)
                    self._start(part)
            elif part.ended_by_full_disk:
                print(f"The disk is full: {part.name} starts again when there is room.", file=sys.stderr, flush=True)
                self._waiting.add(part)
            elif part.has_ended and time.time() - part.started_at > MIN_LIFE:
                self._start_again(part)

    def _start_again(self, part: ManagedProcess) -> None:
        restarts = self._restarts[part]
        if len(restarts) == MAX_RESTARTS and time.monotonic() - restarts[0] < PERIOD:
            part.check()
        restarts.append(time.monotonic())
        line = f"{part.name} stopped ({part.how_it_ended}) and is started again; its log is {part.log}.1"
        print(line, file=sys.stderr, flush=True)
        self._start(part)

    def _start(self, part: ManagedProcess) -> None:
        part.stop()  # what it has left of its process group
        part.start()
        part.lower_priority()
        self._changed()
