"""Heartbeats of worker and beat, and the problems that they show.

The rows are in PostgreSQL, by its clock: Redis may be what is away, and hosts' clocks differ.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from psycopg.types.json import Jsonb
from redis import RedisError

from ajo.database.sessions import connect_apart
from ajo.ops.facts import waiting_tasks
from ajo.ops.models import Heartbeat
from ajo.ops.predecessors import supersede

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 2  # seconds
WRITE_INTERVAL = 10.0  # seconds between two writes of a process
SILENT_AFTER = 35.0  # seconds: three writes were missed
# Seconds for which a silent process is reported while others of its part run: it may have been killed, and replaced on
# another host (on its own, its successor deletes its row). After that its row is deleted, except the newest of a part.
REPORT_SILENCE_FOR = 3600.0
MISSED_SENDS = 3  # of a beat that runs: it sends a task in every SYNC_INTERVAL

_WRITE: Final = """
INSERT INTO ops_heartbeat (name, part, seen_at, tasks) VALUES (%s, %s, now(), %s)
ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, tasks = excluded.tasks
"""
_PRUNE: Final = """
DELETE FROM ops_heartbeat old WHERE seen_at < now() - make_interval(secs => %s)
AND EXISTS (SELECT FROM ops_heartbeat newer WHERE newer.part = old.part AND newer.seen_at > old.seen_at)
"""
_DELETE: Final = "DELETE FROM ops_heartbeat WHERE name = %s"


@dataclass(frozen=True, slots=True)
class Activity:
    """A task, and for how many seconds a worker has run it, or how many seconds ago beat sent it."""

    name: str
    seconds: float


def _nothing() -> list[Activity]:
    return []


class HeartbeatThread(threading.Thread):
    """Writes this process's row every WRITE_INTERVAL until it ends.

    A frozen process stops with all its threads. The thread connects for each write: forked children share no session of
    it, and a session that hangs blocks nothing else. A write that fails is logged and tried again.
    """

    def __init__(self, part: Heartbeat.ManagedProcess, does: Callable[[], list[Activity]] = _nothing) -> None:
        """`does` returns what the process does now."""
        super().__init__(name="heartbeat", daemon=True)
        self._part = part
        self._does = does
        self._pid = os.getpid()
        self.row_name = f"{part}@{socket.gethostname()}:{self._pid}"[-255:]
        self._ended = threading.Event()
        self._has_written = False

    def run(self) -> None:
        self.write()
        while not self._ended.wait(WRITE_INTERVAL):
            self.write()

    def write(self) -> None:
        """Write the row once, and delete those of processes that are long gone. A failure is logged.

        The first write takes the place of a process of this part that died on this host.
        """
        try:
            with connect_apart(connect_timeout=CONNECT_TIMEOUT) as session:
                tasks = Jsonb([asdict(task) for task in self._does()])
                if not self._has_written and (dead := supersede(session, self.row_name)):
                    log.warning("%s takes the place of %s, which was killed", self.row_name, dead)
                session.execute(_WRITE, [self.row_name, self._part, tasks])
                self._has_written = True
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
            with connect_apart(connect_timeout=CONNECT_TIMEOUT) as session:
                session.execute(_DELETE, [self.row_name])
        except psycopg.Error as failure:
            log.warning("the heartbeat cannot be taken back (%s)", type(failure).__name__)


_threads: dict[Heartbeat.ManagedProcess, HeartbeatThread] = {}


def start(part: Heartbeat.ManagedProcess, does: Callable[[], list[Activity]]) -> None:
    """Start the heartbeat of this process, which is such a part, until the process ends. Idempotent."""
    if part not in _threads:
        _threads[part] = thread = HeartbeatThread(part, does)
        thread.start()
        atexit.register(thread.end)


@dataclass(frozen=True, slots=True)
class Process:
    """A worker or beat with a heartbeat.

    `age`: seconds since its last write, by the database's clock. `tasks`: what it did then, its seconds counted to now.
    """

    name: str
    part: str
    age: float
    tasks: tuple[Activity, ...] = ()

    @property
    def is_silent(self) -> bool:
        # A negative age was written before that clock stepped back.
        return abs(self.age) > SILENT_AFTER

    @property
    def doing(self) -> str:
        """Return what it does, in words; empty for a worker that waits."""
        words = "sent {} {:.0f} s ago" if self.part == Heartbeat.ManagedProcess.BEAT else "runs {} for {:.0f} s"
        return ", ".join(words.format(task.name, task.seconds) for task in self.tasks)


def processes() -> list[Process]:
    """Return the processes with a heartbeat, ordered by name."""
    age: Any = ExpressionWrapper(Now() - F("seen_at"), output_field=DurationField())
    return [process_of(row, row.age.total_seconds()) for row in Heartbeat.objects.annotate(age=age).order_by("name")]


def process_of(row: Heartbeat, age: float) -> Process:
    """Return the process of a row that was written `age` seconds ago."""
    tasks = tuple(Activity(task["name"], task["seconds"] + max(0.0, age)) for task in row.tasks)
    return Process(row.name, row.part, age, tasks)


def process_problems(known: Sequence[Process]) -> list[str]:
    """Return what is wrong with worker and beat, without names of hosts. Empty where no process ever wrote a row.

    A worker that is away is told with the number of tasks that wait for it, unless the broker is away as well.
    """
    found = []
    for part in Heartbeat.ManagedProcess:
        ours = [each for each in known if each.part == part]
        silent = reported_silent(ours)
        if known and not ours:
            found.append(f"{part}: none runs{_waiting(part)}")
        elif silent:
            some = "" if all(each.is_silent for each in ours) else f"{len(silent)} of {len(ours)} "
            words = f"{some}silent for {abs(silent[0].age):.0f} s"
            found.append(f"{part}: {words}{_waiting(part)}{_last_seen(silent[0])}")
        elif part == Heartbeat.ManagedProcess.BEAT and (idle := _idle_beat(ours)):
            found.append(f"{part}: runs, and has sent no task for {idle:.0f} s")
    return found


def reported_silent(ours: Sequence[Process]) -> list[Process]:
    """Return the silent ones of a part's processes that are reported, the one that was heard last first.

    While others run, those that have been silent for REPORT_SILENCE_FOR are not.
    """
    silent = sorted((each for each in ours if each.is_silent), key=lambda each: abs(each.age))
    recent = [each for each in silent if abs(each.age) < REPORT_SILENCE_FOR]
    return silent if len(silent) == len(ours) else recent


def work_words(known: Sequence[Process]) -> str:
    """Return what the workers do, and how many tasks wait, to end a sentence about them."""
    workers = [each for each in known if each.part == Heartbeat.ManagedProcess.WORKER]
    doing = [f"; it {each.doing}" for each in workers if each.tasks]
    return _waiting(Heartbeat.ManagedProcess.WORKER) + (doing[0] if doing else "")


def _idle_beat(ours: Sequence[Process]) -> float:
    """Return the seconds since any beat sent a task, where that is too long ago; else 0."""
    since = min((task.seconds for each in ours for task in each.tasks), default=0.0)
    return since if since > MISSED_SENDS * settings.SYNC_INTERVAL + SILENT_AFTER else 0.0


def _waiting(part: str) -> str:
    """Return how many tasks wait, for a sentence about workers."""
    if part != Heartbeat.ManagedProcess.WORKER:
        return ""
    try:
        number = waiting_tasks()
    except RedisError:
        return ""  # readiness names the broker
    return f", {number} task{'s wait' if number > 1 else ' waits'}" if number else ""


def _last_seen(process: Process) -> str:
    """Return what a silent process did when it was last heard of."""
    verb = "it had sent" if process.part == Heartbeat.ManagedProcess.BEAT else "it ran"
    return f"; {verb} {process.tasks[0].name}" if process.tasks else ""
