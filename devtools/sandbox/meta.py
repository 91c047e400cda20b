"""The XDR around a transaction that getTransaction shows: envelope, result, meta, events, diagnostics.

The sandbox's own transactions were signed by nobody: their envelopes are empty shells. Result, return value, contract
events and the error of a failed one are where clients look for them (transaction meta of version 4).
"""

import base64
import struct
from typing import Any, Final

from stellar_sdk import StrKey

from ajo.soroban.contract.codec import SYMBOL, b64, encode_address, opaque
from devtools.sandbox.env import Emitted, Failure
from devtools.sandbox.host import Outcome
from devtools.sandbox.ledger.keys import KEY_SIZE

FEE: Final = 100  # stroops
_SYSTEM, _CONTRACT, _DIAGNOSTIC = 0, 1, 2
_SCV_ERROR, _SCV_STRING = 2, 14
_ERROR_OF_CONTRACT, _ERROR_OF_VM, _INVALID_ACTION = 0, 1, 6
_INVOKE_HOST_FUNCTION, _TRAPPED = 24, -2


def _event(kind: int, contract: str, topics: list[bytes], value: bytes) -> bytes:
    """ContractEvent: no extension, contract, type, body of version 0."""
    head = struct.pack(">iI", 0, 1) + encode_address(contract)[-KEY_SIZE:] + struct.pack(">ii", kind, 0)
    return head + struct.pack(">I", len(topics)) + b"".join(topics) + value


def _raw_event(event: Emitted) -> bytes:
    topics = [base64.b64decode(each) for each in event.topics]
    return _event(_SYSTEM if event.system else _CONTRACT, event.contract, topics, base64.b64decode(event.value))


def contract_event(event: Emitted) -> str:
    """Base64 ContractEvent."""
    return b64(_raw_event(event))


def error_event(contract: str, error: Failure) -> bytes:
    """The DiagnosticEvent in which the host names the error and whose it is."""
    if isinstance(error, int):
        scerror = struct.pack(">iiI", _SCV_ERROR, _ERROR_OF_CONTRACT, error)
        words = "escalating Ok(ScErrorType::Contract) frame-exit to Err"
    else:
        scerror = struct.pack(">iii", _SCV_ERROR, _ERROR_OF_VM, _INVALID_ACTION)
        words = "VM call trapped: UnreachableCodeReached"
    value = struct.pack(">i", _SCV_STRING) + opaque(words.encode())
    return struct.pack(">I", 0) + _event(_DIAGNOSTIC, contract, [SYMBOL.encode("error"), scerror], value)


def shell(source: str, outcome: Outcome, contract: str) -> dict[str, Any]:
    """What getTransaction says of a call: envelopeXdr, resultXdr, resultMetaXdr, diagnosticEventsXdr if it failed.

    A contract cannot be a transaction's source: for one, the shell has the zero account.
    """
    key = StrKey.decode_ed25519_public_key(source) if source.startswith("G") else bytes(32)
    envelope = struct.pack(">ii", 2, 0) + key + struct.pack(">Iqiiiii", FEE, 0, 0, 0, 0, 0, 0)
    diagnostics = [] if outcome.error is None else [error_event(contract, outcome.error)]
    details: dict[str, Any] = {
        "envelopeXdr": b64(envelope),
        "resultXdr": b64(_result(outcome)),
        "resultMetaXdr": b64(_meta(outcome, diagnostics)),
    }
    if diagnostics:
        details["diagnosticEventsXdr"] = [b64(each) for each in diagnostics]
    return details


def _result(outcome: Outcome) -> bytes:
    """TransactionResult with the one operation's result."""
    failed = outcome.error is not None
    code = _TRAPPED if failed else 0
    operation = struct.pack(">iii", 0, _INVOKE_HOST_FUNCTION, code) + (b"" if failed else bytes(32))
    return struct.pack(">qiI", FEE, -1 if failed else 0, 1) + operation + struct.pack(">i", 0)


def _meta(outcome: Outcome, diagnostics: list[bytes]) -> bytes:
    """TransactionMeta of version 4, without the ledger changes."""
    events = [] if outcome.error is not None else [_raw_event(event) for event in outcome.events]
    operation = struct.pack(">iII", 0, 0, len(events)) + b"".join(events)
    soroban = struct.pack(">I", 0)
    if outcome.result is not None:
        soroban = struct.pack(">IiI", 1, 0, 1) + base64.b64decode(outcome.result)
    head = struct.pack(">iiII", 4, 0, 0, 1) + operation + struct.pack(">I", 0) + soroban
    return head + struct.pack(">II", 0, len(diagnostics)) + b"".join(diagnostics)
