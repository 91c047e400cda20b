"""getTransaction's parameters and answer."""

from typing import TYPE_CHECKING, Any, Final

from stellar_sdk import xdr as sdk

from devtools.sandbox import gojson
from devtools.sandbox.json_xdr import result_json, to_json
from devtools.sandbox.rpc_error import invalid_params
from devtools.sandbox.store import StoredTransaction

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain

HASH_HEX: Final = 64
_FIELDS: Final[dict[str, gojson.Decoder]] = {"hash": gojson.string, "xdrFormat": gojson.string}
_XDR: Final[tuple[tuple[str, Any], ...]] = (
    ("envelope", sdk.TransactionEnvelope),
    ("result", sdk.TransactionResult),
    ("resultMeta", sdk.TransactionMeta),
    ("diagnosticEvents", sdk.DiagnosticEvent),
)


def get_transaction(chain: "Chain", params: Any, *, is_race: bool = False) -> dict[str, Any]:
    """Raises RpcError, GoTypeError.

    `is_race`: the hash was looked up before the newest ledger, the range is read after.
    """
    request = gojson.struct({} if params is None else params, "GetTransactionRequest", _FIELDS)
    form = request.get("xdrFormat", "")
    if form not in ("", "base64", "json"):
        raise invalid_params(f"got '{form}': expected base64, json for optional 'xdrFormat'")
    asked = request.get("hash", "")
    _check_hash(asked)
    told = chain.range()
    found = chain.store.transaction(asked.lower())
    if found is not None and (found.ledger < told.first or (is_race and found.ledger == told.last)):
        found = None
    close = 0 if found is None else chain.store.close_times({found.ledger})[found.ledger]
    answer: dict[str, Any] = {
        "latestLedger": told.last,
        "latestLedgerCloseTime": str(told.last_close),
        "oldestLedger": told.first,
        "oldestLedgerCloseTime": str(told.first_close),
    }
    return {**answer, **_transaction(asked, found, is_json=form == "json"), "createdAt": str(close)}


def _transaction(asked: str, found: StoredTransaction | None, *, is_json: bool) -> dict[str, Any]:
    if found is None:
        empty = {"applicationOrder": 0, "feeBump": False, "events": {}, "ledger": 0}
        return {"status": "NOT_FOUND", "txHash": asked, **empty}
    details = dict(found.details)
    fee_events = details.pop("transactionEventsXdr", None)
    is_bump = details.pop("feeBump", False)
    events: dict[str, Any] = {} if fee_events is None else {"transactionEventsXdr": fee_events}
    if fee_events is None or found.successful:
        events["contractEventsXdr"] = [list(found.events)]
    if is_json:
        details, events = _details_json(details), _events_json(events)
    return {
        "status": "SUCCESS" if found.successful else "FAILED",
        "txHash": asked,
        "applicationOrder": found.position,
        "feeBump": is_bump,
        **details,
        "events": events,
        "ledger": found.ledger,
    }


def _details_json(details: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in _XDR:
        value = details.get(f"{name}Xdr")
        if isinstance(value, list):
            found[f"{name}Json"] = [to_json(kind.from_xdr(each)) for each in value]
        elif value is not None:
            shown = result_json if name == "result" else to_json
            found[f"{name}Json"] = shown(kind.from_xdr(value))
    return found


def _events_json(events: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "transactionEventsXdr" in events:
        listed = [to_json(sdk.TransactionEvent.from_xdr(each)) for each in events["transactionEventsXdr"]]
        found["transactionEventsJson"] = listed
    if "contractEventsXdr" in events:
        groups = events["contractEventsXdr"]
        found["contractEventsJson"] = [
            [to_json(sdk.ContractEvent.from_xdr(each)) for each in group] for group in groups
        ]
    return found


def _check_hash(text: str) -> None:
    """64 hex digits; the rest as Go's decoder words it. Raises RpcError."""
    raw = text.encode("utf-8", errors="replace")
    if len(raw) // 2 != HASH_HEX // 2:
        raise invalid_params(f"unexpected hash length ({len(raw)})")
    for byte in raw:
        if chr(byte) not in "0123456789abcdefABCDEF":
            shown = f" '{chr(byte)}'" if chr(byte).isprintable() else ""
            raise invalid_params(f"incorrect hash: encoding/hex: invalid byte: U+{byte:04X}{shown}")
    if len(raw) % 2:
        raise invalid_params("incorrect hash: encoding/hex: odd length hex string")
