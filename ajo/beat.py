"""A scheduler for Celery beat that goes by the monotonic clock.

Celery's own scheduler compares wall-clock times that it keeps in a file: when that clock steps back an hour, it sends
nothing for an hour; and after a start the first sync waits a whole interval. This one keeps no state, goes by the
monotonic clock, and sends every task at once when it starts. It takes schedules in seconds only.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import schedstate
from django.conf import settings


@dataclass(frozen=True, slots=True)
class Sent:
    """A task that the broker took, and when, by time.monotonic."""

    task: str
    at: float


class SteadyEntry(ScheduleEntry):
    """An entry that is due `schedule` seconds after it was last sent, by the monotonic clock."""

    def __init__(self, *args: Any, due: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.due = due

    @property
    def seconds(self) -> float:
        """The interval."""
        return float(vars(self.schedule)["run_every"].total_seconds())

    def is_due(self) -> schedstate:
        wait = self.due - time.monotonic()
        return schedstate(wait <= 0, wait if wait > 0 else self.seconds)

    def _next_instance(self, last_run_at: datetime | None = None) -> "SteadyEntry":
        return type(self)(**{**vars(self), "due": time.monotonic() + self.seconds})

    __next__ = next = _next_instance


class SteadyScheduler(Scheduler):
    """Orders entries by the monotonic clock, and touches BEAT_FILE with every task that the broker accepts."""

    Entry = SteadyEntry
    last_sent: ClassVar[Sent | None] = None  # of this process

    def _when(self, entry: ScheduleEntry, next_time_to_run: float, mktime: object = None) -> float:
        return time.monotonic() + (next_time_to_run or 0)

    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:
        sent = super().apply_async(entry, *args, **kwargs)
        SteadyScheduler.last_sent = Sent(str(entry.task), time.monotonic())
        if settings.BEAT_FILE:
            Path(settings.BEAT_FILE).touch()
        return sent
