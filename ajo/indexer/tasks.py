"""Defines the Celery tasks that beat schedules.

Tasks log ChainError and Superseded and do not raise them: a failed pass has its reason in its SyncRun, and the next
pass goes on.
"""

from __future__ import annotations

import logging
import math

from celery import shared_task
from django.conf import settings
from django.db import OperationalError

from ajo.indexer.follow import run_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.longest_retention import fill_gaps_from_other_nodes
from ajo.indexer.runs import prune
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import daily_quota, sweep_deep
from ajo.soroban.deadline import Deadline
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes

logger = logging.getLogger(__name__)

# No pass begins after a quarter of the time limit, and neither part of a sweep goes on for longer. So a pass or a batch
# of slow calls that is under way then ends before the limit does.
DEADLINE_DIVISOR = 4


def _deadline(longest: float = math.inf) -> Deadline:
    """Return the time at which a part of a task stops beginning new work: after `longest` seconds, or sooner."""
    return Deadline(min(settings.CELERY_TASK_SOFT_TIME_LIMIT / DEADLINE_DIVISOR, longest))


@shared_task(name="contributions.tasks.sync")
def sync() -> None:
    """Follow the chain until caught up, until a pass fails, or until the deadline: the next task goes on."""
    deadline = _deadline()
    try:
        while not run_pass().caught_up and not deadline.is_past():
            logger.info("sync: a page is done, more to come")
    except (ChainError, Superseded, OperationalError) as failure:
        logger.warning("sync: %s", failure)


@shared_task(name="contributions.tasks.sweep")
def sweep() -> None:
    """Compare every group with the chain, prove the day's share of groups, and fill gaps.

    Either sweep ends at its deadline, and the next task goes on. Both together end before the next task begins, which
    would take another of the worker's processes from the sync.
    """
    longest = settings.SWEEP_INTERVAL * 0.4
    try:
        for _ in sweep_groups(nodes().run, deadline=_deadline(longest)):
            pass
        for _ in sweep_deep(nodes().run, limit=daily_quota(), deadline=_deadline(longest)):
            pass
        fill_gaps_from_other_nodes()
    except (ChainError, Superseded, OperationalError) as failure:
        logger.warning("sweep: %s", failure)


@shared_task(name="contributions.tasks.prune_runs")
def prune_runs() -> None:
    """Delete SyncRuns that are older than RUNS_KEPT_DAYS."""
    logger.info("%d old runs are deleted", prune(settings.RUNS_KEPT_DAYS))
