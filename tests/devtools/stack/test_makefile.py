"""The Makefile where nothing has been installed yet."""

import subprocess
from pathlib import Path

import pytest

from ajo.settings import BASE_DIR


@pytest.mark.parametrize(("target", "code"), [("stop", 0), ("status", 0), ("logs", 2)])
def test_asking_before_the_first_start_installs_nothing_and_says_so(tmp_path: Path, target: str, code: int) -> None:
    """make itself ends with 2 where a command of its own fails."""
    argv = ["make", "-f", str(BASE_DIR / "Makefile"), target]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr.startswith("Nothing runs here: make run has not been used yet.\n")
    assert list(tmp_path.iterdir()) == []
