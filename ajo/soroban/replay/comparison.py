"""Recorded JSON against ours: every recorded field must be there and equal, extra ones are allowed."""

from collections.abc import Iterator
from typing import Any, Final

# What the README of the recordings says is not to be compared; the fields must be there all the same.
_ANY_VALUE: Final = {
    "getLatestLedger": {"id"},
    "getFeeStats": {"sorobanInclusionFee", "inclusionFee"},
    "getTransaction": {"envelopeXdr", "resultXdr", "resultMetaXdr"},
    "getLedgerEntries": {"liveUntilLedgerSeq"},
}


def differences(request: Any, ours: Any, recorded: Any) -> Iterator[str]:
    """The differences between two answers to a request or a batch of them."""
    if isinstance(recorded, list) and isinstance(ours, list) and isinstance(request, list):
        methods = {repr(each.get("id")): each.get("method") for each in request if isinstance(each, dict)}
        if len(ours) != len(recorded):
            yield f"{len(ours)} answers, recorded {len(recorded)}"
        for mine, other in zip(ours, recorded, strict=False):
            method = methods.get(repr(other.get("id"))) if isinstance(other, dict) else None
            yield from _compare(mine, other, "", _ANY_VALUE.get(str(method), set()))
        return
    method = request.get("method") if isinstance(request, dict) else None
    yield from _compare(ours, recorded, "", _ANY_VALUE.get(str(method), set()))


def _compare(ours: Any, recorded: Any, path: str, free: set[str]) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for name, value in recorded.items():
            if name == "data" and path.endswith("error"):
                continue
            if name not in ours:
                yield f"{path}.{name} is missing, recorded {_short(value)}"
            elif name in free:
                yield from _same_shape(ours[name], value, f"{path}.{name}")
            else:
                yield from _compare(ours[name], value, f"{path}.{name}", free)
        return
    if isinstance(recorded, list) and isinstance(ours, list):
        if len(ours) != len(recorded):
            yield f"{path} has {len(ours)} items, recorded {len(recorded)}"
        for index, (mine, other) in enumerate(zip(ours, recorded, strict=False)):
            yield from _compare(mine, other, f"{path}[{index}]", free)
        return
    if type(ours) is not type(recorded) or ours != recorded:
        yield f"{path or 'answer'} is {_short(ours)}, recorded {_short(recorded)}"


def _same_shape(ours: Any, recorded: Any, path: str) -> Iterator[str]:
    """The same type, and of an object the same fields."""
    if type(ours) is not type(recorded):
        yield f"{path} is {_short(ours)}, recorded {_short(recorded)}"
    elif isinstance(recorded, dict):
        for name, value in recorded.items():
            if name not in ours:
                yield f"{path}.{name} is missing, recorded {_short(value)}"
            else:
                yield from _same_shape(ours[name], value, f"{path}.{name}")


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
