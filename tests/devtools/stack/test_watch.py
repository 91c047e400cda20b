"""A part that died alone is started again, but not for ever."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.stack import watch
from devtools.stack.process import ManagedProcess, StackError
from devtools.stack.watch import MAX_RESTARTS, Watch
from tests.support.waiting import wait_for

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def part(tmp_path: Path) -> Iterator[ManagedProcess]:
    made = ManagedProcess("Part", SLEEPS, tmp_path / "part.log")
    made.start()
    yield made
    made.stop()


def die(part: ManagedProcess) -> int:
    """Kill the part; its process id."""
    assert part.process is not None
    part.process.kill()
    part.process.wait(30)
    return part.process.pid


def started_again(part: ManagedProcess, checks: Watch) -> bool:
    old = die(part)
    checks.check()
    return part.pid != old and not part.has_ended


def test_it_gives_up_at_the_fourth_death_within_a_minute(
    part: ManagedProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MIN_LIFE", -1.0)
    starts: list[int | None] = []
    checks = Watch([part], tmp_path, lambda: starts.append(part.pid))
    assert [started_again(part, checks) for _ in range(MAX_RESTARTS)] == [True] * 3
    assert len(set(starts)) == 3
    die(part)
    with pytest.raises(StackError, match=r"^Part stopped \(killed by SIGKILL\): see "):
        checks.check()


def test_deaths_of_more_than_a_minute_ago_do_not_count(
    part: ManagedProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MIN_LIFE", -1.0)
    monkeypatch.setattr(watch, "PERIOD", 0.0)
    checks = Watch([part], tmp_path, lambda: None)
    assert [started_again(part, checks) for _ in range(MAX_RESTARTS + 2)] == [True] * 5


def test_a_part_that_has_only_just_been_started_is_not_started_again_at_once(
    part: ManagedProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MIN_LIFE", 3600.0)
    checks = Watch([part], tmp_path, lambda: None)
    old = die(part)
    checks.check()
    assert part.pid == old
    part.started_at -= 3600
    checks.check()
    assert part.pid != old


def test_what_a_part_leaves_of_its_children_ends_before_it_is_started_again(tmp_path: Path) -> None:
    """Breaks if only the process itself were replaced: a worker's children would go on beside those of the new one."""
    parent = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    part = ManagedProcess("Part", [sys.executable, "-c", parent], tmp_path / "part.log")
    part.start()
    try:
        child = int(wait_for(lambda: part.log.read_text().strip(), what="the child's id"))
        die(part)
        part.started_at = 0.0
        Watch([part], tmp_path, lambda: None).check()
        wait_for(lambda: _has_ended(child), what="the child ends")
    finally:
        part.stop()


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_a_part_with_a_low_priority_has_it_with_its_children_and_when_it_is_started_again(tmp_path: Path) -> None:
    parent = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    part = ManagedProcess("Part", [sys.executable, "-c", parent], tmp_path / "part.log", niceness=4)
    lower = min(os.getpriority(os.PRIO_PROCESS, 0) + 4, 19)
    part.start()
    try:
        child = int(wait_for(lambda: part.log.read_text().strip(), what="the child's id"))
        part.lower_priority()
        assert [os.getpriority(os.PRIO_PROCESS, pid or 0) for pid in (part.pid, child)] == [lower] * 2
        die(part)
        part.started_at = 0.0
        Watch([part], tmp_path, lambda: None).check()
        assert os.getpriority(os.PRIO_PROCESS, part.pid or 0) == lower
    finally:
        part.stop()
