"""Request ids, which every log line of a request carries, request times, and the policy of pages."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Final

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from structlog.contextvars import bind_contextvars, clear_contextvars

from ajo.api.problems import DATABASE_RETRY_AFTER
from ajo.api.request_ids import REQUEST_ID, is_request_id
from ajo.api.routes import route_of
from ajo.metrics import REQUESTS, status_class

log = logging.getLogger(__name__)

HEALTH: Final = "/health/"
METRICS: Final = "/metrics"
# A client can repeat another's request id, so log lines mark ids from clients.
FROM_CLIENT: Final = {"request_id_from": "client"}


class PolicyMiddleware(CSPMiddleware):
    """Sends the Content-Security-Policy with pages, and with nothing else: only a page has scripts."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        return super().process_response(request, response) if is_page else response


class RequestMiddleware:
    """The outermost middleware, so that it measures and labels what the others do."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _is_probe(request.path_info):
            request.META["HTTP_HOST"] = "localhost"
        given = request.headers.get(REQUEST_ID, "")
        is_given = is_request_id(given)
        request_id = given if is_given else uuid.uuid4().hex
        # Cleared at the start of a request, not at its end: Django logs a refusal after the last middleware returned.
        clear_contextvars()
        bind_contextvars(request_id=request_id, **(FROM_CLIENT if is_given else {}))
        started_at = time.perf_counter()
        response = self.get_response(request)
        status = status_class(str(response.status_code))
        REQUESTS.labels(route_of(request), status).observe(time.perf_counter() - started_at)
        response.headers[REQUEST_ID] = request_id
        return response

    def process_exception(self, request: HttpRequest, failure: Exception) -> HttpResponse | None:
        """Answer 503 where the database is away or slower than its limits. Views of the API handle that themselves."""
        if not isinstance(failure, OperationalError | InterfaceError):
            return None
        log.warning("the database does not answer: %s", type(failure.__cause__ or failure).__name__)
        text = "The database does not answer in time. Try again in a moment.\n"
        headers = {"Retry-After": str(DATABASE_RETRY_AFTER)}
        return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8", headers=headers)


def _is_probe(path: str) -> bool:
    """Return whether the path is for balancers, Kubernetes and Prometheus, which may use any Host header.

    Without METRICS_TOKEN the Host header of /metrics is checked: by DNS rebinding a web page in a local browser could
    read it.
    """
    return path.startswith(HEALTH) or (path == METRICS and bool(settings.METRICS_TOKEN))
