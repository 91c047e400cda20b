"""What history can be asked for. Times become bounds on the event id, which is what history is ordered by."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import django_filters
from django.db.models import Q, QuerySet

from ajo.api.filters import AddressFilter, GroupIdFilter, HashFilter, TimeFilter, U32Filter
from contributions.models import Refund
from groups.models import User


class InGroupFilter(django_filters.FilterSet):
    """Contributions of one group."""

    kinds: ClassVar[tuple[str, ...]] = (
        "round",
        "user",
    )  # filters that name a kind of row, each with an index of its own

    round = U32Filter()
    user = AddressFilter(method="by_user")

    @property
    def key(self) -> str:
        """What the rows are ordered by: see `order_within`."""
        given = self.form.cleaned_data
        return "order_within" if any(given[kind] is not None for kind in self.kinds) else "order_key"

    def by_user(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        user = User.objects.filter(wallet_address=value).first()
        return queryset.filter(user=user) if user else queryset.none()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = super().filter_queryset(queryset)
        return newest_within(found) if self.key == "order_within" else found


class HistoryFilter(InGroupFilter):
    """All of it. A recovered row without a time is neither after nor before any."""

    kinds = ("round", "user", "group", "tx_hash")

    group = GroupIdFilter(field_name="group_id")
    tx_hash = HashFilter()
    created_after = TimeFilter(method="by_created_after", help_text="Later than this time.")
    created_before = TimeFilter(method="by_created_before", help_text="Earlier than this time.")

    def by_created_after(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        bound = _first(queryset.model.objects.filter(created_at__gt=value).order_by("created_at", "order_key"))
        announced = Q(**{f"{self.key}__gte": bound}) if bound else Q(pk__in=())
        recovered = Q(**{self.key: ""}, created_at__gt=value)
        return queryset.filter(announced | recovered if _has_recovered(queryset, created_at__gt=value) else announced)

    def by_created_before(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        bound = _first(queryset.model.objects.filter(created_at__lt=value).order_by("-created_at", "-order_key"))
        announced = Q(**{f"{self.key}__gt": ""})
        if _has_recovered(queryset, created_at__lt=value):  # these come last
            announced |= Q(created_at__lt=value)
        return queryset.filter(announced, **{f"{self.key}__lte": bound or ""})


def newest_within(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Newest first, along the index of whatever the rows have in common."""
    return queryset.order_by("-order_within", "-id")


def _has_recovered(queryset: QuerySet[Any], **within: datetime) -> bool:
    """Whether there are rows without an event within this time: of what is recovered only refunds have one."""
    if queryset.model is not Refund:
        return False
    recovered = Refund.objects.filter(event_id=None, **within).order_by("created_at")  # which leads along their index
    return recovered.values_list("pk").first() is not None


def _first(rows: QuerySet[Any]) -> str | None:
    """The event id at which a time begins or ends: ids grow with time."""
    key: str | None = rows.exclude(order_key="").values_list("order_key", flat=True).first()
    return key
