"""Examines the settings, the background processes, the clocks and the disks."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import Error, connection

from ajo.conf.checks import check_settings
from ajo.conf.env import given
from ajo.database.limits import limited
from ajo.ops.doctor.chain import Node
from ajo.ops.doctor.database import LIMITS
from ajo.ops.doctor.finding import Finding, error, ok, warning
from ajo.ops.heartbeats import process_problems, processes, reported_silent
from ajo.ops.models import Heartbeat

# Seconds by which two clocks may differ: a task expires after SYNC_INTERVAL, answers are stale after STALE_AFTER.
MAX_SKEW = 2.0
MAX_LEDGER_AGE = 60.0  # seconds; a ledger closes about every 5
LITTLE, NOTHING = 2**30, 64 * 2**20  # bytes of free space
COMMANDS: Final = {
    Heartbeat.ManagedProcess.WORKER: "celery -A ajo.celery worker",
    Heartbeat.ManagedProcess.BEAT: "celery -A ajo.celery beat",
}


def settings_findings() -> Iterator[Finding]:
    """Yield each setting that is refused, and each variable that nothing reads, with the nearest one."""
    found = check_settings()
    for message in found:
        bad = error if message.is_serious() else warning
        yield bad("settings", str(message.msg).rstrip("."), "correct it; .env.example has every setting")
    if not any(message.is_serious() for message in found):
        file = settings.ENV_FILE.path
        yield ok("settings", f"complete, from the environment{f' and {file}' if file.is_file() else ''}")
    # isfile, unlike Path.is_file, is False in a folder that only another account may read
    elif not given("DATABASE_URL") and os.path.isfile(written := settings.BASE_DIR / ".data" / "env"):
        what = f"no settings of servers were read; make run has written {written}"
        yield warning("settings", what, f"for its servers: ENV_FILE={written} .venv/bin/python manage.py …")


def process_findings() -> Iterator[Finding]:
    """Yield each worker and beat, and what is wrong with them. Yields nothing where the tables cannot be read."""
    try:
        with limited(LIMITS):
            known = processes()
    except Error:
        return
    for each in known:
        if not each.is_silent:
            yield ok(each.part, f"{each.name} is alive; {each.doing or 'it waits for a task'}")
    if not known:
        for part, command in COMMANDS.items():
            yield error(part, "none runs", f"start {command}")
    for problem in process_problems(known):
        name, _, words = problem.partition(": ")
        part = Heartbeat.ManagedProcess(name)
        silent = ", ".join(each.name for each in reported_silent([each for each in known if each.part == part]))
        who = f" ({silent})" if silent else ""
        yield error(part, f"{words}{who}", f"start {COMMANDS[part]} anew, and see its log")


def clock_findings(nodes: Sequence[Node], *, with_database: bool) -> Iterator[Finding]:
    """Yield how this host's clock compares with the database's, where that answers, and with the chain's."""
    skew = _database_skew() if with_database else None
    if skew is not None and abs(skew) > MAX_SKEW:
        what = f"this host's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the database's"
        yield warning("clocks", what, "synchronize both by NTP: tasks expire, and answers look stale")
    elif skew is not None:
        yield ok("clocks", f"this host and the database agree within {abs(skew):.1f} s")
    ages = [node.asked_at - node.closed_at.timestamp() for node in nodes if node.closed_at]
    if ages:
        yield _chain_clock(min(ages))


def _chain_clock(age: float) -> Finding:
    """Compare with the newest ledger's close, which is `age` seconds ago by this host."""
    if age < -MAX_SKEW and settings.AJO_SANDBOX:
        return ok("clocks", f"the sandbox's clock was moved on: it is {-age:.0f} s ahead of this host's")
    if age < -MAX_SKEW:
        what = f"this host's clock is at least {-age:.0f} s behind the chain's"
        return warning("clocks", what, "synchronize it by NTP")
    if age > MAX_LEDGER_AGE:
        what = f"the chain's newest ledger closed {age:.0f} s ago by this host's clock"
        return warning("clocks", what, "either the nodes stand still, or this host's clock is ahead: check NTP")
    return ok("clocks", f"the chain's newest ledger closed {max(age, 0):.0f} s ago")


def _database_skew() -> float | None:
    """Return by how many seconds this host's clock is ahead of the database's; None where it does not say."""
    try:
        with limited(LIMITS), connection.cursor() as cursor:
            before = time.time()
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            row = cursor.fetchone()
            after = time.time()
    except Error:
        return None
    return None if row is None else (before + after) / 2 - float(row[0])


def disk_findings() -> Iterator[Finding]:
    """Yield the free space of each disk that a process writes to."""
    places = {"temporary files": tempfile.gettempdir(), "PROMETHEUS_MULTIPROC_DIR": settings.METRICS_DIR}
    seen = set()
    for what, place in places.items():
        if not place or (device := Path(place).stat().st_dev) in seen:
            continue
        seen.add(device)
        disk = shutil.disk_usage(place)
        words = f"{disk.free / 2**20:,.0f} MB of {disk.total / 2**20:,.0f} MB are free for {what}"
        if disk.free < min(NOTHING, disk.total / 4):
            yield error("disk", words, "make room: nothing can be written")
        elif disk.free < min(LITTLE, disk.total / 10):
            yield warning("disk", words, "make room soon")
        else:
            yield ok("disk", words)
