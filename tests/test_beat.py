"""The scheduler: due at once, then by a clock that no step of the machine's time changes."""

import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.conf import LazySettings

from ajo.beat import SteadyScheduler
from ajo.celery import app, every


class Quiet(SteadyScheduler):
    """Sends nothing, notes what is due."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        sent.append(entry.name)


sent: list[str] = []


@pytest.fixture
def scheduler() -> SteadyScheduler:
    sent.clear()
    quiet = Celery("quiet", broker="memory://", set_as_current=False)
    quiet.conf.result_expires = None
    quiet.conf.beat_schedule = {"often": every("a", 5), "seldom": every("b", 300)}
    return Quiet(quiet)


def run(scheduler: SteadyScheduler) -> float:
    """Tick until nothing is due; seconds until the next."""
    while True:
        wait = float(scheduler.tick())
        if wait > 0:
            return wait


def test_every_task_is_due_when_beat_starts(scheduler: SteadyScheduler) -> None:
    assert 4 < run(scheduler) <= 5
    assert sorted(sent) == ["often", "seldom"]


@pytest.mark.parametrize("step", [-3600, 3600])
def test_beat_goes_on_when_the_machines_clock_steps(
    scheduler: SteadyScheduler, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    wall, steady = time.time, time.monotonic
    passed = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: steady() + passed[0])
    run(scheduler)
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    for _ in range(3):
        passed[0] += 5.5
        run(scheduler)
    assert sent.count("often") == 4
    assert sent.count("seldom") == 1


def test_tasks_expire_with_their_interval_and_nothing_else_is_scheduled() -> None:
    schedule = app.conf.beat_schedule
    assert {name: (entry["schedule"], entry["options"]["expires"]) for name, entry in schedule.items()} == {
        "sync": (5, 5),
        "sweep": (300, 300),
        "prune_runs": (86_400, 86_400),
        "transactions": (5, 5),
    }
    assert sorted(SteadyScheduler(app).schedule) == ["prune_runs", "sweep", "sync", "transactions"]


def test_a_task_that_the_broker_took_touches_the_file(tmp_path: Path, settings: LazySettings) -> None:
    settings.BEAT_FILE = str(tmp_path / "beat")
    scheduler = SteadyScheduler(app)
    scheduler.tick()
    assert (tmp_path / "beat").exists()
