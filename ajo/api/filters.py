"""Query parameters: exact forms, else 400. Each is a form field; filter sets put them together."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from ajo.api.fields import I128_SCHEMA, check_address
from ajo.soroban.fields import I128_MAX, I128_MIN, U32_MAX

TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
GROUP_ID: Final = re.compile(r"[1-9][0-9]*", re.ASCII)
HASH: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
INTEGER: Final = re.compile(r"-?[0-9]{1,40}", re.ASCII)
BIGINT_MAX: Final = 2**63 - 1
HASH_SCHEMA: Final = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
ID_SCHEMA: Final = {"type": "string", "pattern": "^[1-9][0-9]*$"}


def check_group_id(text: str) -> int:
    """A group's number; 0, which no group has, where it is larger than any. ValidationError if it is none."""
    if not GROUP_ID.fullmatch(text):
        raise ValidationError("A group id is a whole number from 1, in ASCII digits.")
    return int(text) if len(text) < 20 and int(text) <= BIGINT_MAX else 0


def check_hash(text: str) -> str:
    """A transaction hash, in the small letters that the tables have."""
    if not HASH.fullmatch(text):
        raise ValidationError("A transaction hash is 64 hexadecimal digits.")
    return text.lower()


def check_time(text: str) -> datetime:
    """An RFC 3339 time with its offset."""
    try:
        if not TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationError("A time like 2026-01-31T12:00:00Z is expected.") from None


class _Field(forms.CharField):
    def __init__(self, **kwargs: Any) -> None:
        for option in ("lookup_expr", "null_label", "null_value"):
            kwargs.pop(option, None)
        super().__init__(strip=False, **kwargs)

    def clean(self, value: Any) -> Any:
        return self.parse(value) if value else None

    def parse(self, text: str) -> Any:
        raise NotImplementedError


class _AddressField(_Field):
    def parse(self, text: str) -> str:
        return check_address(text)


class _GroupIdField(_Field):
    def parse(self, text: str) -> int:
        return check_group_id(text)


class _HashField(_Field):
    def parse(self, text: str) -> str:
        return check_hash(text)


class _TimeField(_Field):
    def parse(self, text: str) -> datetime:
        return check_time(text)


class _FlagField(_Field):
    def parse(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise ValidationError("true or false is expected.")
        return text == "true"


class _IntegerField(_Field):
    low, high = 0, U32_MAX

    def parse(self, text: str) -> int:
        if not INTEGER.fullmatch(text) or not self.low <= int(text) <= self.high:
            raise ValidationError(f"A whole number from {self.low} to {self.high} is expected.")
        return int(text)


class _AmountField(_IntegerField):
    low, high = I128_MIN, I128_MAX


@extend_schema_field({"type": "string", "minLength": 56, "maxLength": 56})
class AddressFilter(django_filters.Filter):
    field_class = _AddressField


@extend_schema_field(ID_SCHEMA)
class GroupIdFilter(django_filters.Filter):
    field_class = _GroupIdField


@extend_schema_field(HASH_SCHEMA)
class HashFilter(django_filters.Filter):
    field_class = _HashField


@extend_schema_field(OpenApiTypes.DATETIME)
class TimeFilter(django_filters.Filter):
    field_class = _TimeField


@extend_schema_field(OpenApiTypes.BOOL)
class FlagFilter(django_filters.Filter):
    field_class = _FlagField


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": U32_MAX})
class U32Filter(django_filters.Filter):
    field_class = _IntegerField


@extend_schema_field(I128_SCHEMA)
class AmountFilter(django_filters.Filter):
    field_class = _AmountField
