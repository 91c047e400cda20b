"""`python -m ajo.devstack`, which `make run` calls."""

import os
import sys
from pathlib import Path

from ajo.devstack.process import StackError
from ajo.devstack.stack import Choice, Stack, stop_on_signals
from ajo.env import read_env_file


def main() -> int:
    """0 after a signal, 1 with one line on stderr when something keeps the stack from running."""
    read_env_file(Path(__file__).resolve().parents[2])
    stop_on_signals()
    try:
        Stack(Choice.read(os.environ), os.environ).run()
    except StackError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
