"""SyncRun rows: what a pass read, wrote and found, and how it ended, whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models.functions import Now

from ajo.soroban.lease import Held, Superseded, lease
from ajo.soroban.models import SyncRun


@contextmanager
def recorded(kind: SyncRun.Kind) -> Iterator[tuple[SyncRun, Held]]:
    """Run the block as the only runner of its kind, recorded as one SyncRun. Raises Superseded if another is at it.

    A run whose process died stays "running"; the next one shows that it went on.
    """
    with lease(kind) as held:
        run = SyncRun.objects.create(kind=kind)
        try:
            yield run, held
        except Superseded as failure:
            _finish(run, SyncRun.Outcome.SUPERSEDED, str(failure))
            raise
        except Exception as failure:
            _finish(run, SyncRun.Outcome.FAILED, f"{type(failure).__name__}: {failure}")
            raise
        _finish(run, SyncRun.Outcome.OK)


def _finish(run: SyncRun, outcome: SyncRun.Outcome, reason: str = "") -> None:
    SyncRun.objects.filter(pk=run.pk).update(
        finished_at=Now(), outcome=outcome, reason=reason[:2000], ledger=run.ledger, counts=run.counts
    )
