"""The host's event log, as it stands behind an error's first line: for people, newest first."""

import json
from typing import Any

from stellar_sdk import StrKey
from stellar_sdk.xdr import SCVal

from devtools.sandbox.machine.events import DIAGNOSTIC, Told

_KINDS = {0: "System", 1: "Contract", DIAGNOSTIC: "Diagnostic"}


def event_log(events: list[Told]) -> str:
    lines = [f"   {place}: {_line(each)}" for place, each in enumerate(_row_from_event(events))]
    return "\n".join(("", "Event log (newest first):", *lines, ""))


def _row_from_event(events: list[Told]) -> list[Told]:
    """Without the log lines of contracts' code."""
    return [each for each in reversed(events) if text(each.topics[0]) != "log"]


def _line(event: Told) -> str:
    contract = f"contract:{event.contract}, " if event.contract else ""
    topics = ", ".join(text(each) for each in event.topics)
    return f"[{_KINDS[event.kind]} Event] {contract}topics:[{topics}], data:{text(event.data)}"


def text(raw: bytes) -> str:
    """An SCVal for a person to read."""
    value: Any = SCVal.from_xdr_bytes(raw)
    return _shown(value.to_json_dict())


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value).capitalize()
    ((kind, inside),) = value.items()
    if kind == "vec":
        return f"[{', '.join(_shown(each) for each in inside)}]"
    if kind == "map":
        return "{" + ", ".join(f"{_shown(each['key'])}: {_shown(each['val'])}" for each in inside) + "}"
    if kind == "bytes":
        is_contract = len(inside) == 64
        return StrKey.encode_contract(bytes.fromhex(inside)) if is_contract else f"Bytes({inside})"
    if kind == "string":
        return json.dumps(inside)
    if kind == "error":
        ((name, code),) = inside.items()
        return f"Error({_camel(name)}, {f'#{code}' if isinstance(code, int) else _camel(code)})"
    return str(inside)
