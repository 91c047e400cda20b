"""What is known of a request from outside: its id, which every log line of it carries, and how long it took."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from structlog.contextvars import bind_contextvars, clear_contextvars

from ajo.metrics import REQUESTS

HEADER: Final = "X-Request-ID"
# A client's or its proxy's; anything else could forge log lines. Whoever sends one can repeat another's, so the lines
# say whose it is.
SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
FROM_CLIENT: Final = {"request_id_from": "client"}


class RequestMiddleware:
    """The outermost one, so that everything that the others do is within."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
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
