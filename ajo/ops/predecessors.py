"""Heartbeats that killed processes left behind, and the successor that takes the place of one.

Each start supersedes one dead process of its own part and host: two killed and one started leave one to report. Whether
a process runs is asked of this host's kernel, never concluded from its silence: one that hangs is still reported.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import psycopg

ROUNDING = 1.0  # seconds by which two ages of one process may differ
_ENDED: Final = ("Z", "X")  # states in /proc/PID/stat (man 5 proc) of a process that runs no more
_ROWS: Final = """
SELECT name, extract(epoch FROM now() - seen_at)::float8 FROM ops_heartbeat
WHERE starts_with(name, %s) ORDER BY seen_at DESC
"""
_DELETE: Final = "DELETE FROM ops_heartbeat WHERE name = %s"


def supersede(session: psycopg.Connection[Any], row_name: str) -> str:
    """Delete the row of the dead process whose place the process of `row_name` takes. Return its name, or nothing.

    Call it before the first write. A row of the same name is such a place: in a container, ids begin anew.
    """
    prefix = row_name[: row_name.rindex(":") + 1]
    rows = session.execute(_ROWS, [prefix]).fetchall()
    if row_name in (name for name, _ in rows):
        return ""
    for name, silence in rows:
        pid = name.removeprefix(prefix)
        # Of two that start at once, the second finds the row gone, and takes the next.
        if pid.isdecimal() and not runs(int(pid), silence) and session.execute(_DELETE, [name]).rowcount:
            return str(name)
    return ""


def runs(pid: int, silence: float) -> bool:
    """Return whether the process that was heard `silence` seconds ago runs on this host, be it frozen.

    One that began since then has been given the id of another.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another account's
    try:
        # behind the name, which may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0] not in _ENDED and (age < 0 or age + ROUNDING > silence)
