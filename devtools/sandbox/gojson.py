"""JSON as Go's encoding/json reads it into structs, and writes it: what stellar-rpc does with parameters and answers.

Field names match without regard to case, unknown fields are ignored, null leaves a field as it was, and a wrong type
is an error whose words are Go's.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
# What json.Marshal escapes beside JSON's own: for the sake of HTML and of JavaScript.
_ESCAPES: Final = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}

Decoder = Callable[[Any, str], Any]


class Number(float):
    """A number that is not a plain integer, with its text."""

    text: str

    def __new__(cls, text: str) -> "Number":
        number = super().__new__(cls, text)
        number.text = text
        return number


class GoTypeError(Exception):
    """The value does not fit the struct; the message is the Go decoder's."""


def loads(body: bytes) -> Any:
    """Parse JSON; invalid UTF-8 is replaced, as Go does. Raises ValueError for anything that is not JSON."""
    try:
        return json.loads(body.decode("utf-8", errors="replace"), parse_float=Number, parse_constant=_constant)
    except RecursionError as error:
        raise ValueError("exceeded max depth") from error


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def dumps(value: Any) -> str:
    """Compact JSON, escaped as json.Marshal does; lone surrogates become U+FFFD."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text).translate(_ESCAPES)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "number"


def mismatch(value: Any, field: str, kind: str) -> GoTypeError:
    shown = f"number {value}" if _kind(value) == "number" and "int" in kind else _kind(value)
    place = f"Go struct field {field}" if "." in field else "Go value"
    return GoTypeError(f"json: cannot unmarshal {shown} into {place} of type {kind}")


def string(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise mismatch(value, field, "string")
    return value


def unsigned(kind: str, bits: int) -> Decoder:
    def decode(value: Any, field: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise mismatch(value, field, kind)
        return value

    return decode


def array(item: Decoder, kind: str, empty: Any) -> Decoder:
    """A list; null elements are the item's zero value."""

    def decode(value: Any, field: str) -> list[Any]:
        if not isinstance(value, list):
            raise mismatch(value, field, kind)
        return [empty() if each is None else item(each, field) for each in value]

    return decode


def struct(value: Any, name: str, fields: dict[str, Decoder]) -> dict[str, Any]:
    """The fields that are present and not null, decoded, by their proper names."""
    if not isinstance(value, dict):
        raise mismatch(value, name, f"protocol.{name}")
    proper = {each.casefold(): each for each in fields}
    found: dict[str, Any] = {}
    for key, each in value.items():
        field = key if key in fields else proper.get(key.casefold())
        if field is not None and each is not None:
            found[field] = fields[field](each, f"{name}.{field}")
    return found
