"""Write errors as RFC 9457 problem details, whether a view, Django or the cache raises them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions

from ajo import cache
from ajo.api.problem_codes import ProblemCode, code_of_status
from ajo.api.rendering import dump

CONTENT_TYPE: Final = "application/problem+json"
DATABASE_RETRY_AFTER = 5  # seconds, about as long as a restart of PostgreSQL takes
DOCUMENTATION: Final = "/api/v1/docs/errors/"  # docs/api/errors.md: one heading for each code
OVERALL: Final = "non_field_errors"
WRONG_HOST: Final = (
    "The Host header names no host that this service answers for: its operator sets PUBLIC_URL to the address that "
    "clients use, or names further hosts in ALLOWED_HOSTS."
)

Errors = Mapping[str, Sequence[str]]


def problem(
    status: int,
    detail: str,
    code: ProblemCode | None = None,
    *,
    errors: Errors | None = None,
    retry_after: float | None = None,
    **extra: object,
) -> HttpResponse:
    """Return problem details as a response that no cache stores.

    `code` is the status's general one if not given, `errors` are messages by field, `retry_after` is in seconds,
    `extra` are further members of the body.
    """
    code = code or code_of_status(status)
    body: dict[str, object] = {"type": type_uri(code), "title": title(status), "status": status, "detail": detail}
    body["code"] = code.value
    if errors:
        body["errors"] = {field: list(messages) for field, messages in errors.items()}
    response = HttpResponse(dump(body | extra), status=status, content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Length"] = str(len(response.content))
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return response


def type_uri(code: ProblemCode) -> str:
    """Return the problem's type: the address of its paragraph in the guide (RFC 9457 §3.1.1)."""
    return f"{settings.PUBLIC_URL}{DOCUMENTATION}#{code.value}"


def title(status: int) -> str:
    """Return the status code's reason phrase."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def invalid(**errors: str) -> exceptions.ValidationError:
    """Return the exception for a 400 that says by field what is wrong."""
    return exceptions.ValidationError({field: [message] for field, message in errors.items()})


def exception_handler(failure: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Translate an exception of a view; REST framework calls it for each.

    None for a fault of ours: it is logged, and ApiMiddleware makes a 500 of it.
    """
    match failure:
        case cache.Absent():
            return problem(404, str(failure) or "Not on the chain.", ProblemCode.NOT_ON_CHAIN)
        case Http404():
            return problem(404, "There is nothing at this path.")
        case cache.Unavailable():
            return problem(503, failure.detail, retry_after=failure.retry_after)
        case exceptions.ValidationError():
            return _validation_problem(_by_field(failure.detail))
        case DjangoValidationError():
            return _validation_problem({OVERALL: failure.messages})
        case exceptions.Throttled():
            return problem(429, "Too many requests from your address.", retry_after=getattr(failure, "wait", None) or 1)
        case exceptions.APIException():
            return _with_allow(problem(failure.status_code, str(failure.detail)), failure, context)
        case RequestDataTooBig():
            return problem(413, "The body is too large.")
        case DisallowedHost():
            return problem(400, WRONG_HOST)
        case SuspiciousOperation():
            return problem(400, "The request is malformed.")
        case PermissionDenied():
            return problem(403, "Not allowed.")
        case OperationalError() | InterfaceError():
            return _database_problem("The database does not answer.")
        case InternalError():  # as after a failover: it takes no changes for a while
            return _database_problem("The database is not ready.")
    return None


def _database_problem(detail: str) -> HttpResponse:
    return problem(503, detail, ProblemCode.DATABASE_UNAVAILABLE, retry_after=DATABASE_RETRY_AFTER)


def _validation_problem(errors: Errors) -> HttpResponse:
    said = (f"{field}: {text}" if field != OVERALL else text for field, texts in errors.items() for text in texts)
    return problem(400, " ".join(said) or "The request is malformed.", ProblemCode.INVALID_PARAMETERS, errors=errors)


def _by_field(detail: Any) -> Errors:
    """Flatten a ValidationError's detail, however deep, to a list of messages for each field."""
    if isinstance(detail, Mapping):
        return {str(field): _messages(value) for field, value in detail.items()}
    return {OVERALL: _messages(detail)}


def _messages(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{key}: {text}" for key, inner in value.items() for text in _messages(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _messages(inner)]
    return [str(value)]


def _with_allow(response: HttpResponse, failure: Exception, context: Mapping[str, Any]) -> HttpResponse:
    if isinstance(failure, exceptions.MethodNotAllowed) and (view := context.get("view")):
        response.headers["Allow"] = ", ".join(view.allowed_methods)
    return response
