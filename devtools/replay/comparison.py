"""Comparison of JSON with recordings: every recorded field must be present and equal, extra ones are allowed."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final

from devtools.replay.document import MISSING, unequal

# Fields whose values the recordings' README excludes from the comparison; they must be present all the same.
_ANY_VALUE: Final = {
    "getLatestLedger": {"id"},
    "getFeeStats": {"sorobanInclusionFee", "inclusionFee"},
    "getLedgerEntries": {"liveUntilLedgerSeq"},
}


def differences(request: Any, ours: Any, recorded: Any) -> Iterator[str]:
    """Yield the differences between two answers to a request or a batch of requests."""
    requests = request if isinstance(request, list) else [request]
    methods = {repr(each.get("id")): each.get("method") for each in requests if isinstance(each, dict)}
    if not isinstance(request, list) or not isinstance(ours, list) or not isinstance(recorded, list):
        ours, recorded = [ours], [recorded]
    for mine, other in zip_longest(ours, recorded, fillvalue=MISSING):
        method = methods.get(repr(other.get("id"))) if isinstance(other, dict) else None
        yield from _compare(mine, other, "", _ANY_VALUE.get(str(method), set()))


def _compare(ours: Any, recorded: Any, path: str, free: set[str] | None) -> Iterator[str]:
    """Yield the differences. `free` names the fields of which only the shape is compared; None inside one."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for name, value in recorded.items():
            if name == "data" and path.endswith("error"):
                continue
            inner = None if free is None or name in free else free
            yield from _compare(ours.get(name, MISSING), value, f"{path}.{name}", inner)
    elif isinstance(recorded, list) and isinstance(ours, list) and free is not None:
        for index, (mine, other) in enumerate(zip_longest(ours, recorded, fillvalue=MISSING)):
            yield from _compare(mine, other, f"{path}[{index}]", free)
    elif free is not None or type(ours) is not type(recorded):
        yield from unequal(path or "answer", ours, recorded)
