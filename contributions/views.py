"""Views of history (all of it, a group's, a wallet's), and of a wallet's totals."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

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


@extend_schema_view(list=extend_schema(summary="Contributions, newest first"))
class ContributionViewSet(Contributions):
    filterset_class = HistoryFilter


@extend_schema_view(list=extend_schema(summary="Payouts, newest first"))
class PayoutViewSet(Payouts):
    filterset_class = HistoryFilter


@extend_schema_view(list=extend_schema(summary="Refunds, newest first"))
class RefundViewSet(Refunds):
    filterset_class = HistoryFilter


@extend_schema_view(list=extend_schema(summary="A group's contributions, newest first", parameters=[GROUP_ID]))
class GroupContributionViewSet(InGroupViewSet, Contributions):
    filterset_class = InGroupFilter


@extend_schema_view(list=extend_schema(summary="A group's payouts, newest first", parameters=[GROUP_ID]))
class GroupPayoutViewSet(InGroupViewSet, Payouts):
    pass


@extend_schema_view(list=extend_schema(summary="A group's refunds, newest first", parameters=[GROUP_ID]))
class GroupRefundViewSet(InGroupViewSet, Refunds):
    pass


@extend_schema_view(list=extend_schema(summary="What a wallet paid, newest first", parameters=[ADDRESS]))
class UserContributionViewSet(UserHistoryViewSet, Contributions):
    pass


@extend_schema_view(list=extend_schema(summary="What a wallet received, newest first", parameters=[ADDRESS]))
class UserPayoutViewSet(UserHistoryViewSet, Payouts):
    pass


@extend_schema_view(list=extend_schema(summary="What a wallet was refunded, newest first", parameters=[ADDRESS]))
class UserRefundViewSet(UserHistoryViewSet, Refunds):
    pass


class WalletViewSet(ReadViewSet):
    queryset = User.objects.all()
    serializer_class = WalletSerializer
    pagination_class = None

    @extend_schema(summary="One wallet with its counts and sums", parameters=[ADDRESS])
    def retrieve(self, request: Request, address: str) -> Response:
        return Response(self.get_serializer(wallet_totals(known_user(path_address(address)))).data)
