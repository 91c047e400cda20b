"""The commands of `make run`, `make stop`, `make status` and `make logs`: `python -m devtools.stack [COMMAND]`."""

import os
import sys
from pathlib import Path

from ajo.conf.env import EnvFile
from devtools.stack import commands
from devtools.stack.config import StackConfig
from devtools.stack.process import StackError
from devtools.stack.stack import Stack, stop_on_signals

ASIDE = {"stop": commands.stop, "status": commands.status, "logs": commands.logs}


def main(command: str = "run") -> int:
    """Run the stack, or ask the one that runs. Returns 1, with a line on stderr, when something keeps it from that."""
    file = EnvFile(Path(__file__).resolve().parents[2])
    file.load()
    try:
        for name, what in file.problems:
            raise StackError(f"{name}: {what}")
        config = StackConfig.read(os.environ)
        if command in ASIDE:
            return ASIDE[command](config)
        stop_on_signals()
        Stack(config, os.environ, file.path).run()
    except StackError as error:
        print(f"make {command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
