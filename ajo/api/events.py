"""The endpoint of all events of the contract, oldest first, and the serializer of events."""

from __future__ import annotations

import re
from typing import Any, Final

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import Func, QuerySet, TextField
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from ajo.api.fields import TimeField, U32Field, U64StringField
from ajo.api.filters import AddressFilter, GroupIdFilter, parsed_filter
from ajo.api.pagination import KeysetPagination, link, parse_limit
from ajo.api.problems import invalid
from ajo.api.views import ReadViewSet
from ajo.soroban.models import ContractEvent

EVENT_ID: Final = re.compile(r"[0-9]{19}-[0-9]{10}", re.ASCII)
FIRST: Final = "0000000000000000000-0000000000"  # before every event
NOW: Final = "now"
EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9_]{1,32}", re.ASCII)  # a contract's symbol
EVENT_COLUMNS: Final = ("id", "type", "group_id", "round", "data", "tx_hash", "ledger", "created_at")


class EventSerializer(serializers.Serializer[ContractEvent]):
    """An event of the contract, decoded."""

    id = serializers.CharField(read_only=True, help_text="Grows with the chain: what `after` takes.")
    type = serializers.CharField(read_only=True, help_text="The first topic.")
    group = U64StringField(
        source="group_id", allow_null=True, help_text="The group's number; null where the event concerns no group."
    )
    round = U32Field(allow_null=True, help_text="The round; null where the event concerns none.")
    data = serializers.JSONField(  # type: ignore[assignment]  # collected as a field before anyone sees it
        read_only=True, allow_null=True, help_text="Decoded, by name; null if unreadable."
    )
    tx_hash = serializers.CharField(read_only=True, help_text="The transaction that carried it.")
    ledger = U32Field(help_text="The ledger that carried it.")
    created_at = TimeField(help_text="When that ledger closed.")


class AfterPagination(KeysetPagination):
    """Paginate onwards from an event id. There is always a next page, for the events that are still to come."""

    parameters = ("limit", "after")

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        after = request.query_params.get("after", "")
        if after and after != NOW and not EVENT_ID.fullmatch(after):
            raise invalid(after=f"An event id is expected, like {FIRST}, or {NOW}.")
        limit = parse_limit(request)
        rows: list[ContractEvent] = []
        last: str | None
        if after == NOW:
            last = ContractEvent.objects.order_by("-id").values_list("id", flat=True).first() or FIRST
        else:
            rows = list(queryset.filter(id__gt=after)[:limit])
            last = rows[-1].id if rows else after or None
        self._links = (link(request, after=last), None)
        return rows

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            *super().get_schema_operation_parameters(view),
            {
                "name": "after",
                "in": "query",
                "required": False,
                "schema": {"type": "string", "pattern": f"^({NOW}|{EVENT_ID.pattern})$"},
                "description": "The last event that is known; from the oldest one if not given. `now`: none yet, and "
                "`next` leads to those that are still to come.",
            },
        ]


class EventWallet(Func):
    """The wallet that an event names, whatever its part in it; each event names one at most.

    The index soroban_event_wallet has this very expression (groups/migrations/0008_deadlines.py).
    """

    output_field = TextField()
    template = (
        "coalesce(%(expressions)s ->> 'member', %(expressions)s ->> 'recipient', %(expressions)s ->> 'creator', "
        "%(expressions)s ->> 'requester', %(expressions)s ->> 'voter', %(expressions)s ->> 'admin')"
    )


def parse_event_type(text: str) -> str:
    """Return the text if it has the form of an event type. Raise ValidationError if not."""
    if not EVENT_TYPE.fullmatch(text):
        raise ValidationError("An event type is expected, like contrib.")
    return text


TypeFilter = parsed_filter(parse_event_type, {"type": "string", "pattern": f"^{EVENT_TYPE.pattern}$"})


class EventFilter(django_filters.FilterSet):
    """The log's filters; each begins an index that the id closes."""

    type = TypeFilter(help_text="The first topic, like `contrib` or `payout`.")
    group = GroupIdFilter(field_name="group_id", help_text="Events of this group.")
    user = AddressFilter(method="by_user", help_text="Events that name this wallet: as payer, recipient, voter, …")

    def by_user(self, queryset: QuerySet[ContractEvent], name: str, value: str) -> QuerySet[Any]:
        return queryset.annotate(wallet=EventWallet("data")).filter(wallet=value)


@extend_schema_view(
    list=extend_schema(
        summary="All events of the contract, oldest first",
        description="What a client polls to follow everything: begin with `after=now` or with the oldest event, then "
        "ask for `next` again and again. `next` is never null, and leads on from the last event that was "
        "given. Filters narrow what is given and stay in `next`.",
    )
)
class EventViewSet(ReadViewSet):
    """All events, for clients that follow the contract by polling `next`."""

    queryset = ContractEvent.objects.only(*EVENT_COLUMNS).order_by("id")
    serializer_class = EventSerializer
    pagination_class = AfterPagination
    filterset_class = EventFilter
