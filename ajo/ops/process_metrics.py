"""What each process takes of its machine, and its pool of database sessions, for /metrics.

Each process writes a file of its own beside its counts (PROMETHEUS_MULTIPROC_DIR) every few seconds. The collector of
prometheus-client knows one process, and shows nothing where counts are in files.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ajo.database.pool import pool_statistics

log = logging.getLogger(__name__)

WRITE_INTERVAL = 10.0  # seconds
FORGET_AFTER = 35.0  # seconds: a process that has missed three writes is gone
FILES: Final = "process_*.json"
LABELS: Final = ("part", "process")
# By key of a sample: the metric's name, its kind and its text.
METRICS: Final = {
    "memory": ("ajo_process_resident_memory_bytes", GaugeMetricFamily, "Memory that the process holds."),
    "cpu": ("ajo_process_cpu_seconds", CounterMetricFamily, "Processor time that it has used."),
    "fds": ("ajo_process_open_fds", GaugeMetricFamily, "Files and sockets that it has open."),
    "max_fds": ("ajo_process_max_fds", GaugeMetricFamily, "How many it may have open."),
    "threads": ("ajo_process_threads", GaugeMetricFamily, "Its threads."),
    "started": ("ajo_process_start_time_seconds", GaugeMetricFamily, "When it began, in seconds since 1970."),
    "pool_size": ("ajo_database_pool_connections", GaugeMetricFamily, "Database sessions that its pool holds."),
    "pool_available": ("ajo_database_pool_idle", GaugeMetricFamily, "Those of them that nobody uses now."),
    "pool_max": ("ajo_database_pool_max", GaugeMetricFamily, "How many it may hold."),
    "requests_waiting": ("ajo_database_pool_waiting", GaugeMetricFamily, "Threads that wait for one."),
    "requests_wait_ms": ("ajo_database_pool_wait_ms", CounterMetricFamily, "Milliseconds that threads have waited."),
    "requests_errors": ("ajo_database_pool_errors", CounterMetricFamily, "Threads that waited in vain."),
}
_STARTED_AT: Final = time.time()

Sample = dict[str, Any]


def sample(part: str) -> Sample:
    """Return what this process takes now. Keys are those of METRICS, and `part`, `process`, `at`."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    times = os.times()
    return {
        "part": part,
        "process": f"{socket.gethostname()}:{os.getpid()}",
        "at": time.time(),
        "memory": pages * os.sysconf("SC_PAGE_SIZE"),
        "cpu": times.user + times.system,
        "fds": len(os.listdir("/proc/self/fd")),
        "max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "threads": threading.active_count(),
        "started": _STARTED_AT,
        **pool_statistics(),
    }


class Sampler(threading.Thread):
    """Writes a sample of this process every WRITE_INTERVAL, until the process ends."""

    def __init__(self, part: str, folder: Path) -> None:
        super().__init__(name="process-metrics", daemon=True)
        self._part = part
        self.path = folder / f"process_{socket.gethostname()}-{os.getpid()}.json"

    def run(self) -> None:
        while True:
            self.write()
            time.sleep(WRITE_INTERVAL)

    def write(self) -> None:
        """Replace this process's file. A disk that is full is logged, and tried again."""
        draft = self.path.with_suffix(".draft")
        try:
            draft.write_text(json.dumps(sample(self._part)))
            draft.replace(self.path)
        except OSError as failure:
            log.warning("the process's own metrics cannot be written: %s", failure.strerror)


_samplers: dict[int, Sampler] = {}  # by process id: a forked child has its parent's, without its thread


def start(part: str) -> None:
    """Start writing the samples of this process, which is such a part, where processes share a folder. Idempotent."""
    if settings.METRICS_DIR and os.getpid() not in _samplers:
        sampler = _samplers[os.getpid()] = Sampler(part, Path(settings.METRICS_DIR))
        sampler.start()


def process_metrics() -> Iterator[Metric]:
    """Yield the metrics of all processes that share the folder; without one, of this process."""
    samples = list(_read(Path(settings.METRICS_DIR))) if settings.METRICS_DIR else [sample("web")]
    for key, (name, kind, text) in METRICS.items():
        family = kind(name, text, labels=LABELS)
        for each in samples:
            if key in each:
                family.add_metric([each["part"], each["process"]], each[key])
        yield family


def _read(folder: Path) -> Iterable[Sample]:
    """Yield the samples of the processes that live.

    Remove the files of those that have not been heard of lately, and files that hold no sample, as a machine that lost
    power leaves them. The process that owns one writes it anew.
    """
    for path in sorted(folder.glob(FILES)):
        try:
            found = _parsed(path.read_text())
            if abs(time.time() - found["at"]) <= FORGET_AFTER:
                yield found
                continue
        except FileNotFoundError:  # another scrape has removed it
            continue
        except (OSError, ValueError) as failure:
            log.warning("%s holds no sample of a process: %s", path.name, failure)
        with suppress(OSError):
            path.unlink()


def _parsed(text: str) -> Sample:
    """Return a sample from a file's text. Raise ValueError where it is none."""
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in LABELS):
        raise ValueError("it names no process")
    if not all(isinstance(found.get(name, 0), int | float) for name in (*METRICS, "at")) or "at" not in found:
        raise ValueError("its values are no numbers")
    return found
