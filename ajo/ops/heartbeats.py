"""Worker and beat say that they run; who has fallen silent is named to staff, readiness and metrics.

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

INTERVAL = 10.0  # seconds between two writes of a process
SILENT_AFTER = 35.0  # seconds: three writes were missed
# Seconds for which a process that fell silent is told of beside others of its part that run: it may have been killed
# and replaced. After that its row is deleted, but for the newest of a part.
TOLD_FOR = 3600.0

_WRITE: Final = """
INSERT INTO ops_heartbeat (name, part, seen_at) VALUES (%s, %s, now())
ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at
"""
_PRUNE: Final = """
DELETE FROM ops_heartbeat old WHERE seen_at < now() - make_interval(secs => %s)
AND EXISTS (SELECT FROM ops_heartbeat newer WHERE newer.part = old.part AND newer.seen_at > old.seen_at)
"""
_DELETE: Final = "DELETE FROM ops_heartbeat WHERE name = %s"


class Pulse(threading.Thread):
    """Write this process's row until it ends.

    A process that is frozen stops with all its threads. The thread has a session of its own, made for each write: none
    is shared with children that are forked meanwhile, and one that hangs holds up nothing else.
    """

    def __init__(self, part: Heartbeat.ManagedProcess) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._part = part
        self._pid = os.getpid()
        self._row = f"{part}@{socket.gethostname()}:{self._pid}"[-255:]
        self._ended = threading.Event()

    def run(self) -> None:
        while True:
            try:
                with _session() as session:
                    session.execute(_WRITE, [self._row, self._part])
                    session.execute(_PRUNE, [TOLD_FOR])
            except psycopg.Error as failure:
                log.warning("the heartbeat cannot be written (%s)", type(failure).__name__)
            if self._ended.wait(INTERVAL):
                return

    def end(self) -> None:
        """Delete the row: who ends in order is not missed."""
        if os.getpid() != self._pid:
            return  # in a child that was forked
        self._ended.set()
        self.join(2 * INTERVAL)
        try:
            with _session() as session:
                session.execute(_DELETE, [self._row])
        except psycopg.Error as failure:
            log.warning("the heartbeat cannot be taken back (%s)", type(failure).__name__)


_pulses: dict[Heartbeat.ManagedProcess, Pulse] = {}


def start(name: str) -> None:
    """Let this process say that it runs as the part of this name, until it ends; more calls change nothing."""
    part = Heartbeat.ManagedProcess(name)
    if part not in _pulses:
        _pulses[part] = pulse = Pulse(part)
        pulse.start()
        atexit.register(pulse.end)


def _session() -> psycopg.Connection:
    """Django's parameters, without what only its own connections take."""
    parameters = connection.get_connection_params()
    plain = {name: value for name, value in parameters.items() if name not in ("pool", "cursor_factory", "context")}
    return psycopg.connect(**plain | {"connect_timeout": 2}, autocommit=True)


@dataclass(frozen=True, slots=True)
class Process:
    """`age`: seconds since it was last heard from, by the database's clock."""

    name: str
    part: str
    age: float

    @property
    def is_silent(self) -> bool:
        # in either direction: a time far ahead was written before that clock stepped back
        return abs(self.age) > SILENT_AFTER


def processes() -> list[Process]:
    """All that are known, by name."""
    age: Any = ExpressionWrapper(Now() - F("seen_at"), output_field=DurationField())
    rows = Heartbeat.objects.annotate(age=age).order_by("name").values_list("name", "part", "age")
    return [Process(name, part, age.total_seconds()) for name, part, age in rows]


def silences(known: Sequence[Process]) -> list[str]:
    """What is wrong with worker and beat, without names of hosts. Empty where nothing of them was ever heard."""
    found = []
    for part in Heartbeat.ManagedProcess:
        ours = [each for each in known if each.part == part]
        silent = [abs(each.age) for each in ours if each.is_silent]
        if known and not ours:
            found.append(f"{part}: none runs")
        elif ours and len(silent) == len(ours):
            found.append(f"{part}: silent for {min(silent):.0f} s")
        elif recent := [age for age in silent if age < TOLD_FOR]:
            found.append(f"{part}: {len(recent)} of {len(ours)} silent for {min(recent):.0f} s")
    return found
