"""Web processes that hang are replaced: each tells its parent once a second that it is well, and is killed if it stops.

granian starts a process again that ended. One that is frozen, or in which no thread of Python gets on, does not end by
itself, and the kernel goes on giving it a share of the connections.
"""

from __future__ import annotations

import logging
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

log = logging.getLogger(__name__)

BEAT_EVERY = 1.0  # seconds
SILENT_BEATS = 10  # that a process may miss
START_BEATS = 120  # that a process may take until its first one: it imports everything
STUCK = 60.0  # seconds after which a request will not end any more: its waits all end earlier
_PID: Final = struct.Struct("=i")


class Requests:
    """A WSGI application that notes since when each thread has been busy with its request."""

    def __init__(self, application: Callable[..., Iterable[bytes]], threads: int) -> None:
        self._application = application
        self._threads = threads
        self._began: dict[int, float] = {}  # by thread

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        thread = threading.get_ident()
        self._began[thread] = time.monotonic()
        try:
            return self._application(environ, start_response)
        finally:
            del self._began[thread]

    def are_stuck(self, now: float) -> bool:
        """Whether every thread that answers requests has been busy with one for too long."""
        began = self._began.copy().values()
        return len(began) >= self._threads and now - max(began) > STUCK


def beat_always(pipe: Connection, requests: Requests) -> None:
    """In a web process: tell the parent that requests are answered. It never waits for a parent that is frozen."""
    os.set_blocking(pipe.fileno(), False)

    def beat() -> None:
        while True:
            if not requests.are_stuck(time.monotonic()):
                with suppress(BlockingIOError):
                    os.write(pipe.fileno(), _PID.pack(os.getpid()))  # atomic, as it is so short
            time.sleep(BEAT_EVERY)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


class Watch:
    """In the parent: kills processes that miss their beats.

    It counts its own rounds rather than seconds: after a pause of the whole machine, or of the parent alone, nobody is
    late. `pids` gives the processes as they are now.
    """

    def __init__(self, pipe: Connection, pids: Callable[[], Iterable[int | None]]) -> None:
        self._pipe = pipe
        self._pids = pids
        self._missed: dict[int, int] = {}  # beats, by process; below zero until the first one

    def start(self) -> None:
        os.set_blocking(self._pipe.fileno(), False)
        threading.Thread(target=self._watch_always, name="watch", daemon=True).start()

    def _watch_always(self) -> None:
        while True:
            time.sleep(BEAT_EVERY)
            self._look()

    def _look(self) -> None:
        heard = self._heard()
        pids = {pid for pid in self._pids() if pid}
        self._missed = {pid: self._missed.get(pid, SILENT_BEATS - START_BEATS) + 1 for pid in pids}
        for pid in pids & heard:
            self._missed[pid] = 0
        for pid in pids:
            if self._missed[pid] > SILENT_BEATS:
                log.error(
                    "web process %d has said nothing for %d seconds: it is killed and replaced", pid, SILENT_BEATS
                )
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _heard(self) -> set[int]:
        with suppress(BlockingIOError):
            return {pid for (pid,) in _PID.iter_unpack(os.read(self._pipe.fileno(), 2**16))}
        return set()
