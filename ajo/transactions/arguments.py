"""A function's arguments by name, from JSON to the contract's values, checked for all that needs no state.

The ranges are the contract's own (docs/chain.md §1.3): what it would refuse whatever the chain says is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.exceptions import ValidationError

from ajo.api.params import parse_address
from ajo.soroban.contract.functions import WRITES
from ajo.soroban.fields import U32_MAX

MAX_EXACT_NUMBER: Final = 2**53  # what JSON numbers hold exactly in every client
U64_MAX: Final = 2**64 - 1
I128_MIN, I128_MAX = -(2**127), 2**127 - 1

_DIGITS: Final = re.compile(r"-?(0|[1-9][0-9]{0,39})", re.ASCII)
_WASM_HASH: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)

Parse = Callable[[Any], Any]


def parse_args(function: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a function that writes as encode_args takes them, in the contract's order.

    Raises a 400 for `args` that says by name what is missing, unknown or impossible; KeyError for a function that is
    none of WRITES.
    """
    expected = WRITES[function].args
    errors = {name[:100]: [f"{function} has no such argument."] for name in given if name not in expected}
    values = {}
    for name, codec in expected.items():
        if name not in given:
            errors[name] = ["Is missing."]
            continue
        try:
            values[name] = _PARSERS.get((function, name), _TYPES[codec.name])(given[name])
        except DjangoValidationError as failure:
            errors[name] = [str(failure.message)]
    if errors:
        raise ValidationError({"args": errors})
    return values


def group_of(function: str, args: Mapping[str, Any]) -> int | None:
    """Return the group that a call is about; None for a new one's and for calls that name none."""
    group_id: int | None = args.get("group_id")
    return group_id


def _whole(low: int, high: int, *, as_string: bool = True) -> Parse:
    """Return a parser of whole numbers from `low` to `high`: a JSON number, or its digits in a string.

    `as_string` says that clients should write digits, as JSON's numbers are exact within 2^53 only.
    """

    def parse(value: Any) -> int:
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) > MAX_EXACT_NUMBER:
                raise DjangoValidationError("A number beyond 2^53 has to be a string of digits.")
            number = value
        elif isinstance(value, str) and as_string and _DIGITS.fullmatch(value):
            number = int(value)
        if number is None or not low <= number <= high:
            form = ", as a string of digits" if as_string else ""
            raise DjangoValidationError(f"A whole number from {low} to {high} is expected{form}.")
        return number

    return parse


def _text(max_bytes: int) -> Parse:
    """Return a parser of texts that are at most so long in UTF-8."""

    def parse(value: Any) -> bytes:
        if not isinstance(value, str):
            raise DjangoValidationError("A string is expected.")
        try:
            raw = value.encode()
        except UnicodeEncodeError:
            raise DjangoValidationError("Holds half of a surrogate pair: it cannot be written in UTF-8.") from None
        if len(raw) > max_bytes:
            raise DjangoValidationError(f"Is {len(raw)} bytes long in UTF-8; {max_bytes} is the most.")
        return raw

    return parse


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise DjangoValidationError("true or false is expected.")
    return value


def _address(value: Any) -> str:
    if not isinstance(value, str):
        raise DjangoValidationError("A Stellar address is expected: a G… or C… strkey, in a string.")
    return parse_address(value)


def _contract(value: Any) -> str:
    address = _address(value)
    if not address.startswith("C"):
        raise DjangoValidationError("A token is a contract: a C… address is expected.")
    return address


def _wasm_hash(value: Any) -> bytes:
    if not isinstance(value, str) or not _WASM_HASH.fullmatch(value):
        raise DjangoValidationError("The hash of a contract's code is expected: 64 hexadecimal digits.")
    return bytes.fromhex(value)


_TYPES: Final[dict[str, Parse]] = {
    "address": _address,
    "bool": _flag,
    "bytes": _wasm_hash,
    "i128": _whole(I128_MIN, I128_MAX),
    "string": _text(U32_MAX),
    "u32": _whole(0, U32_MAX, as_string=False),
    "u64": _whole(0, U64_MAX),
}
_ID: Final = _whole(1, U64_MAX)  # the contract counts groups and claims from 1
# narrower than their types: what the contract refuses in any state
_PARSERS: Final[dict[tuple[str, str], Parse]] = {
    **{(function, name): _ID for function in WRITES for name in ("group_id", "claim_id")},
    ("create_group", "token_address"): _contract,
    ("create_group", "contribution_amount"): _whole(1, I128_MAX),
    ("create_group", "cycle_duration"): _whole(1, U64_MAX),
    ("create_group", "max_members"): _whole(2, 100, as_string=False),
    ("create_group", "grace_period"): _whole(0, 604_800),
    ("create_group", "penalty_rate"): _whole(0, 100, as_string=False),
    ("set_group_metadata", "name"): _text(50),
    ("set_group_metadata", "description"): _text(250),
    ("set_group_metadata", "rules"): _text(1000),
}
