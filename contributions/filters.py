"""Filters of history. Times become bounds on the event id, by which history is ordered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db.models import Q, QuerySet

from ajo.api.filters import AddressFilter, GroupIdFilter, HashFilter, OrderedFilterSet, TimeFilter, U32Filter
from contributions.models import Refund
from groups.models import User


class InGroupFilter(OrderedFilterSet):
    """Contributions of one group."""

    indexed_filters: ClassVar[tuple[str, ...]] = ("round", "user")  # each begins an index that `order_within` ends

    round = U32Filter(help_text="Rows of this round.")
    user = AddressFilter(method="by_user", help_text="Rows of this wallet.")

    @property
    def order_column(self) -> str:
        """The column that the rows are ordered by: `order_within` beside an indexed filter, else `order_key`."""
        given = self.form.cleaned_data
        return "order_within" if any(given[name] is not None for name in self.indexed_filters) else "order_key"

    def by_user(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        user = User.objects.filter(wallet_address=value).first()
        return queryset.filter(user=user) if user else queryset.none()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(newest_within(queryset) if self.order_column == "order_within" else queryset)


class HistoryFilter(InGroupFilter):
    """All of history. A recovered row without a time is neither after nor before any time."""

    indexed_filters = ("round", "user", "group", "tx_hash")

    group = GroupIdFilter(field_name="group_id", help_text="Rows of this group.")
    tx_hash = HashFilter(help_text="Rows that this transaction carried.")
    created_after = TimeFilter(method="by_created_after", help_text="Later than this time.")
    created_before = TimeFilter(method="by_created_before", help_text="Earlier than this time.")

    def by_created_after(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        bound = _first(queryset.model.objects.filter(created_at__gt=value).order_by("created_at", "order_key"))
        announced = Q(**{f"{self.order_column}__gte": bound}) if bound else Q(pk__in=())
        recovered = Q(**{self.order_column: ""}, created_at__gt=value)
        return queryset.filter(announced | recovered if _has_recovered(queryset, created_at__gt=value) else announced)

    def by_created_before(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        bound = _first(queryset.model.objects.filter(created_at__lt=value).order_by("-created_at", "-order_key"))
        announced = Q(**{f"{self.order_column}__gt": ""})
        if _has_recovered(queryset, created_at__lt=value):  # these come last
            announced |= Q(created_at__lt=value)
        return queryset.filter(announced, **{f"{self.order_column}__lte": bound or ""})


def newest_within(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return the rows newest first, in the order of the indexes that begin with a filter's column."""
    return queryset.order_by("-order_within", "-id")


def _has_recovered(queryset: QuerySet[Any], **within: datetime) -> bool:
    """Return whether recovered rows lie within this time. Of the recovered rows only refunds have a time."""
    if queryset.model is not Refund:
        return False
    recovered = Refund.objects.filter(event_id=None, **within).order_by("created_at")  # the order of refund_recovered
    return recovered.values_list("pk").first() is not None


def _first(rows: QuerySet[Any]) -> str | None:
    """Return the first row's event id, which bounds a time, since ids grow with time; None without a row."""
    key: str | None = rows.exclude(order_key="").values_list("order_key", flat=True).first()
    return key
