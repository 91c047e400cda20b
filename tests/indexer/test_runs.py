"""SyncRun rows: old ones go, the newest of each kind stay."""

from datetime import timedelta

import pytest
from django.utils import timezone

from ajo.indexer import runs
from ajo.indexer.tasks import prune_runs
from ajo.soroban.models import SyncRun

SYNC, SWEEP = SyncRun.Kind.SYNC, SyncRun.Kind.SWEEP
OK, RUNNING = SyncRun.Outcome.OK, SyncRun.Outcome.RUNNING


def made(kind: SyncRun.Kind, days: float, outcome: SyncRun.Outcome = OK) -> int:
    started_at = timezone.now() - timedelta(days=days)
    return SyncRun.objects.create(kind=kind, outcome=outcome, started_at=started_at).pk


def left() -> set[int]:
    return set(SyncRun.objects.values_list("pk", flat=True))


@pytest.mark.django_db
def test_runs_older_than_the_setting_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PRUNE_BATCH", 2)  # so that it takes more than one batch
    for days in (90, 80, 70, 60, 50):
        made(SYNC, days)
    young = {made(SYNC, 13.9), made(SYNC, 1)}
    prune_runs.apply()
    assert left() == young


@pytest.mark.django_db
def test_the_newest_of_each_kind_and_the_newest_that_ended_stay_however_old() -> None:
    made(SWEEP, 99)
    made(SYNC, 98)
    kept = {made(SWEEP, 97), made(SYNC, 96), made(SYNC, 95, RUNNING)}
    assert runs.prune(14) == 2
    assert left() == kept


@pytest.mark.django_db
def test_a_second_time_there_is_nothing_to_delete() -> None:
    for days in (30, 20, 1):
        made(SYNC, days)
    assert (runs.prune(14), runs.prune(14)) == (2, 0)
