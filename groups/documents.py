"""Groups as finished bodies: the exact bytes of `GET groups/{id}/`, for cache and view alike."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.db.models.functions import JSONObject

from ajo.api.rendering import dump
from ajo.cache import Document
from groups.models import Group, GroupMember, User
from groups.serializers import GroupDetailSerializer

MEMBERS = (
    GroupMember.objects.filter(group=OuterRef("pk"))
    .order_by("position")
    .values(
        row=JSONObject(
            address="user__wallet_address",
            position="position",
            joined_at="joined_at",
            has_contributed="has_contributed",
        )
    )
)


def group_documents(ids: Iterable[int]) -> dict[int, Document]:
    """The bodies of these groups, those without a row left out. One statement: all parts are of one snapshot."""
    rows = (
        Group.objects.filter(pk__in=list(ids))
        .select_related("creator", "token", "refund_request__requester")
        .defer("entry_xdr", "metadata_xdr", "refund_request__entry_xdr")
        .annotate(member_rows=ArraySubquery(MEMBERS))
    )
    return {group.pk: _document(group, vars(group)["member_rows"]) for group in rows}


def _document(group: Group, member_rows: list[dict[str, Any]]) -> Document:
    members = [
        GroupMember(
            group=group,
            user=User(wallet_address=row["address"]),
            position=row["position"],
            joined_at=datetime.fromisoformat(row["joined_at"]) if row["joined_at"] else None,
            has_contributed=row["has_contributed"],
        )
        for row in member_rows
    ]
    following = (m.user.wallet_address for m in members if m.position == group.payout_index)
    vars(group).update(member_list=members, next_address=next(following, None))
    return Document(dump(GroupDetailSerializer(group).data), group.revision, group.synced_ledger)
