"""What getTransaction's answer says of a transaction that a ledger carried: its status, and why it failed.

The status comes first. Everything else is best effort: what a new protocol writes, or an operator strips, is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from stellar_sdk import FeeBumpTransactionEnvelope, TransactionEnvelope
from stellar_sdk.xdr import (
    DiagnosticEvent,
    InvokeHostFunctionResultCode,
    OperationResultCode,
    TransactionMeta,
    TransactionResult,
    TransactionResultCode,
)

from ajo.soroban.contract import XDR_FAULTS, DecodeError
from ajo.soroban.contract.codec import I128, U64
from ajo.soroban.contract.diagnostics import read_failed_transaction
from ajo.soroban.contract.functions import WRITES, decode_result
from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.soroban.rpc.transactions import TransactionAnswer
from ajo.soroban.times import timestamp_to_datetime
from ajo.transactions import refusals
from ajo.transactions.answers import error_words
from ajo.transactions.codes import SENTENCES, Code

Status = ChainTransaction.Status
UNREADABLE: Final = "?"  # in place of a result's code
SUCCESSES: Final = ("txSUCCESS", "txFEE_BUMP_INNER_SUCCESS")
UNDERCOUNTED: Final = "It needed more than its simulation had counted: build it again."
NETWORK_LIMIT: Final = "network config"  # core's words where a limit is the network's, not the transaction's own


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction in its ledger. `fee_charged` is in stroops; None where it cannot be read.

    `contract_error` is the API's object; `result` what the function returned, u64 and i128 as text. `bump_hash` is the
    hash of the fee bump that carried it, if one did.
    """

    status: ChainTransaction.Status
    ledger: int
    closed_at: datetime | None
    code: Code | None = None
    detail: str = ""
    contract_error: dict[str, Any] | None = None
    result: Any = None
    fee_charged: int | None = None
    bump_hash: str = ""


def read_outcome(answer: TransactionAnswer, tx_hash: str, function: str) -> Outcome:
    """Return what the answer to getTransaction(`tx_hash`), which was found, says.

    `function` is the contract's, or "" where it is not known. Raises RpcInvalidAnswer for another transaction's answer,
    and for one whose status contradicts its result.
    """
    carried_by, own_hash = _hashes(answer.envelope_xdr or "")
    if tx_hash not in (carried_by, own_hash):
        raise RpcInvalidAnswer("getTransaction: the envelope of another transaction")
    bump_hash = "" if tx_hash == carried_by else carried_by
    closed_at = timestamp_to_datetime(int(answer.created_at))
    fee, code = _result(answer.result_xdr or "")
    if code != UNREADABLE and (answer.status == "SUCCESS") != (code in SUCCESSES):
        raise RpcInvalidAnswer(f"getTransaction: {answer.status} with the result {code}")
    if answer.status == "SUCCESS":
        result = _return_value(answer, function)
        return Outcome(Status.SUCCESS, answer.ledger, closed_at, result=result, fee_charged=fee, bump_hash=bump_hash)
    why, detail, contract_error = explain(code, answer.diagnostic_events_xdr or ())
    return Outcome(
        Status.FAILED, answer.ledger, closed_at, why, detail, contract_error, fee_charged=fee, bump_hash=bump_hash
    )


def explain(code: str, events: Sequence[str]) -> tuple[Code, str, dict[str, Any] | None]:
    """Return why an applied transaction failed: its code, a sentence, and the contract's error where one refused.

    `code` is the result's, the host's or the transaction's own; `events` are base64 DiagnosticEvents.
    """
    failure = read_failed_transaction(events)
    told = refusals.explain(failure) if failure else None
    if told and told.contract_error:
        return told.code, told.detail, told.contract_error
    words = error_words(events)
    if NETWORK_LIMIT in words:
        why = Code.LIMITS_EXCEEDED
    elif failure and failure.kind == "Budget":
        why = Code.STALE  # its own limits, which were counted in the simulation
    elif told and told.code != Code.HOST_ERROR:
        why = told.code
    else:
        why = _APPLIED.get(code, Code.HOST_ERROR if told else Code.FAILED)
    sentence = UNDERCOUNTED if failure and failure.kind == "Budget" and why == Code.STALE else SENTENCES[why]
    return why, f"{sentence} The network says {code}{': ' if words else '.'}{words}"[:500], None


