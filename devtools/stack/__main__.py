"""The command of `make run`: `python -m devtools.stack`."""

import os
import sys
from pathlib import Path

from ajo.conf.env import EnvFile
from devtools.stack.process import StackError
from devtools.stack.stack import Stack, StackConfig, stop_on_signals


def main() -> int:
    """Run the stack. Returns 0 after a signal, and 1 with a line on stderr when something keeps it from running."""
    file = EnvFile(Path(__file__).resolve().parents[2])
    file.load()
    stop_on_signals()
    try:
        for name, what in file.problems:
            raise StackError(f"{name}: {what}")
        Stack(StackConfig.read(os.environ), os.environ, file.path).run()
    except StackError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
