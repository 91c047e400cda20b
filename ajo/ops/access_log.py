"""A log line for each request, where ACCESS_LOG is on: the edge's answers, refusals and Django's alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from structlog.contextvars import bind_contextvars, clear_contextvars

from ajo.api.request_ids import REQUEST_ID
from ajo.api.routes import route_of_path
from ajo.api.throttles import address_of_client

log = logging.getLogger("ajo.access")

MAX_PATH: Final = 200  # characters; a path may have 16,000

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class AccessLog:
    """The outermost WSGI application.

    A line has neither the query, which may hold what somebody pasted there, nor any header but the request's id.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        began, path = time.perf_counter(), environ["PATH_INFO"]
        status = request_id = ""

        def note(line: str, headers: list[tuple[str, str]], *rest: Any) -> object:
            nonlocal status, request_id
            status, request_id = line[:3], dict(headers).get(REQUEST_ID, "")
            return start_response(line, headers, *rest)

        try:
            return self._application(environ, note)
        finally:
            self._write(environ, path, status, request_id, time.perf_counter() - began)

    @staticmethod
    def _write(environ: dict[str, Any], path: str, status: str, request_id: str, seconds: float) -> None:
        clear_contextvars()  # of the request before on this thread, where the edge has answered
        if request_id:
            bind_contextvars(request_id=request_id)
        method = environ["REQUEST_METHOD"]
        extra = {
            "method": method,
            "path": path[:MAX_PATH],
            "route": route_of_path(path),
            "status_code": int(status or 500),
            "seconds": round(seconds, 6),
            "client": address_of_client(environ),
        }
        log.info("%s %s %s", method, extra["path"], status or "failed", extra=extra)
