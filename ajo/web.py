"""`python -m ajo.web`: granian serving the WSGI application as the settings say, in `make run` and in the image."""

import os

import django
from django.conf import settings
from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from ajo.checks import refuse_bad_settings, tell_what_cannot_be_reached

# Seconds that a connection may be idle, or take for a request's header. Balancers keep theirs for 60: the server that
# closes first answers their next request with a reset, which clients see as 502.
IDLE_FOR = 75
STOP_AFTER = 5  # seconds that a worker has to end its requests


def serve(target: str = "ajo.wsgi:application") -> None:
    """Until SIGTERM or SIGINT."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")
    django.setup()
    refuse_bad_settings()  # once here, instead of in each worker that would be started again and again
    tell_what_cannot_be_reached()
    Granian(
        target,
        address=settings.WEB_HOST,
        port=settings.PORT,
        interface=Interfaces.WSGI,
        # One process for each core, for Python's threads share one; threads for what waits for database or chain.
        # Fewer answer more from the cache, but a request that waits for the chain needs one to itself.
        workers=settings.WEB_WORKERS,
        blocking_threads=settings.WEB_THREADS,
        # Connections stay open between requests (a new one costs more than an answer); beyond so many at once in a
        # worker, others wait in the kernel's queue.
        http1_settings=HTTP1Settings(keep_alive=True, header_read_timeout=IDLE_FOR * 1000),
        backlog=1024,
        backpressure=512,
        workers_kill_timeout=STOP_AFTER,
        respawn_failed_workers=True,
        log_dictconfig=settings.LOGGING | {"loggers": {"_granian": {}}},
    ).serve()


if __name__ == "__main__":
    serve()
