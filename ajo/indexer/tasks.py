"""What beat asks for. A failed pass has its reason in its SyncRun and is no failed task: the next pass goes on."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings

from ajo.indexer.follow import run_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.longer_memory import ask_longest_memory
from ajo.indexer.runs import prune
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import daily_quota, sweep_deep
from ajo.soroban.deadline import Deadline
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes

log = logging.getLogger(__name__)

# Of the time limit: no pass is begun after a quarter of it, and of a sweep's two parts none goes on for longer. What a
# pass or a batch of slow calls takes beyond that comes to an end before the limit does.
SHARE_OF_LIMIT = 4


def _deadline() -> Deadline:
    return Deadline(settings.CELERY_TASK_SOFT_TIME_LIMIT / SHARE_OF_LIMIT)


@shared_task(name="contributions.tasks.sync")
def sync() -> None:
    """Follow the chain until caught up, until a pass fails, or for some minutes: the next task goes on."""
    deadline = _deadline()
    try:
        while not run_pass().caught_up and not deadline.is_past():
            log.info("sync: a page is done, more to come")
    except (ChainError, Superseded) as failure:
        log.warning("sync: %s", failure)


@shared_task(name="contributions.tasks.sweep")
def sweep() -> None:
    """Compare every group with the chain, and some with all that it has of them, or as many as some minutes allow.

    Then ask for the events that gaps miss.
    """
    try:
        for _ in sweep_groups(nodes().run, deadline=_deadline()):
            pass
        for _ in sweep_deep(nodes().run, limit=daily_quota(), deadline=_deadline()):
            pass
        ask_longest_memory()
    except (ChainError, Superseded) as failure:
        log.warning("sweep: %s", failure)


@shared_task(name="contributions.tasks.prune_runs")
def prune_runs() -> None:
    """Forget what passes of long ago did."""
    log.info("%d old runs are deleted", prune(settings.RUNS_KEPT_DAYS))
