"""Replace web processes that hang: each sends its parent a heartbeat once a second, and is killed when they stop.

granian starts a process again that ended. One that is frozen, or in which no thread of Python makes progress, does not
end by itself, and the kernel goes on giving it a share of the connections.
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

BEAT_INTERVAL = 1.0  # seconds
MAX_MISSED_BEATS = 10
MAX_START_BEATS = 120  # that a process may miss before its first one: it imports everything
STUCK_AFTER = 60.0  # seconds that no request takes: all waits end earlier
_PID: Final = struct.Struct("=i")


class Requests:
    """A WSGI application that records since when each of its `threads` has been busy with a request."""

    def __init__(self, application: Callable[..., Iterable[bytes]], threads: int) -> None:
        self._application = application
        self._threads = threads
        self._began: dict[int, float] = {}  # by thread, of time.monotonic

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        thread = threading.get_ident()
        self._began[thread] = time.monotonic()
        try:
            return self._application(environ, start_response)
        finally:
            del self._began[thread]

    def are_stuck(self, now: float) -> bool:
        """Return whether every thread has been busy with one request for more than STUCK_AFTER seconds."""
        began = self._began.copy().values()
        return len(began) >= self._threads and now - max(began) > STUCK_AFTER


def beat_always(pipe: Connection, requests: Requests) -> None:
    """Send heartbeats to the parent while requests are answered, from a thread of a web process.

    It never waits for a parent that is frozen: a heartbeat that the pipe has no room for is dropped.
    """
    os.set_blocking(pipe.fileno(), False)

    def beat() -> None:
        while True:
            if not requests.are_stuck(time.monotonic()):
                with suppress(BlockingIOError):
                    os.write(pipe.fileno(), _PID.pack(os.getpid()))  # atomic, as it is so short
            time.sleep(BEAT_INTERVAL)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


class Watch:
    """Kills processes that miss their heartbeats; it runs in the parent.

    It counts its own rounds rather than seconds: after a pause of the whole machine, or of the parent alone, no process
    is late. `pids` returns the processes as they are now.
    """

    def __init__(self, pipe: Connection, pids: Callable[[], Iterable[int | None]]) -> None:
        self._pipe = pipe
        self._pids = pids
        self._missed: dict[int, int] = {}  # beats, by process; below zero until the first one

    def start(self) -> None:
        """Check once a second from a thread of its own."""
        os.set_blocking(self._pipe.fileno(), False)
        threading.Thread(target=self._check_forever, name="watch", daemon=True).start()

    def _check_forever(self) -> None:
        while True:
            time.sleep(BEAT_INTERVAL)
            self._check()

    def _check(self) -> None:
        heard = self._received()
        pids = {pid for pid in self._pids() if pid}
        self._missed = {pid: self._missed.get(pid, MAX_MISSED_BEATS - MAX_START_BEATS) + 1 for pid in pids}
        for pid in pids & heard:
            self._missed[pid] = 0
        for pid in pids:
            if self._missed[pid] > MAX_MISSED_BEATS:
                log.error(
                    "web process %d has said nothing for %d seconds: it is killed and replaced", pid, MAX_MISSED_BEATS
                )
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _received(self) -> set[int]:
        """Return the ids of the processes whose heartbeats have arrived since the last round."""
        with suppress(BlockingIOError):
            return {pid for (pid,) in _PID.iter_unpack(os.read(self._pipe.fileno(), 2**16))}
        return set()
