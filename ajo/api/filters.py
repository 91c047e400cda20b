"""Filters for query parameters: each is a form field that takes one exact form (ajo/api/params.py), else 400."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from ajo.api import params
from ajo.api.fields import I128_SCHEMA
from ajo.soroban.fields import I128_MAX, I128_MIN, U32_MAX


class _Field(forms.CharField):
    """A text that subclasses parse as it came, spaces included; an empty one is no value."""

    def __init__(self, **kwargs: Any) -> None:
        for option in ("lookup_expr", "null_label", "null_value"):
            kwargs.pop(option, None)
        super().__init__(strip=False, **kwargs)

    def clean(self, value: Any) -> Any:
        return self.parse(value) if value else None

    def parse(self, text: str) -> Any:
        """Return the value. Raise ValidationError."""
        raise NotImplementedError


class _AddressField(_Field):
    def parse(self, text: str) -> str:
        return params.parse_address(text)


class _GroupIdField(_Field):
    def parse(self, text: str) -> int:
        return params.parse_group_id(text)


class _GroupIdsField(_Field):
    def parse(self, text: str) -> list[int]:
        return params.parse_group_ids(text)


class _HashField(_Field):
    def parse(self, text: str) -> str:
        return params.parse_hash(text)


class _TimeField(_Field):
    def parse(self, text: str) -> datetime:
        return params.parse_time(text)


class _BoolField(_Field):
    def parse(self, text: str) -> bool:
        return params.parse_bool(text)


class _IntegerField(_Field):
    low, high = 0, U32_MAX

    def parse(self, text: str) -> int:
        return params.parse_integer(text, self.low, self.high)


class _AmountField(_IntegerField):
    low, high = I128_MIN, I128_MAX


@extend_schema_field(params.ADDRESS_SCHEMA)
class AddressFilter(django_filters.Filter):
    """Take a G… or C… strkey."""

    field_class = _AddressField


@extend_schema_field(params.ID_SCHEMA)
class GroupIdFilter(django_filters.Filter):
    """Take a group's number; one larger than any matches nothing."""

    field_class = _GroupIdField


@extend_schema_field({"type": "string", "pattern": "^[1-9][0-9]*(,[1-9][0-9]*)*$", "example": "1,2,3"})
class GroupIdsFilter(django_filters.Filter):
    """Take up to 200 groups' numbers, separated by commas; those that no group has match nothing."""

    field_class = _GroupIdsField

    def filter(self, queryset: Any, value: list[int] | None) -> Any:
        return queryset if value is None else queryset.filter(pk__in=value)


@extend_schema_field(params.HASH_SCHEMA)
class HashFilter(django_filters.Filter):
    """Take a transaction hash in either case."""

    field_class = _HashField


@extend_schema_field(OpenApiTypes.DATETIME)
class TimeFilter(django_filters.Filter):
    """Take an RFC 3339 time with its offset."""

    field_class = _TimeField


@extend_schema_field(OpenApiTypes.BOOL)
class BoolFilter(django_filters.Filter):
    """Take `true` or `false`."""

    field_class = _BoolField


@extend_schema_field(params.U32_SCHEMA)
class U32Filter(django_filters.Filter):
    """Take a u32."""

    field_class = _IntegerField


@extend_schema_field(I128_SCHEMA)
class AmountFilter(django_filters.Filter):
    """Take an i128."""

    field_class = _AmountField


class OrderedFilterSet(django_filters.FilterSet):
    """A list of history that can be read in either direction: `ordering`."""

    ordering = django_filters.ChoiceFilter(
        choices=[("-id", "-id"), ("id", "id")],
        method="by_ordering",
        help_text="`-id`, newest first, if not given; `id`: oldest first. Rows without an event count as the oldest.",
    )

    def by_ordering(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset  # after all other filters, which choose the columns

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found: QuerySet[Any] = super().filter_queryset(queryset)
        if self.form.cleaned_data["ordering"] != "id":
            return found
        return found.order_by(*(str(name).removeprefix("-") for name in found.query.order_by))
