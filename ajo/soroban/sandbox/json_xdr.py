"""XDR as JSON (SEP-51), as `xdrFormat: json` shows it."""

from typing import Any


def to_json(value: Any) -> Any:
    """A value of stellar-sdk's XDR classes."""
    return value.to_json_dict()
