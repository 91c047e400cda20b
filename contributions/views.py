"""Views of history (all of it, a group's, a wallet's), and of a wallet's totals."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from ajo.api.filters import OrderedFilterSet
from ajo.api.params import path_address
from ajo.api.schema import ADDRESS, GROUP_ID
from ajo.api.views import ReadViewSet
from contributions.filters import HistoryFilter, InGroupFilter, newest_within
from contributions.models import Contribution, Payout, Refund
from contributions.serializers import (
    ContributionSerializer,
    PayoutSerializer,
    RefundSerializer,
    WalletSerializer,
)
from contributions.wallets import wallet_totals
from groups.models import User
from groups.queries import known_user
from groups.views import InGroupViewSet


class UserHistoryViewSet(ReadViewSet):
    """A list of one wallet's history."""

    def filter_by_path(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return newest_within(queryset.filter(user=known_user(path_address(self.kwargs["address"]))))


class Contributions(ReadViewSet):
    queryset: Any = Contribution.objects.prefetch_related("user").newest_first()
    serializer_class: Any = ContributionSerializer


class Payouts(ReadViewSet):
    queryset: Any = Payout.objects.prefetch_related("user").newest_first()
    serializer_class: Any = PayoutSerializer


class Refunds(ReadViewSet):
    queryset: Any = Refund.objects.prefetch_related("user").newest_first()
    serializer_class: Any = RefundSerializer


@extend_schema_view(
    list=extend_schema(
        summary="Contributions, newest first",
        description="Every payment of every member into a round, of all groups. A payment that events no longer tell "
        "of was recovered from the contract's entries: it has no transaction and no time, and comes "
        "last.",
    )
)
class ContributionViewSet(Contributions):
    filterset_class = HistoryFilter


@extend_schema_view(
    list=extend_schema(
        summary="Payouts, newest first",
        description="Every payout of a round's pool, of all groups; `user` is who received it. Payouts that were "
        "recovered from the contract's entries come last.",
    )
)
class PayoutViewSet(Payouts):
    filterset_class = HistoryFilter


@extend_schema_view(
    list=extend_schema(
        summary="Refunds, newest first",
        description="Everything that members got back when a group was cancelled, by vote or in an emergency. "
        "`round` is the round that was refunded.",
    )
)
class RefundViewSet(Refunds):
    filterset_class = HistoryFilter


@extend_schema_view(
    list=extend_schema(
        summary="A group's contributions, newest first",
        description="Who paid which round of this group. With `round` it answers whether everybody has, with `user` "
        "what one member paid.",
        parameters=[GROUP_ID],
    )
)
class GroupContributionViewSet(InGroupViewSet, Contributions):
    filterset_class = InGroupFilter


@extend_schema_view(
    list=extend_schema(
        summary="A group's payouts, newest first",
        description="Which rounds of this group were paid out, to whom, and by which transaction. The schedule has "
        "the rounds to come as well.",
        parameters=[GROUP_ID],
    )
)
class GroupPayoutViewSet(InGroupViewSet, Payouts):
    filterset_class = OrderedFilterSet


@extend_schema_view(
    list=extend_schema(
        summary="A group's refunds, newest first",
        description="What members of this group got back. A wallet can be refunded more than once: its group was "
        "cancelled, and a vote that was approved before was executed.",
        parameters=[GROUP_ID],
    )
)
class GroupRefundViewSet(InGroupViewSet, Refunds):
    filterset_class = OrderedFilterSet


@extend_schema_view(
    list=extend_schema(
        summary="What a wallet paid, newest first",
        description="The wallet's contributions to all its groups. The statement has them beside its payouts and "
        "refunds, with sums.",
        parameters=[ADDRESS],
    )
)
class UserContributionViewSet(UserHistoryViewSet, Contributions):
    filterset_class = OrderedFilterSet


@extend_schema_view(
    list=extend_schema(
        summary="What a wallet received, newest first",
        description="The payouts to this wallet from all its groups. A wallet is paid out once in each.",
        parameters=[ADDRESS],
    )
)
class UserPayoutViewSet(UserHistoryViewSet, Payouts):
    filterset_class = OrderedFilterSet


@extend_schema_view(
    list=extend_schema(
        summary="What a wallet was refunded, newest first",
        description="What this wallet got back from all its groups, and why: cancelled, by vote, or in an emergency.",
        parameters=[ADDRESS],
    )
)
class UserRefundViewSet(UserHistoryViewSet, Refunds):
    filterset_class = OrderedFilterSet


class WalletViewSet(ReadViewSet):
    queryset = User.objects.all()
    serializer_class = WalletSerializer
    pagination_class = None

    @extend_schema(
        summary="One wallet with its counts and sums",
        description="How many groups it belongs to and made, and by token what it paid, was refunded and received, "
        "exact to the smallest unit.",
        parameters=[ADDRESS],
    )
    def retrieve(self, request: Request, address: str) -> Response:
        return Response(self.get_serializer(wallet_totals(known_user(path_address(address)))).data)
