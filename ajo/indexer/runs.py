"""Records each pass and job as a SyncRun: what it read, wrote and found, and how it ended."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from ajo.conf.redaction import Secrets
from ajo.indexer.lease import LeaseHandle, Superseded, lease
from ajo.metrics import RUNS
from ajo.soroban.models import SyncRun

logger = logging.getLogger(__name__)

PRUNE_BATCH = 1000  # rows; each batch is a transaction of its own, so that no pass waits for long

Counts = Counter[str]  # a SyncRun's counts, by name


def heartbeat(counts: Counts, *handles: LeaseHandle) -> Callable[[], None]:
    """Return what a run's client calls before each attempt of an RPC call: it renews the leases and counts the call."""

    def beat() -> None:
        for handle in handles:
            handle.renew()
        counts["calls"] += 1

    return beat


@contextmanager
def record_run(kind: SyncRun.Kind, patience: float = 0) -> Iterator[tuple[SyncRun, LeaseHandle]]:
    """Run the block as the only runner of its kind, recorded as one SyncRun with how it ended.

    Raises Superseded if another runner has the kind's lease for `patience` seconds more. A run whose process died is
    closed by the next one. The block's exceptions are recorded and raised again.
    """
    with lease(kind, patience) as handle:
        left = SyncRun.objects.filter(kind=kind, outcome=SyncRun.Outcome.RUNNING)
        left.update(outcome=SyncRun.Outcome.FAILED, finished_at=Now(), reason="it was killed, or its lease ran out")
        run = SyncRun.objects.create(kind=kind, counts=Counts())
        try:
            yield run, handle
        except Superseded as failure:
            _finish(run, SyncRun.Outcome.SUPERSEDED, str(failure))
            raise
        except Exception as failure:
            _finish(run, SyncRun.Outcome.FAILED, f"{type(failure).__name__}: {failure}")
            raise
        _finish(run, SyncRun.Outcome.OK)


def record_failure(kind: SyncRun.Kind, failure: Exception) -> None:
    """Record that no node let a run of this kind begin. Does nothing if the last run of the kind failed too."""
    last = SyncRun.objects.filter(kind=kind).order_by("-id").values_list("outcome", flat=True).first()
    if last != SyncRun.Outcome.FAILED:
        _finish(SyncRun.objects.create(kind=kind), SyncRun.Outcome.FAILED, f"{type(failure).__name__}: {failure}")


def _finish(run: SyncRun, outcome: SyncRun.Outcome, reason: str = "") -> None:
    SyncRun.objects.filter(pk=run.pk).update(
        finished_at=Now(),
        outcome=outcome,
        reason=Secrets().hide(reason)[:2000],
        ledger=run.ledger,
        counts=run.counts,
    )
    RUNS.labels(run.kind, outcome.value).inc()
    facts = {"kind": run.kind, "outcome": outcome.value, "ledger": run.ledger, "counts": run.counts}
    logger.info("%s ended: %s", run.kind, outcome.value, extra=facts)


def prune(days: int) -> int:
    """Delete the runs that began more than `days` days ago, and return how many.

    The newest run of each kind stays, and so does the newest that has ended. Ids rise with time, so pruning begins with
    the oldest and stops at the first young row: it needs no index by time.
    """
    newest: list[int] = []
    for kind in SyncRun.Kind:
        runs = SyncRun.objects.filter(kind=kind).order_by("-id").values_list("pk", flat=True)
        newest += [*runs[:1], *runs.exclude(outcome=SyncRun.Outcome.RUNNING)[:1]]
    is_old = ExpressionWrapper(Q(started_at__lt=Now() - timedelta(days=days)), output_field=BooleanField())
    oldest = SyncRun.objects.exclude(pk__in=newest).order_by("id").values_list("pk", is_old)
    pruned = 0
    while old := [pk for pk, old in oldest[:PRUNE_BATCH] if old]:
        pruned += SyncRun.objects.filter(pk__in=old).delete()[0]
    return pruned
