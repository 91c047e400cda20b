"""Serializer fields for the chain's values: u64 and i128 as strings, u32 as numbers, times in RFC 3339, strkeys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

from drf_spectacular.drainage import set_override
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

U64_SCHEMA: Final = {"type": "string", "pattern": "^[0-9]+$"}
I128_SCHEMA: Final = {"type": "string", "pattern": "^-?[0-9]+$"}
MAX_DECIMALS = 38  # digits after the point; no i128 has more
_EXACT: Final = Context(prec=2 * MAX_DECIMALS + 2)


class _ExactField(serializers.Field):  # type: ignore[type-arg]  # generic only in the stubs
    """An integer that clients' JSON numbers would round, written as a string of digits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: int) -> str:
        return str(int(value))


@extend_schema_field(U64_SCHEMA)
class U64StringField(_ExactField):
    """A u64, for ids and durations in seconds."""


@extend_schema_field(I128_SCHEMA)
class AmountField(_ExactField):
    """An i128, in the token's smallest unit. Products of amounts may exceed its range; they are exact too."""


def U32Field(**kwargs: Any) -> serializers.IntegerField:
    """Return a field for a u32: rounds, positions, ledgers, counts."""
    return serializers.IntegerField(read_only=True, min_value=0, **kwargs)


def TimeField(**kwargs: Any) -> serializers.DateTimeField:
    """Return a field for RFC 3339 in UTC with `Z`; microseconds only where there are any.

    The value is null where no calendar holds the time.
    """
    return serializers.DateTimeField(read_only=True, **kwargs)


def AddressField(**kwargs: Any) -> serializers.CharField:
    """Return a field for a G… (account) or C… (contract) strkey."""
    return serializers.CharField(read_only=True, min_length=56, max_length=56, **kwargs)


class ComputedField(serializers.Field):  # type: ignore[type-arg]
    """A value that `compute` makes of the whole object, in the form of another field; null for None."""

    def __init__(self, compute: Callable[[Any], Any], form: Any, **kwargs: Any) -> None:
        super().__init__(source="*", read_only=True, **kwargs)
        self._compute, self._form = compute, form
        set_override(self, "field", form)

    def to_representation(self, value: Any) -> Any:
        found = self._compute(value)
        return None if found is None else self._form.to_representation(found)


def add_seconds(start: datetime | None, seconds: int | None) -> datetime | None:
    """Add a duration, which a group's creator chooses freely. Return None where no calendar holds the sum."""
    if start is None or seconds is None:
        return None
    try:
        return start + timedelta(seconds=seconds)
    except OverflowError:
        return None


def decimal_amount(amount: int, decimals: int) -> str | None:
    """Return an amount in the token's unit, exactly; None for more decimals than an i128 has digits."""
    if not 0 <= decimals <= MAX_DECIMALS:
        return None
    return format(Decimal(amount).scaleb(-decimals, _EXACT), "f")
