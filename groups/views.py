"""Views of groups, their members and events, and of a wallet's groups and dues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache as once
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request

from ajo.api.clock import chain_now
from ajo.api.events import EVENT_COLUMNS, EventSerializer
from ajo.api.filters import OrderedFilterSet
from ajo.api.params import path_address, path_group_id
from ajo.api.schema import ADDRESS, GROUP_ID
from ajo.api.throttles import client_address, throttle_chain_read
from ajo.api.views import ReadViewSet
from ajo.soroban.models import ContractEvent
from groups.cached import ensure_group, group_answer, unreadable
from groups.due_totals import DuePagination, due_totals
from groups.filters import GroupFilter, UserGroupFilter
from groups.models import Group, GroupMember, User
from groups.queries import groups_of, has_unreadable_dues, known_user, listed_groups, memberships
from groups.serializers import (
    DueSerializer,
    GroupDetailSerializer,
    GroupSerializer,
    MemberSerializer,
    UserSerializer,
)


@extend_schema_view(
    list=extend_schema(
        summary="Groups, newest first",
        description="Every readable group with its terms, its round and who is next, without its members. All "
        "filters can be combined; pages follow `next`, however many groups are made meanwhile.",
    )
)
class GroupViewSet(ReadViewSet):
    queryset = listed_groups()
    serializer_class = GroupSerializer
    filterset_class = GroupFilter

    def to_objects(self, rows: Sequence[Any]) -> Sequence[Any]:
        return groups_of(rows)


class GroupDetailViewSet(ReadViewSet):
    """One group, from the cache, the tables or the chain: whichever is nearest and new enough."""

    queryset = Group.objects.all()
    serializer_class = GroupDetailSerializer
    pagination_class = None
    from_tables = edge_cacheable = False

    @extend_schema(
        summary="One group with its members and its refund request",
        description="From the cache, the tables or the chain, whichever is nearest and new enough. With `min_ledger` "
        "it is read again if it was last read before that ledger; so is a group that was made a moment ago, which is "
        "404 without it until the sync has seen it.",
        parameters=[GROUP_ID],
    )
    def retrieve(self, request: Request, group_id: str) -> HttpResponse:
        admit = once(partial(throttle_chain_read, request))
        client = client_address(request)
        self.fresh = answer = group_answer(path_group_id(group_id), self.min_ledger, admit=admit, client=client)
        return HttpResponse(answer.body, content_type="application/json")


class InGroupViewSet(ReadViewSet):
    """A list within one group, which is read from the chain if the tables do not have it yet."""

    def filter_by_path(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        group_id = path_group_id(self.kwargs["group_id"])
        admit = once(partial(throttle_chain_read, self.request))
        ensure_group(group_id, admit=admit, client=client_address(self.request))
        return queryset.filter(group_id=group_id)


@extend_schema_view(
    list=extend_schema(
        summary="Members in payout order",
        description="Who takes part, in the order in which they are paid out, and who has paid the current round. "
        "All members fit one page of 200.",
        parameters=[GROUP_ID],
    )
)
class GroupMemberViewSet(InGroupViewSet):
    queryset = GroupMember.objects.select_related("group").prefetch_related("user").order_by("position")
    serializer_class = MemberSerializer


@extend_schema_view(
    list=extend_schema(
        summary="A group's events, newest first",
        description="What the contract announced of this group, each event with its decoded data. Not everything is "
        "announced: names and descriptions change without an event.",
        parameters=[GROUP_ID],
    )
)
class GroupEventViewSet(InGroupViewSet):
    queryset = ContractEvent.objects.only(*EVENT_COLUMNS).order_by("-id")
    serializer_class = EventSerializer
    filterset_class = OrderedFilterSet


@extend_schema_view(
    list=extend_schema(
        summary="Wallets, newest first",
        description="Every wallet that appears in a group, as a member, a creator or in its history. A wallet's own "
        "page has its counts and sums.",
    )
)
class UserViewSet(ReadViewSet):
    queryset = User.objects.order_by("-id")
    serializer_class = UserSerializer


@extend_schema_view(
    list=extend_schema(
        summary="The groups a wallet belongs to, newest first",
        description="Every group that the wallet has joined, whatever became of it, in the form of any list of "
        "groups. `status` narrows it to those that go on, or are over.",
        parameters=[ADDRESS],
    )
)
class UserGroupViewSet(ReadViewSet):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer
    filterset_class = UserGroupFilter

    def filter_by_path(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return memberships(known_user(path_address(self.kwargs["address"])))

    def to_objects(self, rows: Sequence[Any]) -> Sequence[Any]:
        return groups_of(rows)


@extend_schema_view(
    list=extend_schema(
        summary="What a wallet has to pay now, and when it is paid out",
        description="A row for each active group of the wallet, with what is due and until when, and `totals` by "
        "token over all of them. It is computed when asked, by the chain's time.",
        parameters=[ADDRESS],
    )
)
class UserDueViewSet(ReadViewSet):
    """One row for each active group of the wallet. Computed when asked: `now` is read once."""

    queryset = (
        GroupMember.objects.select_related("group")
        .prefetch_related("group__token")
        .defer("group__entry_xdr", "group__metadata_xdr", "group__description", "group__rules")
        .filter(group__status=Group.Status.ACTIVE)
        .order_by("-group_id")
    )
    serializer_class = DueSerializer
    pagination_class = DuePagination
    edge_cacheable = False

    @cached_property
    def now(self) -> datetime:
        """The time by which dues and totals are computed, read once."""
        return chain_now()

    def filter_by_path(self, queryset: QuerySet[GroupMember]) -> QuerySet[GroupMember]:
        user = known_user(path_address(self.kwargs["address"]))
        if has_unreadable_dues(user):
            raise unreadable()  # a due that is left out would mean that nothing is to be paid
        if isinstance(self.paginator, DuePagination):
            self.paginator.totals = due_totals(user, self.now)
        return queryset.filter(user=user)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": self.now}
