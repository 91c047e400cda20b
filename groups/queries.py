"""Querysets of the API's lists: with everything that a body shows, and without the raw entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from ajo.cache import Absent
from groups.models import Group, GroupMember, User

NEXT_RECIPIENT = GroupMember.objects.filter(group=OuterRef("pk"), position=OuterRef("payout_index"))


def listed_groups() -> QuerySet[Group]:
    """Return the readable groups, newest first, each with `next_address`: the member at `payout_index`, or None.

    Related rows are prefetched by key: with a join the planner may scan the whole table of wallets.
    """
    return (
        Group.objects.prefetch_related("creator", "token")
        .defer("entry_xdr", "metadata_xdr")
        .filter(unreadable_since=None)
        .annotate(next_address=Subquery(NEXT_RECIPIENT.values("user__wallet_address")[:1]))
        .order_by("-id")
    )


def memberships(user: User) -> QuerySet[GroupMember]:
    """Return a wallet's memberships, newest group first. They follow one index, which a join with groups need not."""
    return GroupMember.objects.filter(user=user).only("group_id").order_by("-group_id")


def has_unreadable_dues(user: User) -> bool:
    """Return whether an active group of this wallet is unreadable: nobody knows then what it has to pay."""
    rows = GroupMember.objects.filter(user=user, group__status=Group.Status.ACTIVE)
    return rows.filter(group__unreadable_since__isnull=False).exists()


def groups_of(rows: Sequence[Any]) -> Sequence[Any]:
    """Return the groups of a page of memberships, in its order; a page of groups as it is.

    Groups that are unreadable are silently left out.
    """
    if not rows or isinstance(rows[0], Group):
        return rows
    found = listed_groups().order_by().in_bulk([row.group_id for row in rows])
    return [found[row.group_id] for row in rows if row.group_id in found]


def known_user(address: str) -> User:
    """Return the wallet's row. Raises Absent (404) where the wallet appears in no group."""
    user = User.objects.filter(wallet_address=address).first()
    if user is None:
        raise Absent("This wallet appears in no group.")
    return user
