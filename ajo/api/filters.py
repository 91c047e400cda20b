"""Filters for query parameters: each takes one exact form (ajo/api/params.py), else 400."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from ajo.api import params
from ajo.api.fields import I128_SCHEMA
from ajo.soroban.fields import I128_MAX, I128_MIN, U32_MAX

FIELD_OPTIONS = ("required", "label", "help_text")


class _ParsedField(forms.CharField):
    """A text that `parse` takes as it came, spaces included; an empty one is no value."""

    parse: Callable[[str], Any]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, **{name: kwargs[name] for name in FIELD_OPTIONS if name in kwargs})

    def clean(self, value: Any) -> Any:
        return self.parse(value) if value else None


def parsed_filter(parse: Callable[[str], Any], schema: Any) -> type[django_filters.Filter]:
    """Return a filter by what `parse` makes of a parameter; it raises ValidationError. `schema` is OpenAPI's."""
    field_class = type("ParsedField", (_ParsedField,), {"parse": staticmethod(parse)})
    made = type("ParsedFilter", (django_filters.Filter,), {"field_class": field_class})
    annotated: type[django_filters.Filter] = extend_schema_field(schema)(made)
    return annotated


AddressFilter = parsed_filter(params.parse_address, params.ADDRESS_SCHEMA)
GroupIdFilter = parsed_filter(params.parse_group_id, params.ID_SCHEMA)  # one larger than any matches nothing
GroupIdsFilter = parsed_filter(
    params.parse_group_ids, {"type": "string", "pattern": "^[1-9][0-9]*(,[1-9][0-9]*)*$", "example": "1,2,3"}
)
HashFilter = parsed_filter(params.parse_hash, params.HASH_SCHEMA)  # in either case
TimeFilter = parsed_filter(params.parse_time, OpenApiTypes.DATETIME)
BoolFilter = parsed_filter(params.parse_bool, OpenApiTypes.BOOL)
U32Filter = parsed_filter(partial(params.parse_integer, low=0, high=U32_MAX), params.U32_SCHEMA)
AmountFilter = parsed_filter(partial(params.parse_integer, low=I128_MIN, high=I128_MAX), I128_SCHEMA)


class ChoiceFilter(django_filters.ChoiceFilter):
    """A filter by one of a few words; the message about any other names them."""

    def __init__(self, *args: Any, choices: Sequence[tuple[str, Any]], **kwargs: Any) -> None:
        messages = {"invalid_choice": params.one_of(word for word, _ in choices)}
        super().__init__(*args, choices=choices, error_messages=messages, **kwargs)


class OrderedFilterSet(django_filters.FilterSet):
    """A list of history that can be read in either direction: `ordering`."""

    ordering = ChoiceFilter(
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
