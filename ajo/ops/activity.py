"""What this worker or beat does now: its heartbeat says it (ajo/ops/heartbeats.py)."""

from __future__ import annotations

import time

from celery.worker.state import active_requests

from ajo.beat import SteadyScheduler
from ajo.ops import heartbeats
from ajo.ops.heartbeats import Activity
from ajo.ops.models import Heartbeat

ATTEMPTS = 5


def start_worker() -> None:
    """Start the heartbeat of this worker, in the process that hands out tasks to its children."""
    heartbeats.start(Heartbeat.ManagedProcess.WORKER, running_tasks)


def start_beat() -> None:
    """Start the heartbeat of this beat."""
    heartbeats.start(Heartbeat.ManagedProcess.BEAT, last_sent)


def running_tasks() -> list[Activity]:
    """Return the tasks that the children of this worker have begun and not ended, the longest first."""
    for _ in range(ATTEMPTS):
        try:
            found = [(request.name, request.time_start) for request in active_requests]
        except RuntimeError:  # another thread has added one meanwhile
            continue
        tasks = [Activity(name, max(0.0, time.time() - (began or time.time()))) for name, began in found]
        return sorted(tasks, key=lambda task: task.seconds, reverse=True)
    return []


def last_sent() -> list[Activity]:
    """Return the task that this beat sent last; nothing before the first."""
    sent = SteadyScheduler.last_sent
    return [] if sent is None else [Activity(sent.task, time.monotonic() - sent.at)]
