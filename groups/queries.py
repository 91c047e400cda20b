"""Querysets of what the API lists: with everything that a body shows, and without the raw entries."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet, Subquery

from ajo.cache import Absent
from groups.models import Group, GroupMember, User

NEXT = GroupMember.objects.filter(group=OuterRef("pk"), position=OuterRef("payout_index"))


def listed_groups() -> QuerySet[Group]:
    """Newest first, each with `next_address`: the member at `payout_index`, if there is one."""
    return (
        Group.objects.for_display()
        .defer("entry_xdr", "metadata_xdr")
        .annotate(next_address=Subquery(NEXT.values("user__wallet_address")[:1]))
        .order_by("-id")
    )


def known_user(address: str) -> User:
    """The wallet's row. Raises Absent."""
    user = User.objects.filter(wallet_address=address).first()
    if user is None:
        raise Absent("This wallet appears in no group.")
    return user
