"""How the chain's values look in JSON: u64 and i128 as strings, u32 as numbers, times in RFC 3339, strkeys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from stellar_sdk import MuxedAccount, StrKey

U64_SCHEMA: Final = {"type": "string", "pattern": "^[0-9]+$", "example": "604800"}
I128_SCHEMA: Final = {"type": "string", "pattern": "^-?[0-9]+$", "example": "10000000"}


class _ExactField(serializers.Field):  # type: ignore[type-arg]  # generic only in the stubs
    """A whole number that JSON's numbers would round: a string of digits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: int) -> str:
        return str(int(value))


@extend_schema_field(U64_SCHEMA)
class U64StringField(_ExactField):
    """A u64: ids, durations in seconds."""


@extend_schema_field(I128_SCHEMA)
class AmountField(_ExactField):
    """An i128: the token's smallest unit. Products of amounts may exceed it; they are exact too."""


def U32Field(**kwargs: Any) -> serializers.IntegerField:
    """A u32: rounds, positions, ledgers, counts."""
    return serializers.IntegerField(read_only=True, min_value=0, **kwargs)


def TimeField(**kwargs: Any) -> serializers.DateTimeField:
    """RFC 3339 in UTC with `Z`; microseconds only where there are any. Null where no calendar holds the time."""
    return serializers.DateTimeField(read_only=True, **kwargs)


def AddressField(**kwargs: Any) -> serializers.CharField:
    """A G… (account) or C… (contract) strkey."""
    return serializers.CharField(read_only=True, min_length=56, max_length=56, **kwargs)


def add_seconds(moment: datetime | None, seconds: int | None) -> datetime | None:
    """`moment` plus a duration that anyone may have chosen; None where no calendar holds the sum."""
    if moment is None or seconds is None:
        return None
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return None


def check_address(text: str) -> str:
    """The address itself if it is a G… or C… strkey, else ValidationError; that of an M… address names its G…."""
    if StrKey.is_valid_ed25519_public_key(text) or StrKey.is_valid_contract(text):
        return text
    if StrKey.is_valid_med25519_public_key(text):
        account = MuxedAccount.from_account(text).account_id
        raise ValidationError(f"A muxed address (M…) is no member of a group. Its account is {account}.")
    raise ValidationError("Not a Stellar address: a G… or C… strkey of 56 characters is expected.")
