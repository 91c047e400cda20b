"""Describe to OpenAPI what it cannot see in the code: path parameters, headers, and problem responses."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.views import APIView

from ajo.api.freshness import conditional
from ajo.api.params import ADDRESS_SCHEMA, HASH_SCHEMA, ID_SCHEMA, U32_SCHEMA
from ajo.api.problems import CONTENT_TYPE
from ajo.api.rendering import dump
from ajo.api.throttles import ReadThrottle

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
HEADERS: Final = {
    "Latest-Ledger": {"schema": {"type": "integer"}, "description": "Everything announced up to it is in the answer."},
    "Ajo-Stale": {"schema": {"type": "string", "enum": ["true"]}, "description": "The chain has been silent."},
    "ETag": {"schema": {"type": "string"}},
}
PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    },
}


def add_common_parts(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add `min_ledger`, the freshness headers and the problem form to every read: a hook of drf-spectacular."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    problem = {
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        "description": "Problem",
    }
    for path in result["paths"].values():
        for method, operation in path.items():
            operation["responses"]["default"] = problem
            if method == "get":
                operation.setdefault("parameters", []).append(MIN_LEDGER)
                operation["responses"]["200"]["headers"] = HEADERS
    return result


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


class DocsView(SpectacularSwaggerView):
    """The one page under /api/ that is HTML."""

    throttle_classes = (ReadThrottle,)
    url_name = "schema"

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Answer 405: what Django REST framework would say has no form as HTML."""
        return self.http_method_not_allowed(request, *args, **kwargs)
