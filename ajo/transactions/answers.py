"""What the answer of sendTransaction means for a transaction (docs/writing.md has the table and its reasons).

Only a first sending can be refused for good. Of any later one no answer says anything final: the transaction may be
queued, applied or banned at that node, and core's refusals tell none of these apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stellar_sdk.xdr import DiagnosticEvent, OperationResultCode, TransactionResult, TransactionResultCode

from ajo.soroban.contract import XDR_FAULTS
from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.errors import ChainError, RpcRejected
from ajo.soroban.rpc.transactions import MAX_ERROR, SendStatus, Sent
from ajo.transactions.codes import SENTENCES, Code

INVALID_PARAMS: Final = -32602  # the one JSON-RPC error that proves that nothing was submitted


class Effect(StrEnum):
    """What an answer says of the transaction's fate."""

    QUEUED = "queued"  # a node has it in its queue: for four ledgers at most
    NOT_QUEUED = "not queued"  # that node did not take it now, and may at the next ledger
    OPEN = "open"  # nothing
    REJECTED = "rejected"  # it was never queued, and no node would take it as it is


@dataclass(frozen=True, slots=True)
class SendMeaning:
    """What a node's answer to a sending means.

    `said`: the node's words, in short. `code` and `detail`: why it was rejected. `ledger`: the node's newest ledger; 0
    where it did not say.
    """

    effect: Effect
    said: str
    ledger: int = 0
    code: Code | None = None
    detail: str = ""


# Refusals that follow from the envelope alone: no ledger heals them.
_BY_FORM: Final[dict[str, Code]] = {
    "txMALFORMED": Code.MALFORMED,
    "txNOT_SUPPORTED": Code.MALFORMED,
    "txMISSING_OPERATION": Code.MALFORMED,
    "txSOROBAN_INVALID": Code.REFUSED,
}
# Refusals that follow from the chain's state: true of a node that has come to the ledger at which the transaction was
# taken. An account that was funded, or a signer that was added, a moment ago is missing on a node that lags.
_BY_STATE: Final[dict[str, Code]] = {
    "txNO_ACCOUNT": Code.NO_ACCOUNT,
    "txBAD_AUTH": Code.BAD_AUTH,
    "txBAD_AUTH_EXTRA": Code.BAD_AUTH,
    "txINSUFFICIENT_BALANCE": Code.INSUFFICIENT_BALANCE,
    "txFROZEN_KEY_ACCESSED": Code.FILTERED,
    "opBAD_AUTH": Code.BAD_AUTH,
    "opNO_ACCOUNT": Code.NO_ACCOUNT,
}
# Refusals that core makes before it looks at the sequence number: the transaction may have used it since its account
# was read, and been applied.
_BEFORE_SEQUENCE: Final = ("txNO_ACCOUNT", "txFROZEN_KEY_ACCESSED")
# All others leave it open. txBAD_SEQ: the node lags behind the account, or the sequence number was used, by this
# transaction perhaps; the account's entry tells. txINSUFFICIENT_FEE: the queue is full now. txTOO_LATE: that node's
# clock says so; the chain's will. txTOO_EARLY, txINTERNAL_ERROR and what is not known: another time.


def send_meaning(answer: Sent | ChainError, *, is_first_send: bool, row: ChainTransaction) -> SendMeaning:
    """Return what an answer of sendTransaction, or its failure, means for the transaction.

    `is_first_send`: no sending before this one can have reached a node.
    """
    if isinstance(answer, ChainError):
        return _failure(answer, is_first_send)
    if answer.hash.lower() != row.hash:
        # the identity is ours: whatever it says is about something else
        return SendMeaning(Effect.OPEN, f"{answer.status} of another hash", answer.latest_ledger)
    if answer.status in (SendStatus.PENDING, SendStatus.DUPLICATE):
        return SendMeaning(Effect.QUEUED, answer.status, answer.latest_ledger)
    if answer.status == SendStatus.TRY_AGAIN_LATER:
        # once it was queued: it has left the queue, applied or aged out
        effect = Effect.NOT_QUEUED if row.queued_ledger is None else Effect.OPEN
        return SendMeaning(effect, answer.status, answer.latest_ledger)
    return _error(answer, is_first_send, row)


def _failure(failure: ChainError, is_first_send: bool) -> SendMeaning:
    """Return what a JSON-RPC error, or no answer at all, means.

    The node's own words are not kept: they may hold a provider's key.
    """
    if isinstance(failure, RpcRejected) and failure.code == INVALID_PARAMS and is_first_send:
        return SendMeaning(Effect.REJECTED, f"{INVALID_PARAMS}", 0, Code.MALFORMED, SENTENCES[Code.MALFORMED])
    said = f"{failure.code}" if isinstance(failure, RpcRejected) else type(failure).__name__
    return SendMeaning(Effect.OPEN, said)


def _error(answer: Sent, is_first_send: bool, row: ChainTransaction) -> SendMeaning:
    name = result_name(answer.error_result_xdr or "")
    words = error_words(answer.diagnostic_events_xdr or ())
    said = f"ERROR {name}{': ' if words else ''}{words}"[:MAX_ERROR]
    code = _BY_FORM.get(name)
    if code is None and answer.latest_ledger >= row.submitted_ledger:
        is_known_unused = row.unused_ledger >= row.submitted_ledger or name not in _BEFORE_SEQUENCE
        code = _BY_STATE.get(name) if is_known_unused else None
    if code is None or not is_first_send:
        return SendMeaning(Effect.OPEN, said, answer.latest_ledger)
    detail = f"{SENTENCES[code]} The network says {name}{': ' if words else '.'}{words}"[:MAX_ERROR]
    return SendMeaning(Effect.REJECTED, said, answer.latest_ledger, code, detail)


def result_name(xdr: str) -> str:
    """Return the code of a base64 TransactionResult: its operation's where that failed, else the transaction's.

    Return "?" for what cannot be read.
    """
    try:
        result = TransactionResult.from_xdr(xdr).result
        if result.code == TransactionResultCode.txFAILED and result.results:
            operation = OperationResultCode(result.results[0].code)
            return operation.name if operation != OperationResultCode.opINNER else result.code.name
        return result.code.name
    except XDR_FAULTS:
        return "?"


def error_words(events: Sequence[str]) -> str:
    """Return the texts of the first `error` diagnostic event (base64): the host's, or core's, own words."""
    for text in events:
        try:
            body = DiagnosticEvent.from_xdr(text).event.body.v0
            name = body.topics[0].sym if body and body.topics else None
            if body is None or name is None or name.sc_symbol != b"error":
                continue
            values = body.data.vec.sc_vec if body.data.vec else [body.data]
            said = [value.str.sc_string.decode("utf-8", "replace") for value in values if value.str is not None]
        except XDR_FAULTS:
            continue
        if said:
            return " ".join(said).replace("\0", "?")
    return ""
