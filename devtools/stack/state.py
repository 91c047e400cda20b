"""What a running stack leaves in its folder for a second terminal: a lock, and a file that says what runs."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from devtools.stack.process import ManagedProcess, StackError
from devtools.stack.secret import write_private

STATE = "state.json"


@dataclass(frozen=True)
class Part:
    """A process of the stack: its id, its log, and since when it runs (seconds since 1970)."""

    name: str
    pid: int | None
    log: str
    started_at: float


@dataclass(frozen=True)
class State:
    """A stack: its process id, where its web answers, and its parts."""

    pid: int
    host: str
    port: int
    parts: tuple[Part, ...]


def _is_locked(data: Path) -> bool:
    try:
        with (data / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Lock the folder against a second stack, until the process ends. Raises StackError if it is locked."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(
                f"Ajo runs in {data} already: make stop ends it; a second one needs a DATA_DIR and ports of its own"
            ) from error
        (data / STATE).unlink(missing_ok=True)  # of a stack that was killed
        yield


def write_state(data: Path, host: str, port: int, parts: Sequence[ManagedProcess]) -> None:
    """Say in the folder what runs now."""
    now = tuple(Part(each.name, each.pid, str(each.log), each.started_at) for each in parts)
    write_private(data / STATE, json.dumps(asdict(State(os.getpid(), host, port, now)), indent=1))


def read_state(data: Path) -> State | None:
    """Return what runs in the folder; None where nothing does."""
    if not _is_locked(data):
        return None
    try:
        found = json.loads((data / STATE).read_text())
        return State(**found | {"parts": tuple(Part(**part) for part in found["parts"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None  # it has only just begun, or is another version's
