"""Statements of a wallet and of a group: JSON or CSV, for a period or all of it."""

from __future__ import annotations

from abc import abstractmethod
from itertools import chain
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from ajo.api.csv_files import BROKEN_OFF, MEDIA_TYPE
from ajo.api.downloads import Download, in_chunks
from ajo.api.params import MOMENT_SCHEMA, checked, parse_moment, path_address, path_group_id
from ajo.api.problems import invalid
from ajo.api.rendering import JSONRenderer
from ajo.api.schema import ADDRESS, GROUP_ID
from ajo.api.throttles import client_address
from ajo.api.views import ReadViewSet
from contributions.models import Contribution
from contributions.periods import Period
from contributions.statement_formats import StatementSerializer, as_csv, as_json
from contributions.statements import Statement
from groups.queries import known_user
from groups.views import InGroupViewSet

_ABOUT_MOMENTS: Final = "An RFC 3339 time, or a date, which stands for its first moment in UTC."
PARAMETERS: Final = [
    OpenApiParameter("from", MOMENT_SCHEMA, description=f"Movements at this time or later. {_ABOUT_MOMENTS}"),
    OpenApiParameter("to", MOMENT_SCHEMA, description=f"Movements before this time. {_ABOUT_MOMENTS}"),
    OpenApiParameter("format", str, enum=["json", "csv"], description="`Accept: text/csv` asks for the same."),
]
DESCRIPTION: Final = (
    "Contributions, payouts and refunds in one list, oldest first, and their sums by token at its end. It is made "
    "while it is sent, so it can be of any length; there are no pages. Movements whose time nobody knows any more are "
    "part of a statement without a period, and counted in `undated` by one with a period."
)


class CSVRenderer(BaseRenderer):
    """Names the media type; as_csv writes."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        raise NotImplementedError


class StatementViewSet(ReadViewSet):
    """A statement of `statement_of`."""

    queryset: QuerySet[Contribution] = Contribution.objects.all()
    serializer_class = StatementSerializer
    pagination_class = None
    renderer_classes = (JSONRenderer, CSVRenderer)  # type: ignore[assignment]  # the base has the first alone
    edge_cacheable = False
    parameters: ClassVar = {"from", "to", "format", "min_ledger"}

    @abstractmethod
    def statement_of(self) -> tuple[dict[str, Any], str]:
        """Return the filter of what the path names, and a name for the file. Raise a 400, or cache.Absent."""

    def retrieve(self, request: Request, **path: str) -> HttpResponseBase:
        of, name = self.statement_of()
        statement = Statement(of, period(request))
        is_csv = self._format(request) == "csv"
        parts = in_chunks(as_csv(statement), BROKEN_OFF) if is_csv else in_chunks(as_json(statement))
        # the first rows are read before the status is said
        begun: list[bytes] = [] if request.method == "HEAD" else [next(parts)]
        response = Download(chain(begun, parts if begun else ()), _media_type(is_csv), client_address(request))
        if is_csv:
            response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        # an error is JSON, whatever was accepted
        if isinstance(getattr(request, "accepted_renderer", None), CSVRenderer):
            request.accepted_renderer, request.accepted_media_type = JSONRenderer(), "application/json"
        return super().finalize_response(request, response, *args, **kwargs)

    def _format(self, request: Request) -> str:
        wanted = request.query_params.get("format", str(request.accepted_renderer.format))
        if wanted not in ("json", "csv"):
            raise invalid(format="json or csv is expected.")
        return wanted

    def _parameters(self) -> set[str]:
        return self.parameters


class UserStatementViewSet(StatementViewSet):
    def statement_of(self) -> tuple[dict[str, Any], str]:
        address = path_address(self.kwargs["address"])
        return {"user": known_user(address)}, f"statement-{address}"

    @extend_schema(summary="A wallet's statement", description=DESCRIPTION, parameters=[ADDRESS, *PARAMETERS])
    def retrieve(self, request: Request, **path: str) -> HttpResponseBase:
        return super().retrieve(request, **path)


class GroupStatementViewSet(StatementViewSet, InGroupViewSet):
    def statement_of(self) -> tuple[dict[str, Any], str]:
        group_id = path_group_id(self.kwargs["group_id"])
        self.filter_by_path(self.get_queryset())  # reads the group from the chain unless the tables have it
        return {"group_id": group_id}, f"statement-group-{group_id}"

    @extend_schema(summary="A group's statement", description=DESCRIPTION, parameters=[GROUP_ID, *PARAMETERS])
    def retrieve(self, request: Request, **path: str) -> HttpResponseBase:
        return super().retrieve(request, **path)


def period(request: Request) -> Period:
    """Return the period that `from` and `to` name. Raise a 400 for what is no time, or no time before the other."""
    moments = {
        name: checked(name, parse_moment, request.query_params[name])
        for name in ("from", "to")
        if name in request.query_params
    }
    found = Period(moments.get("from"), moments.get("to"))
    if found.since and found.until and found.since >= found.until:
        raise invalid(to="A time after `from` is expected.")
    return found


def _media_type(is_csv: bool) -> str:
    return MEDIA_TYPE if is_csv else "application/json"
