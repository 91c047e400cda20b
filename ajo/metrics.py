"""What each process counts about itself: /metrics adds the processes up (ajo/ops/metrics.py).

With PROMETHEUS_MULTIPROC_DIR (made by ajo/settings.py) the counts are in files there, one set for each process, so that
web, worker and beat are seen together; without it a process shows only its own.
"""

import os
import socket

from prometheus_client import Counter, Histogram, values

_HOST = socket.gethostname()


def _process() -> str:
    """Containers may share the folder, and every container has a process 1. Asked at every count."""
    return f"{_HOST}-{os.getpid()}"


if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    values.ValueClass = values.MultiProcessValue(_process)  # type: ignore[no-untyped-call]  # as the library has it

RPC_CALLS = Counter("ajo_rpc_calls", "Attempts to call the Stellar RPC.", ["method", "outcome"])
CACHE_READS = Counter("ajo_cache_reads", "Groups read, by the layer that had them fresh enough.", ["layer"])
RUNS = Counter("ajo_runs", "Passes of sync and sweep that ended.", ["kind", "outcome"])
REQUESTS = Histogram(
    "ajo_request_seconds",
    "Time to answer a request, by the path's pattern and the status's class.",
    ["route", "status"],
    # from a body out of Redis to a wait for the chain
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
