"""What beat asks for. A failed pass has its reason in its SyncRun and is no failed task: the next pass goes on."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings

from ajo.soroban.errors import ChainError
from ajo.soroban.lease import Superseded
from ajo.soroban.nodes import nodes
from ajo.soroban.runs import prune
from contributions.deep_sweep import share, sweep_deep
from contributions.longer_memory import ask_longest_memory
from contributions.sweep import sweep_groups
from contributions.sync import run_pass

log = logging.getLogger(__name__)


@shared_task
def sync() -> None:
    """Follow the chain until caught up, or until a pass fails."""
    try:
        while not run_pass().caught_up:
            log.info("sync: a page is done, more to come")
    except (ChainError, Superseded) as failure:
        log.warning("sync: %s", failure)


@shared_task
def sweep() -> None:
    """Compare every group with the chain, and some with all that it has of them; ask for what gaps are missing."""
    try:
        for _ in sweep_groups(nodes().run):
            pass
        for _ in sweep_deep(nodes().run, most=share()):
            pass
        ask_longest_memory()
    except (ChainError, Superseded) as failure:
        log.warning("sweep: %s", failure)


@shared_task
def prune_runs() -> None:
    """Forget what passes of long ago did."""
    log.info("%d old runs are deleted", prune(settings.RUNS_KEPT_DAYS))
