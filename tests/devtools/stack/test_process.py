"""Parts of the stack: what is kept of their logs."""

import sys
from pathlib import Path

from devtools.stack.process import KEPT_LOGS, ManagedProcess


def test_the_log_of_an_earlier_start_is_kept_and_the_oldest_makes_room(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "part.log"
    starts = KEPT_LOGS + 3
    for number in range(1, starts + 1):
        part = ManagedProcess("ManagedProcess", [sys.executable, "-c", f"print('start {number}')"], log)
        part.start()
        assert part.process is not None
        part.process.wait(30)
        part.stop()
    kept = {path.name: path.read_text() for path in log.parent.iterdir()}
    earlier = {f"part.log.{age}": f"start {starts - age}\n" for age in range(1, KEPT_LOGS + 1)}
    assert kept == earlier | {"part.log": f"start {starts}\n"}


def test_an_empty_log_takes_the_place_of_none_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    for code in ("print('it died of this')", "pass", "pass"):
        part = ManagedProcess("ManagedProcess", [sys.executable, "-c", code], log)
        part.start()
        assert part.process is not None
        part.process.wait(30)
        part.stop()
    assert (tmp_path / "part.log.1").read_text() == "it died of this\n"
    assert not (tmp_path / "part.log.2").exists()
