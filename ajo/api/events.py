"""The endpoint of all events of the contract, oldest first, and the serializer of events."""

from __future__ import annotations

import re
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from ajo.api.fields import TimeField, U32Field, U64StringField
from ajo.api.pagination import KeysetPagination, link, parse_limit
from ajo.api.problems import invalid
from ajo.api.views import ReadViewSet
from ajo.soroban.models import ContractEvent

EVENT_ID: Final = re.compile(r"[0-9]{19}-[0-9]{10}", re.ASCII)
EVENT_COLUMNS: Final = ("id", "type", "group_id", "round", "data", "tx_hash", "ledger", "created_at")


class EventSerializer(serializers.Serializer[ContractEvent]):
    """An event of the contract, decoded."""

    id = serializers.CharField(read_only=True)
    type = serializers.CharField(read_only=True, help_text="The first topic.")
    group = U64StringField(source="group_id", allow_null=True)
    round = U32Field(allow_null=True)
    data = serializers.JSONField(  # type: ignore[assignment]  # collected as a field before anyone sees it
        read_only=True, allow_null=True, help_text="Decoded, by name; null if unreadable."
    )
    tx_hash = serializers.CharField(read_only=True)
    ledger = U32Field()
    created_at = TimeField()


class AfterPagination(KeysetPagination):
    """Paginate onwards from an event id. There is always a next page, for the events that are still to come."""

    parameters = ("limit", "after")

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        after = request.query_params.get("after", "")
        if after and not EVENT_ID.fullmatch(after):
            raise invalid(after="An event id is expected, like 0000000000000000000-0000000000.")
        rows = list(queryset.filter(id__gt=after)[: parse_limit(request)])
        self._links = (link(request, after=rows[-1].id if rows else None), None)
        return rows

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            *super().get_schema_operation_parameters(view),
            {
                "name": "after",
                "in": "query",
                "required": False,
                "schema": {"type": "string", "pattern": f"^{EVENT_ID.pattern}$"},
                "description": "The last event that is known; from the oldest one if not given.",
            },
        ]


class EventViewSet(ReadViewSet):
    """All events, for clients that follow the contract by polling `next`."""

    queryset = ContractEvent.objects.only(*EVENT_COLUMNS).order_by("id")
    serializer_class = EventSerializer
    pagination_class = AfterPagination
