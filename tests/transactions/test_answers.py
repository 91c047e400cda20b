"""What each recorded answer of sendTransaction means, at the first sending and at all others."""

from typing import Any

import pytest

from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.errors import ChainError, RpcLimitExceeded, RpcRejected, RpcUnavailable
from ajo.soroban.rpc.transactions import Sent
from ajo.transactions.answers import Effect, send_meaning
from ajo.transactions.codes import Code
from tests.support.recordings import writing

RECORDED = writing("send")
CASES = [
    each
    for each in RECORDED["exchanges"]
    if each.get("request", {}).get("method") == "sendTransaction"
    and isinstance(each["request"].get("params"), dict)
    and "xdrFormat" not in each["request"]["params"]
]
REJECTED: dict[str, Code] = {
    "ERROR txNO_ACCOUNT": Code.NO_ACCOUNT,
    "ERROR txBAD_AUTH": Code.BAD_AUTH,
    "ERROR txBAD_AUTH_EXTRA": Code.BAD_AUTH,
    "ERROR txINSUFFICIENT_BALANCE": Code.INSUFFICIENT_BALANCE,
    "ERROR txMALFORMED": Code.MALFORMED,
    "ERROR txMISSING_OPERATION": Code.MALFORMED,
    "ERROR txNOT_SUPPORTED": Code.MALFORMED,
    "ERROR txSOROBAN_INVALID with diagnostic events: resource fee": Code.REFUSED,
    "ERROR txSOROBAN_INVALID with diagnostic events: duplicate key": Code.REFUSED,
    "ERROR txSOROBAN_INVALID: a memo on an invocation (its simulation passes)": Code.REFUSED,
    "ERROR txFAILED: an operation is not valid": Code.BAD_AUTH,
    "unsigned": Code.BAD_AUTH,
    "signed for another network: the hash is this network's": Code.BAD_AUTH,
}
QUEUED = ("PENDING", "DUPLICATE")


def answer(each: dict[str, Any]) -> Sent | ChainError:
    """Return what the client makes of a recorded answer."""
    if "result" in each["response"]:
        return Sent.model_validate(each["response"]["result"])
    code, message = each["response"]["error"]["code"], each["response"]["error"]["message"]
    return RpcUnavailable(message) if code == -32603 else RpcRejected(code, message)


def row(**values: Any) -> ChainTransaction:
    return ChainTransaction(**({"hash": "00" * 32, "submitted_ledger": 58_000_075} | values))


def meaning(found: Sent | ChainError, *, is_first_send: bool = True, **values: Any) -> Any:
    named = {"hash": found.hash} if isinstance(found, Sent) else {}
    return send_meaning(found, is_first_send=is_first_send, row=row(**(named | values)))


@pytest.mark.parametrize("each", CASES, ids=[each["case"] for each in CASES])
def test_a_recorded_answer(each: dict[str, Any]) -> None:
    found = answer(each)
    means = meaning(found)
    if isinstance(found, RpcRejected):
        assert (means.effect, means.code) == (Effect.REJECTED, Code.MALFORMED)
    elif isinstance(found, ChainError) or found.status == "ERROR":
        code = REJECTED.get(each["case"])
        assert (means.effect, means.code) == (Effect.REJECTED if code else Effect.OPEN, code)
    else:
        assert means.effect == (Effect.QUEUED if found.status in QUEUED else Effect.NOT_QUEUED)


@pytest.mark.parametrize("each", CASES, ids=[each["case"] for each in CASES])
def test_report_5_of_a_second_sending_no_answer_says_anything_final(each: dict[str, Any]) -> None:
    assert meaning(answer(each), is_first_send=False).effect != Effect.REJECTED
    assert meaning(answer(each), is_first_send=False, queued_ledger=58_000_070).effect != Effect.REJECTED


def test_try_again_later_after_pending_says_that_it_left_the_queue() -> None:
    found = answer(next(each for each in CASES if "TRY_AGAIN_LATER" in each["case"]))
    assert meaning(found).effect == Effect.NOT_QUEUED
    assert meaning(found, queued_ledger=58_000_070).effect == Effect.OPEN


def test_report_12_what_a_node_that_lags_says_of_an_account_is_no_refusal() -> None:
    """It has not seen the account's funding, or its new signer. What the envelope's form says needs no ledger."""
    by_case = {each["case"]: answer(each) for each in CASES}
    for case in ("ERROR txNO_ACCOUNT", "ERROR txBAD_AUTH", "ERROR txINSUFFICIENT_BALANCE"):
        assert meaning(by_case[case], submitted_ledger=58_000_076).effect == Effect.OPEN
    assert meaning(by_case["ERROR txMALFORMED"], submitted_ledger=58_000_076).effect == Effect.REJECTED


def test_a_request_that_nobody_answered_is_open() -> None:
    for failure in (RpcUnavailable("cut off"), RpcLimitExceeded("-32001"), RpcRejected(-32098, "queue")):
        assert meaning(failure).effect == Effect.OPEN


def test_report_15_the_hash_of_an_answer_is_never_taken_for_ours() -> None:
    found = answer(next(each for each in CASES if "PENDING" in each["case"]))
    assert send_meaning(found, is_first_send=True, row=row(hash="ab" * 32)).effect == Effect.OPEN


def test_a_nodes_words_are_not_kept_where_they_may_hold_a_key() -> None:
    assert "secret" not in meaning(RpcRejected(-32098, "https secret")).said
    assert "secret" not in meaning(RpcUnavailable("https secret")).said
