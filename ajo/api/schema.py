"""Describe to OpenAPI what it cannot see in the code: path parameters, headers, and problem responses."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.contrib.django_filters import DjangoFilterExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.views import APIView

from ajo.api.event_schema import add_event_union
from ajo.api.examples import compose_examples, describe_fields
from ajo.api.freshness import conditional
from ajo.api.params import ADDRESS_SCHEMA, HASH_SCHEMA, ID_SCHEMA, U32_SCHEMA
from ajo.api.problem_codes import ProblemCode
from ajo.api.problems import CONTENT_TYPE, title, type_uri
from ajo.api.rendering import dump
from ajo.api.throttles import ReadThrottle
from ajo.api.writing_examples import CONTRACT, WRITE_HASH

GROUP_ID: Final = OpenApiParameter("group_id", ID_SCHEMA, OpenApiParameter.PATH, description="The contract's number.")
ADDRESS: Final = OpenApiParameter("address", ADDRESS_SCHEMA, OpenApiParameter.PATH, description="G… or C….")
HASH: Final = OpenApiParameter("hash", HASH_SCHEMA, OpenApiParameter.PATH, description="The transaction's hash, hex.")

MIN_LEDGER: Final = {
    "name": "min_ledger",
    "in": "query",
    "required": False,
    "schema": U32_SCHEMA,
    "description": "The answer reflects this ledger or a later one; 503 if that takes too long.",
}
HEADERS: Final[dict[str, Any]] = {
    "Latest-Ledger": {
        "required": True, "schema": {"type": "integer"}, "example": 317,
        "description": "Everything announced up to it is in the answer.",
    },
    "Ajo-Stale": {
        "schema": {"type": "string", "enum": ["true"]}, "description": "The chain has been silent; else absent.",
    },
    "Ajo-Version": {
        "required": True, "schema": {"type": "string"}, "description": "The service's version.", "example": "0.9.0",
    },
    "ETag": {"required": True, "schema": {"type": "string"}, "description": "Of the body; for If-None-Match."},
    "Link": {"schema": {"type": "string"}, "description": "The addresses of the next page and the one before."},
    "RateLimit-Policy": {
        "schema": {"type": "string"}, "description": "The client's rates; absent without any.",
        "example": '"read";q=600;w=60',
    },
    "RateLimit": {
        "schema": {"type": "string"}, "description": "What is left of them.", "example": '"read";r=597;t=41',
    },
}  # fmt: skip
# A build rests on what a node says now, and not on the tables: it has no freshness.
BUILD_HEADERS: Final = {name: HEADERS[name] for name in ("Ajo-Version", "RateLimit-Policy", "RateLimit")}
SUBMIT_HEADERS: Final[dict[str, Any]] = {
    **BUILD_HEADERS,
    **{name: HEADERS[name] for name in ("Latest-Ledger", "Ajo-Stale")},
    "Location": {
        "required": True, "schema": {"type": "string", "format": "uri"},
        "description": "Where the transaction is followed.",
        "example": f"http://127.0.0.1:8000/api/v1/transactions/{WRITE_HASH}/",
    },
    "Preference-Applied": {
        "schema": {"type": "string"}, "description": "The wait that was kept to; absent where there was none.",
        "example": "wait=25",
    },
}  # fmt: skip
RETRY_AFTER: Final[dict[str, Any]] = {
    "Retry-After": {
        "required": True,
        "schema": {"type": "integer"},
        "description": "Seconds until another try is worth it.",
        "example": 5,
    }
}
PROBLEM: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"allOf": [{"$ref": "#/components/schemas/ProblemCode"}]},
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    },
}
PROBLEM_CODE: Final = {
    "type": "string",
    "description": "The kind of a problem. A value never changes its meaning; new ones may be added.",
    "enum": [code.value for code in ProblemCode],
    "example": ProblemCode.INVALID_PARAMETERS.value,
}
PROBLEMS: Final = {
    "400": (ProblemCode.INVALID_PARAMETERS, "A parameter or a field is malformed: `errors` says which."),
    "404": (ProblemCode.NOT_ON_CHAIN, "What the path names is not on the chain."),
    "409": (ProblemCode.CONTRACT_ERROR, "The chain's state does not allow it: `code` says why."),
    "413": (ProblemCode.BODY_TOO_LARGE, "The body is too large."),
    "415": (ProblemCode.UNSUPPORTED_MEDIA_TYPE, "The body is of another media type than this path takes."),
    "429": (ProblemCode.TOO_MANY_REQUESTS, "The client's rate is used up."),
    "503": (ProblemCode.UNAVAILABLE, "It cannot be answered now."),
}
# what an example has beside the members of every problem
PROBLEM_MEMBERS: Final[dict[str, dict[str, Any]]] = {
    "409": {
        "detail": "This wallet is a member of the group already.",
        "contract_error": {"contract": CONTRACT, "code": 3, "name": "AlreadyMember"},
    }
}
OF_READS, OF_WRITES = ("400", "404", "429", "503"), ("400", "404", "409", "413", "415", "429", "503")


def add_common_parts(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add to each operation what all have in common: a hook of drf-spectacular.

    That is `min_ledger`, the headers, and every status with its form; and to each field its text and example.
    """
    components = result.setdefault("components", {}).setdefault("schemas", {})
    components |= {"Problem": PROBLEM | {"properties": deepcopy(PROBLEM["properties"])}, "ProblemCode": PROBLEM_CODE}
    describe_fields(components)
    if "Event" in components:
        add_event_union(components)
        describe_fields(components)
    compose_examples(components)
    for path in result["paths"].values():
        for method, operation in path.items():
            if method == "get":
                operation.setdefault("parameters", []).append(MIN_LEDGER)
            _add_statuses(operation["responses"], OF_READS if method == "get" else OF_WRITES)
    return result


