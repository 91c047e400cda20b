"""`python -m ajo.web` runs granian with the WSGI application as the settings say, in `make run` and in the image."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import django
from django.conf import settings
from django.utils.module_loading import import_string
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings, HTTP2Settings

from ajo.conf.checks import refuse_bad_settings, warn_of_unreachable_servers
from ajo.webserver.gateway import spawn
from ajo.webserver.watchdog import Requests, Watch, beat_always

STOP_TIMEOUT = 5  # seconds that a worker has to end its requests
# Seconds that a connection may stay open between two requests, longer than the 60 after which common balancers close
# theirs: if we closed first, one of their requests would meet a closed connection. ajo/webserver/connections.py ends
# earlier what sends no request.
KEEP_ALIVE = 75
MAX_CONNECTIONS = 4_096  # of one process; more wait in the kernel's queue
HEADER_BUFFER = 16 * 1024  # bytes: a request's header fits, or is answered 431
MAX_STREAMS = 32  # requests at a time on one connection of HTTP/2


def serve(target: str = "ajo.wsgi.application") -> None:
    """Serve the application named `target` until SIGTERM or SIGINT. Exit with a message where settings are bad."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")
    django.setup()
    refuse_bad_settings()  # once here, instead of in each worker that would be started again and again
    warn_of_unreachable_servers()
    heard, beats = Pipe(duplex=False)
    server = Granian(
        target,
        address=settings.WEB_HOST,
        port=settings.PORT,
        interface=Interfaces.WSGI,  # to our application; granian's requests come by RSGI (ajo/webserver/gateway.py)
        websockets=False,
        # One process for each core, for Python's threads share one; threads for what waits for database or chain.
        # Fewer answer more from the cache, but a request that waits for the chain needs one to itself.
        workers=settings.WEB_WORKERS,
        blocking_threads=_threads(),
        http=HTTPModes.auto if settings.WEB_HTTP2 else HTTPModes.http1,
        # Connections stay open between requests: a new one costs more than an answer.
        http1_settings=HTTP1Settings(
            keep_alive=True, header_read_timeout=KEEP_ALIVE * 1000, max_buffer_size=HEADER_BUFFER
        ),
        http2_settings=HTTP2Settings(max_headers_size=HEADER_BUFFER, max_concurrent_streams=MAX_STREAMS),
        backlog=1024,
        backpressure=_max_connections(),
        workers_kill_timeout=STOP_TIMEOUT,
        respawn_failed_workers=True,
        log_dictconfig=settings.LOGGING | {"loggers": {"_granian": {}}},
    )
    pids = lambda: [worker._id() for worker in list(server.wrks)]  # type: ignore[no-untyped-call]  # noqa: E731
    server.on_startup(Watch(heard, pids).start)
    server.serve(spawn_target=spawn, target_loader=partial(load, target, beats), wrap_loader=False)


def _threads() -> int:
    """Return the threads of a web process: as the settings say, and one more for each body that is being read.

    Its reader waits for another thread of the same pool, which is told that the body has come: with all of them
    waiting, for the chain or for bodies, no body would ever arrive.
    """
    return int(settings.WEB_THREADS + max(1, settings.WEB_THREADS // 2))


def _max_connections() -> int:
    """Return MAX_CONNECTIONS, or what the limit of open files allows beside our own files, after raising it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        soft = hard if hard != resource.RLIM_INFINITY else 2**20
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(MAX_CONNECTIONS, soft // 2)


def load(target: str, beats: Connection) -> Callable[..., Iterable[bytes]]:
    """Return the application that a web process serves, and start its heartbeat and its limits on connections."""
    application: Callable[..., Any] = import_string(target)
    requests = Requests(application, _threads())
    beat_always(beats, requests)
    limits: Any = import_module("ajo.webserver.connections")  # it cannot be imported before Django has its settings
    limits.ConnectionLimits(settings.PORT).start()
    import_string("ajo.ops.process_metrics.start")("web")
    return requests


if __name__ == "__main__":
    serve()
