"""Database fields for the contract's number types: exact integers in Python, checked by PostgreSQL.

A bigint holds neither a u64 nor an i128; NUMERIC does, and these fields hand out `int`, never `Decimal` or float.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models

I128_MIN, I128_MAX = -(2**127), 2**127 - 1
U64_MAX = 2**64 - 1
U32_MAX = 2**32 - 1


class _IntegerNumericField(models.DecimalField):  # type: ignore[type-arg]  # generic only in the stubs
    # the stubs read these: ints in, ints out
    _pyi_private_set_type: int
    _pyi_private_get_type: int  # type: ignore[assignment]

    digits: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(max_digits=self.digits, decimal_places=0)
        super().__init__(*args, **kwargs)

    def from_db_value(self, value: Decimal | None, expression: Any, connection: Any) -> int | None:
        return None if value is None else int(value)

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        return None if number is None else int(number)


class I128Field(_IntegerNumericField):
    """An amount in the token's smallest unit (stroops for XLM): the contract's i128 as NUMERIC(39, 0)."""

    digits = 39


class U64Field(_IntegerNumericField):
    """A u64 that anyone may have chosen (durations, claim ids): NUMERIC(20, 0)."""

    digits = 20


class AddressField(models.CharField):  # type: ignore[type-arg]  # generic only in the stubs
    """A G… (account) or C… (contract) strkey: 56 characters."""

    _pyi_private_set_type: str
    _pyi_private_get_type: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 56
        kwargs.setdefault("db_collation", "C")  # compared byte by byte: half the cost of a language's order
        super().__init__(*args, **kwargs)


def in_range(field: str, low: int, high: int) -> models.CheckConstraint:
    """Return a check constraint that `field` is null or lies in [low, high]."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{field}__gte": low, f"{field}__lte": high}), name=f"%(app_label)s_%(class)s_{field}"
    )