def _headers(responses: dict[str, Any], statuses: Sequence[str]) -> dict[str, Any]:
    """Return the headers of an operation's good answers: of a read, of what takes a transaction, of what builds one."""
    if statuses is OF_READS:
        return HEADERS
    return SUBMIT_HEADERS if "202" in responses else BUILD_HEADERS


def _add_statuses(responses: dict[str, Any], statuses: Sequence[str]) -> None:
    headers_of_answer = _headers(responses, statuses)
    for status in ("200", "202"):
        if found := responses.get(status):
            found["headers"] = headers_of_answer
            found["description"] = found.get("description") or "The answer."
            if "text/csv" in found.get("content", {}):
                found["content"]["text/csv"] = {"schema": {"type": "string"}}
                found["headers"] = headers_of_answer | {"ETag": HEADERS["ETag"] | {"required": False}}  # none of a CSV
    if statuses is OF_READS:
        kept = {name: HEADERS[name] for name in ("Latest-Ledger", "Ajo-Stale", "ETag")}
        responses["304"] = {"description": "The body that If-None-Match names is still the answer.", "headers": kept}
    for status in statuses:
        code, text = PROBLEMS[status]
        headers: dict[str, Any] = RETRY_AFTER if status in ("429", "503") else {}
        described = _problem_response(text, headers, int(status), code)
        if given := responses.get(status):  # a view that has its own form: of more members
            described["content"][CONTENT_TYPE]["schema"] = given["content"][CONTENT_TYPE]["schema"]
            described["content"][CONTENT_TYPE]["example"] |= PROBLEM_MEMBERS.get(status, {})
        responses[status] = described
    responses["default"] = _problem_response("Any other problem.", {}, 500, ProblemCode.INTERNAL_ERROR)


def _problem_response(text: str, headers: dict[str, Any], status: int, code: ProblemCode) -> dict[str, Any]:
    example = {"type": type_uri(code), "title": title(status), "status": status, "detail": text, "code": code.value}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    response: dict[str, Any] = {"description": text, "content": {CONTENT_TYPE: content}}
    return response | ({"headers": headers} if headers else {})


@lru_cache(maxsize=1)
def description() -> bytes:
    """Return the OpenAPI description as JSON, made once: the code does not change while a process runs."""
    generator: Any = SchemaGenerator  # untyped
    return dump(generator().get_schema(request=None, public=True))


class SchemaView(APIView):
    """The OpenAPI description as JSON, with an ETag."""

    throttle_classes = (ReadThrottle,)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        plain: HttpRequest = request._request
        return conditional(plain, HttpResponse(description(), content_type="application/json"))


class DocsView(SpectacularSwaggerSplitView):
    """The reference, as a page whose script is a file of its own: its Content-Security-Policy allows no other."""

    throttle_classes = (ReadThrottle,)
    url_name = "schema"
    template_name = "api/reference.html"

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Answer 405: what Django REST framework would say has no form as HTML."""
        return self.http_method_not_allowed(request, *args, **kwargs)


class DescribedFilters(DjangoFilterExtension):  # type: ignore[no-untyped-call]
    """Describes filters whose form is given by hand: drf-spectacular leaves their help texts out."""

    priority = 1  # before its own extension

    def resolve_filter_field(
        self, auto_schema: Any, model: Any, filterset_class: Any, field_name: str, filter_field: Any
    ) -> Any:
        resolve: Any = super().resolve_filter_field  # untyped
        found = resolve(auto_schema, model, filterset_class, field_name, filter_field)
        for parameter in found:
            parameter.setdefault("description", filter_field.extra.get("help_text", ""))
        return found
