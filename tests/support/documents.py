"""Commands in the documents, which tests run as they stand there."""

import os
import subprocess
import sys
from collections.abc import Mapping

from ajo.settings import BASE_DIR
from devtools.stack.postgres_server import find_install

PYTHON = ".venv/bin/python"


def commands(document: str, heading: str) -> list[str]:
    """Return the lines of the indented blocks below a heading of docs/`document`, up to the next heading."""
    lines = (BASE_DIR / "docs" / document).read_text().splitlines()
    [start] = [number for number, line in enumerate(lines) if line.startswith("#") and line.lstrip("# ") == heading]
    found = []
    for line in lines[start + 1 :]:
        if line.startswith("#"):
            break
        if line.startswith("    "):
            found.append(line[4:])
    assert found, f"{document} has no commands below {heading}"
    return found


def run_line(line: str, env: Mapping[str, str], folder: os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    """Run a line with bash in the project, with the embedded PostgreSQL's programs; files it names are in `folder`."""
    line = line.replace(PYTHON, sys.executable).replace("ajo.dump", f"{os.fspath(folder)}/ajo.dump")
    path = f"{find_install() / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=BASE_DIR, env={**os.environ, **env, "PATH": path}, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
