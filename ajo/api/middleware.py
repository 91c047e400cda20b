"""Under /api/ every error is JSON: what Django answers by itself, without a view, becomes problem details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import is_valid_path

import ajo
from ajo.api.problems import CONTENT_TYPE, WRONG_HOST, problem
from ajo.api.rate_limits import rate_headers, uses_of

PREFIX: Final = "/api/"
ENTRY_POINT: Final = "/"  # answers what /api/v1/ does
SAFE_METHODS: Final = ("GET", "HEAD")
KEPT_HEADERS: Final = ("Allow", "Retry-After")
# Reads are public: any origin's scripts may make them, and see what the headers say.
EXPOSED: Final = (
    "ETag", "Latest-Ledger", "Ajo-Stale", "Ajo-Version", "Link", "Location", "Preference-Applied", "RateLimit",
    "RateLimit-Policy", "Retry-After",
)  # fmt: skip
FIXED: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": ", ".join(EXPOSED),
    "Ajo-Version": ajo.__version__,
}
DETAILS: Final = {
    400: "The request is malformed.",
    403: "Not allowed.",
    404: "There is nothing at this path.",
    500: "Something failed on our side.",
}


class ApiMiddleware:
    """The outermost middleware of ours, so that what the others answer passes through it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info != ENTRY_POINT and not f"{request.path_info}/".startswith(PREFIX):
            return self.get_response(request)
        response = _early(request) or self.get_response(request)
        if response.status_code >= 400 and response.get("Content-Type") != CONTENT_TYPE:
            response = _as_problem(request, response)
        for header, value in FIXED.items():
            response.headers[header] = value
        for header, value in rate_headers(uses_of(request)):
            response.headers[header] = value
        return response


def _early(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to what is refused or redirected before Django looks at it, else None."""
    # REST framework's parsers read the stream past DATA_UPLOAD_MAX_MEMORY_SIZE; a body without a length is not read.
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length[:20]) > (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0):
        return problem(413, f"The body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.")
    path = request.path_info
    if path.endswith("/") or not is_valid_path(f"{path}/"):
        return None
    if request.method == "OPTIONS":  # a browser follows no redirect of a preflight; the request itself gets one
        request.path, request.path_info = f"{request.path}/", f"{path}/"
        return None
    if request.method not in SAFE_METHODS:
        return problem(404, "Paths end in a slash: a body would be lost in a redirect.")
    redirect = HttpResponse(status=308)
    del redirect.headers["Content-Type"]
    redirect.headers["Location"] = request.get_full_path(force_append_slash=True)
    return redirect


def _as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    """Return problem details in place of Django's own error, with the headers of KEPT_HEADERS."""
    detail = DETAILS.get(response.status_code, response.reason_phrase)
    if response.status_code == 400 and not _has_allowed_host(request):
        detail = WRONG_HOST
    answer = problem(response.status_code, detail)
    for header in KEPT_HEADERS:
        if header in response.headers:
            answer.headers[header] = response.headers[header]
    # not closed: that would end the request, and with it the connection to the database
    return answer


def _has_allowed_host(request: HttpRequest) -> bool:
    try:
        request.get_host()
    except DisallowedHost:
        return False
    return True
