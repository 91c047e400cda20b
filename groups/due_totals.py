"""What a wallet owes in all its groups together, by token: part of `users/{address}/dues/`, on each of its pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db.models import Count, DecimalField, Q, Sum
from rest_framework.response import Response

from ajo.api.fields import I128_SCHEMA
from ajo.api.pagination import KeysetPagination
from groups.deadlines import RoundEnd
from groups.models import Group, GroupMember, Token, User
from groups.schedule import readable_token
from groups.serializers import TokenSerializer

_AMOUNT: Final = DecimalField(max_digits=60, decimal_places=0)
TOTALS_SCHEMA: Final = {
    "type": "array",
    "description": "What the wallet owes now in all its groups, this page's and the others', by token.",
    "items": {
        "type": "object",
        "required": ["token_address", "token", "groups", "amount_due", "amount_overdue"],
        "properties": {
            "token_address": {
                "type": "string", "nullable": True, "minLength": 56, "maxLength": 56,
                "description": "The token's contract; null: groups that older contracts wrote without one.",
                "example": "CB64D3G7SM2RTH6JSGG34DDTFTQ5CFDKVDZJZSODMCX4NJ2HV2KN7OHT",
            },
            "token": {
                "allOf": [{"$ref": "#/components/schemas/Token"}], "nullable": True,
                "description": "The token's own description, if it can be read.",
            },
            "groups": {
                "type": "integer", "minimum": 0, "example": 2,
                "description": "Active groups of the wallet in this token whose round it has not paid.",
            },
            "amount_due": I128_SCHEMA | {"description": "To be paid for their current rounds."},
            "amount_overdue": I128_SCHEMA | {"description": "So much of it is late already."},
        },
    },
}  # fmt: skip


def due_totals(user: User, now: datetime) -> list[dict[str, Any]]:
    """Return what the wallet owes at `now`, by token, in the token's smallest unit. Two queries.

    Unreadable groups count as they were before: callers ask for them first (`queries.has_unreadable_dues`).
    """
    groups = Group.objects.filter(status=Group.Status.ACTIVE).annotate(round_end=RoundEnd())
    unpaid = groups.filter(pk__in=GroupMember.objects.filter(user=user, has_contributed=False).values("group_id"))
    late = Q(round_end__lt=now.timestamp())
    sums = (
        unpaid.order_by()
        .values_list("token_id")
        .annotate(
            number=Count("pk"),
            due=Sum("contribution_amount", output_field=_AMOUNT),
            overdue=Sum("contribution_amount", filter=late, output_field=_AMOUNT),
        )
        .order_by("token_id")
    )
    found = list(sums)
    tokens = {
        token.address: token for token in Token.objects.filter(address__in=[each[0] for each in found if each[0]])
    }
    return [_total(address, readable_token(tokens.get(address or "")), *figures) for address, *figures in found]


def _total(address: str | None, token: Token | None, number: int, due: Any, overdue: Any) -> dict[str, Any]:
    return {
        "token_address": address,
        "token": TokenSerializer(token).data if token else None,
        "groups": number,
        "amount_due": str(int(due)),
        "amount_overdue": str(int(overdue or 0)),
    }


class DuePagination(KeysetPagination):
    """Pages of dues, each with the totals of all of them."""

    totals: Sequence[dict[str, Any]] = ()

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        response.data["totals"] = self.totals
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        described = super().get_paginated_response_schema(schema)
        described["required"].append("totals")
        described["properties"]["totals"] = TOTALS_SCHEMA
        return described
