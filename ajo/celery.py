"""The Celery application and its schedule: sync follows the events, sweep verifies all groups, transactions.follow
follows what was submitted here.

Limits and acknowledgement are in ajo/settings.py (CELERY_…), the clock behind the schedule in ajo/beat.py.
"""

import os
from typing import Any

from celery import Celery, Task
from celery.signals import (
    beat_init,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_ready,
)
from django.conf import settings
from django.utils.module_loading import import_string
from kombu.transport.redis import Channel, Transport
from redis import ConnectionError, ResponseError
from structlog.contextvars import bind_contextvars, unbind_contextvars

from ajo.conf.checks import refuse_bad_settings, warn_of_unreachable_servers
from ajo.database.limits import WORKERS, sessions

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")

# Errors that Redis answers after a failover (READONLY, UNBLOCKED) and while it is full are reasons to connect anew.
# Without this they end a worker, and beat keeps its connection to the server that was the primary.
Transport.connection_errors += (ResponseError,)


class ReconnectingChannel(Channel):
    """kombu's channel, which is asked for more while it gives its messages back and its connection is closed already.

    kombu 5.7 raises AttributeError then, which would end the worker.
    """

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        """Return how to connect. Raise ConnectionError where the connection was closed, so that it is made anew."""
        connection: Any = self.connection
        if connection is None or connection.client is None:
            raise ConnectionError("the broker's connection was closed meanwhile")
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]  # not in the stubs
        return found


Transport.Channel = ReconnectingChannel

app = Celery("ajo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def every(task: str, seconds: int) -> dict[str, Any]:
    """Return a schedule entry that sends `task` every so many seconds.

    A run that waited a whole interval in the queue is stale and expires: the next one is there already.
    """
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


app.conf.beat_schedule = {
    "sync": every("contributions.tasks.sync", settings.SYNC_INTERVAL),
    "transactions": every("transactions.follow", settings.SYNC_INTERVAL),
    "sweep": every("contributions.tasks.sweep", settings.SWEEP_INTERVAL),
    "prune_runs": every("contributions.tasks.prune_runs", 86_400),
}


@worker_init.connect
@beat_init.connect
def check_settings(**_: object) -> None:
    """Refuse bad settings when worker or beat starts: Celery runs no system checks that stop it."""
    refuse_bad_settings()
    warn_of_unreachable_servers()


@worker_init.connect
def limit_sessions(**_: object) -> None:
    """Give the worker's database sessions their limits, before it forks the processes that run its tasks."""
    sessions.limit(WORKERS)


@worker_ready.connect
def start_heartbeat_of_worker(**_: object) -> None:
    """Start the worker's heartbeat in the parent, after its children were forked.

    The signal is sent again whenever the broker is back; `start` is idempotent.
    """
    import_string("ajo.ops.process_metrics.start")("worker")
    import_string("ajo.ops.activity.start_worker")()  # it cannot be imported before the apps are loaded


@worker_process_init.connect
def measure_child(**_: object) -> None:
    """Measure each process that runs a worker's tasks."""
    import_string("ajo.ops.process_metrics.start")("worker child")


@beat_init.connect
def start_heartbeat_of_beat(**_: object) -> None:
    """Start beat's heartbeat."""
    import_string("ajo.ops.process_metrics.start")("beat")
    import_string("ajo.ops.activity.start_beat")()


@setup_logging.connect
def keep_logging(**_: object) -> None:
    """Do nothing: a receiver of this signal keeps Celery from replacing the loggers of settings.LOGGING."""


@task_prerun.connect
def name_task(task_id: str, task: Task[Any, Any], **_: object) -> None:
    """Bind a task's name and id to its log lines."""
    bind_contextvars(task=task.name, task_id=task_id)


@task_postrun.connect
def forget_task(**_: object) -> None:
    """Unbind them, and the ledger that a pass binds."""
    unbind_contextvars("task", "task_id", "ledger")
