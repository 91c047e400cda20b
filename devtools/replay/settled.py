"""Answers about transactions as values: XDR decoded, and set aside what the recordings call volatile.

Set aside are nonces with the order around them, instructions and bytes, fees with what follows from them (what payers
have left), the figures of `core_metrics`, the wording of the host's errors.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from stellar_sdk import xdr as sdk

from ajo.soroban.contract import XDR_FAULTS

ASIDE: Final = "(set aside)"
# What cannot be had, beside what the recordings themselves call volatile, and why.
EXCEPTIONS: Final = (
    (
        "ext and last_modified_ledger_seq of contract code",
        "the recordings give no entries of code, only the words <the contract's Wasm>",
    ),
    (
        "what balance returns within a fee bump",
        "the recorder took the fee from the inner source, a network takes it from the fee source",
    ),
)
_RESOURCES: Final = ("instructions", "disk_read_bytes", "write_bytes", "resource_fee")
_FEES: Final = (
    "fee_charged",
    "total_non_refundable_resource_fee_charged",
    "total_refundable_resource_fee_charged",
    "rent_fee_charged",
)
_KINDS: Final[dict[str, Any]] = {
    "transactionData": sdk.SorobanTransactionData,
    "auth": sdk.SorobanAuthorizationEntry,
    "xdr": sdk.SCVal,
    "key": sdk.LedgerKey,
    "before": sdk.LedgerEntry,
    "after": sdk.LedgerEntry,
    "events": sdk.DiagnosticEvent,
    "diagnosticEventsXdr": sdk.DiagnosticEvent,
    "envelopeXdr": sdk.TransactionEnvelope,
    "resultXdr": sdk.TransactionResult,
    "errorResultXdr": sdk.TransactionResult,
    "resultMetaXdr": sdk.TransactionMeta,
    "transactionEventsXdr": sdk.TransactionEvent,
    "contractEventsXdr": sdk.ContractEvent,
}


def settled(method: str, answer: Any) -> Any:
    """An answer to a method, ready to be compared."""
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, dict) or method not in _SETTLERS:
        return answer
    return {**answer, "result": _SETTLERS[method](result)}


def _simulation(result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _decoded(name, value) for name, value in result.items()}
    found = _aside(found, (*_RESOURCES, "minResourceFee", "nonce"))
    found = _without_code(found)
    for name in ("transactionData", "transactionDataJson"):
        if name in found:
            _sort_keys(found[name])
    for change in (found.get("stateChanges"), found.get("stateChangesJson")):
        if change:
            change.sort(key=lambda each: json.dumps(each.get("key", each.get("keyJson")), sort_keys=True))
    if "error" in found:
        found["error"] = _first_line(str(result["error"]))
        for name in ("events", "eventsJson"):
            if name in found:
                found[name] = [_wordless(each) for each in found[name] if _topic(each) != "log"]
    return found


def _first_line(text: str) -> str:
    """A refusal that shows a key in Rust's own form is compared up to there."""
    return re.split(
        r"[`:] ?(?:Account|ContractData|ContractCode|\{)|key (?:Account|ContractData|ContractCode|\{)",
        text.split("\n", 1)[0],
    )[0].rstrip("`: ")


def _transaction(result: dict[str, Any]) -> dict[str, Any]:
    found = {name: _decoded(name, value) for name, value in result.items() if name != "events"}
    told = result.get("events")
    if isinstance(told, dict):
        found["events"] = {name: _decoded(name, value) for name, value in told.items()}
    told = {name: value for name, value in found.items() if not name.startswith("envelope")}
    found |= _without_figures(_without_code(_aside(told, (*_FEES, "balance"))))
    return _without_balances(found) if found.get("feeBump") else found


_SETTLERS: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "simulateTransaction": _simulation,
    "getTransaction": _transaction,
    "sendTransaction": lambda result: {name: _decoded(name, value) for name, value in result.items()},
    "getEvents": lambda result: _without_figures(_events(result)),
}


def _events(result: dict[str, Any]) -> dict[str, Any]:
    shown = []
    for each in result.get("events", ()):
        topics = [_xdr(sdk.SCVal, topic) for topic in each.get("topic", ())]
        shown.append({**each, "topic": topics, "value": _xdr(sdk.SCVal, each["value"])})
    return {**result, "events": shown}


def _decoded(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(name, each) for each in value]
    if isinstance(value, dict):
        return {inner: _decoded(inner, each) for inner, each in value.items()}
    return _xdr(_KINDS[name], value) if name in _KINDS and isinstance(value, str) else value


def _xdr(kind: Any, text: str) -> Any:
    try:
        return kind.from_xdr(text).to_json_dict()
    except XDR_FAULTS:
        return text


def _aside(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {
            name: ASIDE if name in names and not isinstance(each, (dict, list)) else _aside(each, names)
            for name, each in value.items()
        }
    return [_aside(each, names) for each in value] if isinstance(value, list) else value


def _without_code(value: Any) -> Any:
    """Entries of contract code without what the recordings do not have of them."""
    if isinstance(value, list):
        return [_without_code(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _without_code(each) for name, each in value.items()}
    code = found.get("data", {}).get("contract_code") if isinstance(found.get("data"), dict) else None
    if code is not None:
        found["last_modified_ledger_seq"] = ASIDE
        code["ext"] = ASIDE
    return found


def _without_balances(value: Any) -> Any:
    """Diagnostics without what the token's `balance` returned."""
    if isinstance(value, list):
        return [_without_balances(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _without_balances(each) for name, each in value.items()}
    if found.get("topics") == [{"symbol": "fn_return"}, {"symbol": "balance"}]:
        found["data"] = ASIDE
    return found


def _sort_keys(data: Any) -> None:
    footprint = data["resources"]["footprint"]
    for name in ("read_only", "read_write"):
        footprint[name].sort(key=lambda each: json.dumps(each, sort_keys=True))


def _topic(event: Any) -> str:
    topics = event["event"]["body"]["v0"]["topics"]
    return str(topics[0].get("symbol", "")) if topics and isinstance(topics[0], dict) else ""


def _wordless(event: Any) -> Any:
    if _topic(event) == "error":
        event["event"]["body"]["v0"]["data"] = ASIDE
    return event


def _without_figures(value: Any) -> Any:
    """`core_metrics` without their numbers, fee events without their amounts, errors without the host's counts."""
    if isinstance(value, list):
        return [_without_figures(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _without_figures(each) for name, each in value.items()}
    topics = found.get("topics", found.get("topic"))
    first = topics[0] if isinstance(topics, list) and topics and isinstance(topics[0], dict) else {}
    if first.get("symbol") in ("core_metrics", "fee", "error"):
        for name in ("data", "value"):
            if name in found:
                found[name] = ASIDE
    return found
