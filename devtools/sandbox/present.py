"""Optional parts of XDR that cannot be missing where they are asked for."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """The value. Raises ValueError where there is none: something was read as what it is not."""
    if value is None:
        raise ValueError("a part of an XDR value is missing")
    return value
