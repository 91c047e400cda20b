"""The installation that `make run` begins with: it shows how far it is, and what pip says when it fails."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ajo.settings import BASE_DIR


def install(file: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "devtools/stack/install.py", str(file)]
    env = os.environ | {"PIP_NO_INDEX": "1"}  # what is installed already needs no download
    return subprocess.run(argv, cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=120)


def test_it_says_how_many_there_are_and_when_it_is_done(tmp_path: Path) -> None:
    pinned = re.findall(
        r"^(?:sqlparse|tzdata|vine)==\S+.*(?:\n    --hash\S+.*)+", (BASE_DIR / "requirements.txt").read_text(), re.M
    )
    file = tmp_path / "some.txt"
    file.write_text("\n".join(["# comment", *pinned, ""]))
    done = install(file)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == f"Installing {len(pinned)} packages from {file} into .venv: once, a minute or two."
    assert lines[1] == f"  {len(pinned)} of {len(pinned)} packages"
    assert re.fullmatch(r"  done in \d+ s", lines[2])


def test_a_failure_shows_what_pip_said(tmp_path: Path) -> None:
    file = tmp_path / "none.txt"
    file.write_text(f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    done = install(file)
    assert done.returncode == 1
    assert "No matching distribution found for no-such-package==1.0" in done.stderr
