"""Heartbeats of worker and beat, and the problems that they show.

The rows are in PostgreSQL, by its clock: Redis may be what is away, and hosts' clocks differ.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from django.db import connection
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from ajo.ops.models import Heartbeat

log = logging.getLogger(__name__)

WRITE_INTERVAL = 10.0  # seconds between two writes of a process
SILENT_AFTER = 35.0  # seconds: three writes were missed
# Seconds for which a silent process is reported while others of its part run: it may have been killed and replaced.
# After that its row is deleted, except the newest of a part.
REPORT_SILENCE_FOR = 3600.0

_WRITE: Final = """
INSERT INTO ops_heartbeat (name, part, seen_at) VALUES (%s, %s, now())
ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at
"""
_PRUNE: Final = """
DELETE FROM ops_heartbeat old WHERE seen_at < now() - make_interval(secs => %s)
AND EXISTS (SELECT FROM ops_heartbeat newer WHERE newer.part = old.part AND newer.seen_at > old.seen_at)
"""
_DELETE: Final = "DELETE FROM ops_heartbeat WHERE name = %s"


class HeartbeatThread(threading.Thread):
    """Writes this process's row every WRITE_INTERVAL until it ends.

    A frozen process stops with all its threads. The thread connects for each write: forked children share no session of
    it, and a session that hangs blocks nothing else. A write that fails is logged and tried again.
    """

    def __init__(self, part: Heartbeat.ManagedProcess) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._part = part
        self._pid = os.getpid()
        self.row_name = f"{part}@{socket.gethostname()}:{self._pid}"[-255:]
        self._ended = threading.Event()

    def run(self) -> None:
        self.write()
        while not self._ended.wait(WRITE_INTERVAL):
            self.write()

    def write(self) -> None:
        """Write the row once, and delete those of processes that are long gone. A failure is logged."""
        try:
            with _session() as session:
                session.execute(_WRITE, [self.row_name, self._part])
                session.execute(_PRUNE, [REPORT_SILENCE_FOR])
        except psycopg.Error as failure:
            log.warning("the heartbeat cannot be written (%s)", type(failure).__name__)

    def end(self) -> None:
        """Stop the thread and delete the row: an orderly end is not reported. Does nothing in a forked child."""
        if os.getpid() != self._pid:
            return
        self._ended.set()
        self.join(2 * WRITE_INTERVAL)
        try:
            with _session() as session:
                session.execute(_DELETE, [self.row_name])
        except psycopg.Error as failure:
            log.warning("the heartbeat cannot be taken back (%s)", type(failure).__name__)


_threads: dict[Heartbeat.ManagedProcess, HeartbeatThread] = {}


def start(name: str) -> None:
    """Start the heartbeat of this process as the part of this name, until the process ends. Idempotent."""
    part = Heartbeat.ManagedProcess(name)
    if part not in _threads:
        _threads[part] = thread = HeartbeatThread(part)
        thread.start()
        atexit.register(thread.end)


def _session() -> psycopg.Connection:
    """Connect with Django's parameters, without those that only its own connections take. Raises psycopg.Error."""
    parameters = connection.get_connection_params()
    plain = {name: value for name, value in parameters.items() if name not in ("pool", "cursor_factory", "context")}
    return psycopg.connect(**plain | {"connect_timeout": 2}, autocommit=True)


@dataclass(frozen=True, slots=True)
class Process:
    """A worker or beat with a heartbeat. `age`: seconds since its last write, by the database's clock."""

    name: str
    part: str
    age: float

    @property
    def is_silent(self) -> bool:
        # A negative age was written before that clock stepped back.
        return abs(self.age) > SILENT_AFTER


def processes() -> list[Process]:
    """Return the processes with a heartbeat, ordered by name."""
    age: Any = ExpressionWrapper(Now() - F("seen_at"), output_field=DurationField())
    rows = Heartbeat.objects.annotate(age=age).order_by("name").values_list("name", "part", "age")
    return [Process(name, part, age.total_seconds()) for name, part, age in rows]


def process_problems(known: Sequence[Process]) -> list[str]:
    """Return what is wrong with worker and beat, without names of hosts. Empty where no process ever wrote a row."""
    found = []
    for part in Heartbeat.ManagedProcess:
        ours = [each for each in known if each.part == part]
        silent = [abs(each.age) for each in ours if each.is_silent]
        if known and not ours:
            found.append(f"{part}: none runs")
        elif ours and len(silent) == len(ours):
            found.append(f"{part}: silent for {min(silent):.0f} s")
        elif recent := [age for age in silent if age < REPORT_SILENCE_FOR]:
            found.append(f"{part}: {len(recent)} of {len(ours)} silent for {min(recent):.0f} s")
    return found