# The result's codes, where the diagnostics say nothing: some operators' cores emit none.
_APPLIED: Final[dict[str, Code]] = {
    "ENTRY_ARCHIVED": Code.STALE,
    "RESOURCE_LIMIT_EXCEEDED": Code.LIMITS_EXCEEDED,
    "INSUFFICIENT_REFUNDABLE_FEE": Code.REFUNDABLE_FEE,
    "MALFORMED": Code.MALFORMED,
    "txBAD_AUTH": Code.BAD_AUTH,
    "txBAD_AUTH_EXTRA": Code.BAD_AUTH,
    "opBAD_AUTH": Code.BAD_AUTH,
    "txBAD_SEQ": Code.BAD_SEQUENCE,
    "txINSUFFICIENT_BALANCE": Code.INSUFFICIENT_BALANCE,
    "txNO_ACCOUNT": Code.NO_ACCOUNT,
    "opNO_ACCOUNT": Code.NO_ACCOUNT,
    "txTOO_LATE": Code.TIME_OVER,
    "txFROZEN_KEY_ACCESSED": Code.FILTERED,
}


def _hashes(envelope_xdr: str) -> tuple[str, str]:
    """Return the hash of an envelope, and that of the transaction inside, its own if it is no fee bump.

    Both are empty for what cannot be read.
    """
    passphrase = settings.STELLAR_NETWORK_PASSPHRASE
    try:
        if FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(envelope_xdr):
            outer = FeeBumpTransactionEnvelope.from_xdr(envelope_xdr, passphrase)
            return outer.hash_hex(), outer.transaction.inner_transaction_envelope.hash_hex()
        tx_hash = TransactionEnvelope.from_xdr(envelope_xdr, passphrase).hash_hex()
    except XDR_FAULTS:
        return "", ""
    return tx_hash, tx_hash


def _result(xdr: str) -> tuple[int | None, str]:
    """Return the fee charged, and the innermost code of a base64 TransactionResult.

    None and UNREADABLE where it is none.

    A fee bump's fee is what both cost together; its inner transaction says why it failed.
    """
    try:
        outer = TransactionResult.from_xdr(xdr)
        fee, result = int(outer.fee_charged.int64), outer.result
        code, operations = result.code, result.results
        if result.inner_result_pair is not None:
            inner = result.inner_result_pair.result.result
            code, operations = inner.code, inner.results
    except XDR_FAULTS:
        return None, UNREADABLE
    if code != TransactionResultCode.txFAILED or not operations:
        return fee, code.name
    operation = operations[0]
    host = operation.tr.invoke_host_function_result if operation.tr else None
    if operation.code != OperationResultCode.opINNER or host is None:
        return fee, operation.code.name
    return fee, InvokeHostFunctionResultCode(host.code).name.removeprefix("INVOKE_HOST_FUNCTION_")


def _return_value(answer: TransactionAnswer, function: str) -> Any:
    if function not in WRITES:
        return None
    for found in (_meta_value(answer.result_meta_xdr or ""), _told_value(answer.diagnostic_events_xdr or ())):
        try:
            if found:
                return json_result(function, found)
        except DecodeError:
            continue
    return None


def json_result(function: str, xdr: str) -> Any:
    """Return a function's result (base64 SCVal) as JSON: u64 and i128 as text. Raises DecodeError."""
    value = decode_result(function, xdr)
    return str(value) if WRITES[function].result in (U64, I128) else value


def _meta_value(xdr: str) -> str | None:
    """Return the call's result from a base64 TransactionMeta of version 3 or 4; None for what cannot be read."""
    try:
        meta = TransactionMeta.from_xdr(xdr)
        soroban = (meta.v4 and meta.v4.soroban_meta) or (meta.v3 and meta.v3.soroban_meta)
        value = soroban.return_value if soroban else None
        return value.to_xdr() if value is not None else None
    except XDR_FAULTS:
        return None


def _told_value(events: Sequence[str]) -> str | None:
    """Return the call's result from the last `fn_return` diagnostic event: the outermost call returns last."""
    for text in reversed(events):
        try:
            body = DiagnosticEvent.from_xdr(text).event.body.v0
            name = body.topics[0].sym if body and body.topics else None
            if body and name and name.sc_symbol == b"fn_return":
                return body.data.to_xdr()
        except XDR_FAULTS:
            continue
    return None
