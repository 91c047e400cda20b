"""The counters of each process; /metrics sums them over the processes (ajo/ops/metrics.py).

With PROMETHEUS_MULTIPROC_DIR (made by ajo/settings.py) the counts are in files there, one set for each process, so that
web, worker and beat are summed together; without it a process shows only its own.
"""

import os
import socket
import threading
from bisect import bisect_left
from collections import Counter as Multiset
from collections import defaultdict

from prometheus_client import Counter, Histogram, values

from ajo.counts import CountFile

_HOST = socket.gethostname()


def _process() -> str:
    """Return this process's name in the folder, which the library asks for at every count.

    Containers may share the folder, and every container has a process 1.
    """
    return f"{_HOST}-{os.getpid()}"


if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    values.MmapedDict = CountFile  # type: ignore[attr-defined]  # where the library looks for it
    values.ValueClass = values.MultiProcessValue(_process)  # type: ignore[no-untyped-call]  # as the library has it

# of a request, from a body out of Redis to a wait for the chain
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
RPC_CALLS = Counter("ajo_rpc_calls", "Attempts to call the Stellar RPC.", ["method", "outcome"])
RPC_SECONDS = Histogram(
    "ajo_rpc_seconds",
    "Time of an attempt to call the Stellar RPC, its answer read and checked.",
    ["method", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),  # a public node takes some tenths of a second
)
CACHE_READS = Counter("ajo_cache_reads", "Groups and pages read, by the layer that had them fresh enough.", ["layer"])
RUNS = Counter("ajo_runs", "Passes of sync and sweep that ended.", ["kind", "outcome"])
REQUESTS = Histogram(
    "ajo_request_seconds",
    "Time to answer a request, by the path's pattern and the status's class; 429, which limits cause, is its own.",
    ["route", "status"],
    buckets=REQUEST_BUCKETS,
)
FLUSH_INTERVAL = 0.5  # seconds
TOO_MANY = "429"


def status_class(code: str) -> str:
    """Return the label of a status, which begins with its code: `2xx` and so on, and `429` apart from other 4xx."""
    return TOO_MANY if code.startswith(TOO_MANY) else f"{code[0]}xx"


class BufferedMetrics:
    """Buffers what the edge answers and writes it every FLUSH_INTERVAL seconds.

    Writing one count into the process's file takes longer than such an answer. A process that is killed loses the
    counts of the last half second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._observed: list[tuple[str | None, str, str, float]] = []

    def observe(self, layer: str | None, route: str, status: str, seconds: float) -> None:
        """Count an answer in REQUESTS, and in CACHE_READS if a `layer` had it. `status` begins with the code."""
        with self._lock:
            if not self._observed:
                timer = threading.Timer(FLUSH_INTERVAL, self.flush)
                timer.daemon = True
                timer.start()
            self._observed.append((layer, route, status, seconds))

    def flush(self) -> None:
        """Write what was observed since the last time."""
        with self._lock:
            observed, self._observed = self._observed, []
        took = defaultdict(list)
        for layer, number in Multiset(layer for layer, *_ in observed if layer).items():
            CACHE_READS.labels(layer).inc(number)
        for _, route, status, seconds in observed:
            took[route, status_class(status)].append(seconds)
        for (route, status), times in took.items():
            child = REQUESTS.labels(route, status)
            # as `observe` does for each, which writes twice
            child._sum.inc(sum(times))
            for bucket, number in Multiset(bisect_left(child._upper_bounds, seconds) for seconds in times).items():
                child._buckets[bucket].inc(number)


buffered_metrics = BufferedMetrics()
