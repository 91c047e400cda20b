"""What history can be asked for. Times become bounds on the event id, which is what history is ordered by."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters
from django.db.models import QuerySet

from ajo.api.filters import AddressFilter, GroupIdFilter, HashFilter, TimeFilter, U32Filter
from groups.models import User


class InGroupFilter(django_filters.FilterSet):
    """Contributions of one group."""

    round = U32Filter()
    user = AddressFilter(method="by_user")

    def by_user(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        user = User.objects.filter(wallet_address=value).first()
        return queryset.filter(user=user) if user else queryset.none()


class HistoryFilter(InGroupFilter):
    """All of it. A recovered row has no time, so it is neither after nor before any."""

    group = GroupIdFilter(field_name="group_id")
    tx_hash = HashFilter()
    created_after = TimeFilter(method="by_created_after", help_text="Later than this time.")
    created_before = TimeFilter(method="by_created_before", help_text="Earlier than this time.")

    def by_created_after(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        rows = queryset.model.objects.filter(created_at__gt=value).exclude(order_key="")
        bound = rows.order_by("created_at", "order_key").values_list("order_key", flat=True).first()
        return queryset.filter(order_key__gte=bound) if bound else queryset.none()

    def by_created_before(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        rows = queryset.model.objects.filter(created_at__lt=value).exclude(order_key="")
        bound = rows.order_by("-created_at", "-order_key").values_list("order_key", flat=True).first()
        return queryset.filter(order_key__gt="", order_key__lte=bound) if bound else queryset.none()
