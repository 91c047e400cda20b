"""sendTransaction: what the server makes of the core node's answer, in the order of stellar-rpc v24."""

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from stellar_sdk.xdr import DiagnosticEvent, TransactionResult
from xdrlib3 import Unpacker

from ajo.soroban.contract import XDR_FAULTS
from ajo.soroban.contract.codec import b64
from devtools.sandbox import gojson
from devtools.sandbox.json_xdr import result_json, to_json
from devtools.sandbox.rpc_error import INTERNAL_ERROR, RpcError, invalid_params
from devtools.sandbox.transactions.core import Core
from devtools.sandbox.transactions.envelope import BadEnvelope, parse

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain

_FIELDS: Final[dict[str, gojson.Decoder]] = {"transaction": gojson.string, "xdrFormat": gojson.string}
_KNOWN: Final = ("PENDING", "DUPLICATE", "TRY_AGAIN_LATER", "ERROR")


def send_transaction(chain: "Chain", core: Core, params: Any) -> dict[str, Any]:
    """Raises RpcError, GoTypeError."""
    asked = gojson.struct({} if params is None else params, "SendTransactionRequest", _FIELDS)
    form = asked.get("xdrFormat", "")
    if form not in ("", "base64", "json"):
        raise invalid_params(f"got '{form}': expected base64, json for optional 'xdrFormat'")
    try:
        envelope = parse(asked.get("transaction", ""), chain.network_id)
    except BadEnvelope:
        raise invalid_params("invalid_xdr") from None
    span = chain.range()
    found = _core_answer(core, envelope)
    answer: dict[str, Any] = {}
    if found["status"] == "ERROR":
        answer = _error_json(found) if form == "json" else _error(found)
    return {
        **answer,
        "status": found["status"],
        "hash": envelope.key,
        "latestLedger": span.last,
        "latestLedgerCloseTime": str(span.last_close),
    }


def _core_answer(core: Core, envelope: Any) -> dict[str, Any]:
    answer = core.submit(envelope)
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if answer.status != 200 or not isinstance(found, dict):
        raise RpcError(INTERNAL_ERROR, "could not submit transaction to stellar-core")
    if "exception" in found:
        raise RpcError(INTERNAL_ERROR, "received exception from stellar-core")
    if found.get("status") not in _KNOWN:
        raise RpcError(INTERNAL_ERROR, "invalid status from stellar-core")
    return found


def _error(found: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"errorResultXdr": found["error"]} if found.get("error") else {}
    if not found.get("diagnostic_events"):
        return answer
    try:
        events = _events(found["diagnostic_events"])
    except XDR_FAULTS:
        raise RpcError(INTERNAL_ERROR, "could not decode diagnostic events") from None
    if events:
        answer["diagnosticEventsXdr"] = [b64(each.to_xdr_bytes()) for each in events]
    return answer


def _error_json(found: dict[str, Any]) -> dict[str, Any]:
    """The server fails on an error that has no events: it decodes them all the same."""
    result = TransactionResult.from_xdr(found["error"])
    if not found.get("diagnostic_events"):
        words = "couldn't decode events: xdr:DecodeUint: EOF while decoding 4 bytes - read: '[]'"
        raise RpcError(INTERNAL_ERROR, words)
    events = [to_json(each) for each in _events(found["diagnostic_events"])]
    return {"errorResultJson": result_json(result), "diagnosticEventsJson": events}


def _events(text: str) -> list[DiagnosticEvent]:
    """A counted list of events in XDR."""
    unpacker = Unpacker(base64.b64decode(text))
    found = [DiagnosticEvent.unpack(unpacker) for _ in range(unpacker.unpack_uint())]
    unpacker.done()
    return found
