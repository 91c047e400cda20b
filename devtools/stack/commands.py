"""`make stop`, `make status` and `make logs`: what a second terminal asks of a running stack."""

import os
import signal
import sys
import time
from pathlib import Path

from devtools.stack.config import StackConfig
from devtools.stack.probes import health
from devtools.stack.process import POLL_SECONDS, StackError
from devtools.stack.state import Part, State, read_state

STOP_TIMEOUT = 120.0  # seconds: the parts end one after the other
SHOWN_LINES = 20  # of each log


def stop(config: StackConfig) -> int:
    """Stop the stack of this folder, and wait until it has ended. Returns 0, also where nothing runs."""
    state = read_state(config.data)
    if state is None:
        print(f"Nothing runs in {config.data}.")
        return 0
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while read_state(config.data) is not None:
        if time.monotonic() > deadline:
            raise StackError(f"process {state.pid} does not end: see {config.data}/logs")
        time.sleep(POLL_SECONDS)
    print("Stopped.")
    return 0


def status(config: StackConfig) -> int:
    """Print what runs, since when, and what is wrong. Returns 0: reads are answered; 1: they are not; 3: nothing runs.

    3 is what init scripts return for a program that is not running (Linux Standard Base).
    """
    state = read_state(config.data)
    if state is None:
        print(f"Nothing runs in {config.data}. make run starts it.")
        return 3
    print(f"Ajo runs in {config.data} (process {state.pid}).")
    for part in state.parts:
        print(f"  {part.name:<14} {_since(part)}")
    return _readiness(state)


def _since(part: Part) -> str:
    if part.pid is None or not Path(f"/proc/{part.pid}").exists():
        return "does not run"
    age = max(0, int(time.time() - part.started_at))
    return f"process {part.pid}, for {age // 3600} h {age // 60 % 60:02} min {age % 60:02} s"


def _readiness(state: State) -> int:
    code, problems = health(state.host, state.port)
    if code == 0:
        print("  The web does not answer.")
        return 1
    words = "\n".join(f"  Problem: {problem}" for problem in problems)
    print(words or "  All is well.")
    return 0 if code == 200 else 1


def logs(config: StackConfig) -> int:
    """Show the end of each part's log, and what is added while the stack runs. Ends with Ctrl-C."""
    files = sorted(str(path) for path in (config.data / "logs").glob("*.log"))
    if not files:
        raise StackError(f"there are no logs in {config.data}/logs: make run writes them")
    follow = ["-F"] if read_state(config.data) is not None else []
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", str(SHOWN_LINES), *follow, *files])  # noqa: S606  # fixed arguments, no shell
