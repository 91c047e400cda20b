"""What is known of a request from outside: its id, which every log line of it carries, and how long it took."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from structlog.contextvars import bind_contextvars, clear_contextvars

from ajo.api.problems import DATABASE_RETRY_AFTER
from ajo.metrics import REQUESTS

log = logging.getLogger(__name__)

HEADER: Final = "X-Request-ID"
HEALTH: Final = "/health/"
METRICS: Final = "/metrics"
# A client's or its proxy's; anything else could forge log lines. Whoever sends one can repeat another's, so the lines
# say whose it is.
SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
FROM_CLIENT: Final = {"request_id_from": "client"}


class RequestMiddleware:
    """The outermost one, so that everything that the others do is within."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _is_probe(request.path_info):
            request.META["HTTP_HOST"] = "localhost"
        given = request.headers.get(HEADER, "")
        is_given = bool(SANE.fullmatch(given))
        request_id = given if is_given else uuid.uuid4().hex
        # Forgotten when the next begins: Django logs a refusal after the last middleware is left.
        clear_contextvars()
        bind_contextvars(request_id=request_id, **(FROM_CLIENT if is_given else {}))
        began = time.perf_counter()
        response = self.get_response(request)
        route = request.resolver_match.route if request.resolver_match else "none"
        status = f"{response.status_code // 100}xx"
        REQUESTS.labels(route, status).observe(time.perf_counter() - began)
        response.headers[HEADER] = request_id
        return response

    def process_exception(self, request: HttpRequest, failure: Exception) -> HttpResponse | None:
        """Answer 503 where the database is away, or slower than its limits. (Views of the API say so themselves.)"""
        if not isinstance(failure, OperationalError | InterfaceError):
            return None
        log.warning("the database does not answer: %s", type(failure.__cause__ or failure).__name__)
        text = "The database does not answer in time. Try again in a moment.\n"
        headers = {"Retry-After": str(DATABASE_RETRY_AFTER)}
        return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8", headers=headers)


def _is_probe(path: str) -> bool:
    """Whether balancers, Kubernetes and Prometheus ask it, by whatever address they found us at. Without a token
    /metrics keeps its host names: a page in a browser here could ask for it by a name of its own.
    """
    return path.startswith(HEALTH) or (path == METRICS and bool(settings.METRICS_TOKEN))
