"""simulateTransaction's parameters and answer."""

from typing import TYPE_CHECKING, Any, Final

from stellar_sdk import xdr as sdk

from ajo.soroban.contract.codec import b64
from devtools.sandbox import gojson
from devtools.sandbox.json_xdr import to_json
from devtools.sandbox.rpc_error import RpcError
from devtools.sandbox.transactions.simulation import NoTransactionData, Refused, Request, Simulation, simulate

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain

_INTERNAL_ISSUE: Final = -32003
_NAME: Final = "SimulateTransactionRequest"


def _boolean(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise gojson.mismatch(value, field, "bool")
    return value


def _resources(value: Any, field: str) -> dict[str, Any]:
    leeway = {"instructionLeeway": gojson.unsigned("uint64", 64)}
    return gojson.struct(value, "ResourceConfig.resourceConfig", leeway)


_FIELDS: Final[dict[str, gojson.Decoder]] = {
    "transaction": gojson.string,
    "resourceConfig": _resources,
    "authMode": gojson.string,
    "xdrFormat": gojson.string,
    "useUpgradedAuth": _boolean,
}


def simulate_transaction(chain: "Chain", params: Any) -> dict[str, Any]:
    """Raises RpcError, GoTypeError."""
    asked = gojson.struct({} if params is None else params, _NAME, _FIELDS)
    form = asked.get("xdrFormat", "")
    if form not in ("", "base64", "json"):
        return _refused(f"got '{form}': expected base64, json for optional 'xdrFormat'", 0)
    leeway = asked.get("resourceConfig", {}).get("instructionLeeway", 0)
    request = Request(
        asked.get("transaction", ""), asked.get("authMode", ""), leeway, asked.get("useUpgradedAuth", False)
    )
    try:
        found = simulate(chain, request)
    except Refused as refused:
        return _refused(str(refused), refused.ledger)
    except NoTransactionData:
        words = "request failed to process due to internal issue"
        raise RpcError(_INTERNAL_ISSUE, f"[{_INTERNAL_ISSUE}] {words}") from None
    return _answer(found, is_json=form == "json")


def _refused(text: str, ledger: int) -> dict[str, Any]:
    return {"error": text, "latestLedger": ledger}


def _answer(found: Simulation, *, is_json: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {}

    def put(name: str, kind: Any, value: Any) -> None:
        """One value or a list of them, in the format that was asked for; nothing for none."""
        if value:
            many = isinstance(value, list)
            shown = [_shown(kind, each, is_json=is_json) for each in (value if many else [value])]
            answer[f"{name}{'Json' if is_json else ''}"] = shown if many else shown[0]

    if found.error:
        answer["error"] = found.error
    put("transactionData", sdk.SorobanTransactionData, found.data)
    put("events", sdk.DiagnosticEvent, found.events)
    if found.fee:
        answer["minResourceFee"] = str(found.fee)
    if found.result:
        answer["results"] = [_result(found, is_json=is_json)]
    if found.restore is not None:
        data, fee = found.restore
        name = "transactionDataJson" if is_json else "transactionData"
        shown = _shown(sdk.SorobanTransactionData, data, is_json=is_json)
        answer["restorePreamble"] = {name: shown, "minResourceFee": str(fee)}
    if found.changes:
        answer["stateChanges"] = [_change(*each, is_json=is_json) for each in found.changes]
    return {**answer, "latestLedger": found.ledger}


def _result(found: Simulation, *, is_json: bool) -> dict[str, Any]:
    auth = [_shown(sdk.SorobanAuthorizationEntry, each, is_json=is_json) for each in found.auth]
    value = _shown(sdk.SCVal, found.result, is_json=is_json)
    return {"authJson": auth, "returnValueJson": value} if is_json else {"auth": auth, "xdr": value}


def _change(key: bytes, before: bytes | None, after: bytes | None, *, is_json: bool) -> dict[str, Any]:
    kind = "created" if before is None else "deleted" if after is None else "updated"
    if is_json:
        # v24 writes both sides into one field; the second stays.
        last = _shown(sdk.LedgerEntry, after or before or b"", is_json=True)
        shown_key = _shown(sdk.LedgerKey, key, is_json=True)
        return {"type": kind, "keyJson": shown_key, "before": None, "beforeJson": last, "after": None}
    sides = {"before": before, "after": after}
    return {"type": kind, "key": b64(key), **{name: raw if raw is None else b64(raw) for name, raw in sides.items()}}


def _shown(kind: Any, raw: bytes, *, is_json: bool) -> Any:
    return to_json(kind.from_xdr_bytes(raw)) if is_json else b64(raw)
