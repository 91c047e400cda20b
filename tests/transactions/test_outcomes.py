"""Every transaction that was recorded from the real RPC with the real host gives the right outcome."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings
from stellar_sdk import scval

from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.soroban.rpc.transactions import TransactionAnswer
from ajo.transactions.codes import Code
from ajo.transactions.outcomes import Outcome, read_outcome
from groups.models import Token
from tests.support.recordings import writing

pytestmark = pytest.mark.django_db
Status = ChainTransaction.Status
BUDGET = "build it again"
# the cases of the failed ones: code, and the contract's number or a part of the detail
FAILURES: dict[str, tuple[Code, Any]] = {
    "FAILED: contribute a second time in the same ledger (Ajo 5)": (Code.CONTRACT_ERROR, ("Ajo", 5)),
    "FAILED: create_group, second of two simulated on the same state: its key is outside the footprint": (
        Code.STALE,
        "outside of the footprint",
    ),
    "FAILED: join, the last seat taken in the same ledger (Ajo 2)": (Code.CONTRACT_ERROR, ("Ajo", 2)),
    "FAILED: contribute by an account that may not spend its reserve (the token's 10)": (
        Code.CONTRACT_ERROR,
        ("token", 10),
    ),
    "FAILED: too few instructions": (Code.STALE, BUDGET),
    "FAILED: too few bytes to write": (Code.STALE, BUDGET),
    "FAILED: an authorization entry that has expired": (Code.AUTH_EXPIRED, "signature has expired"),
    "FAILED: an authorization entry that nobody signed": (Code.BAD_AUTH, "failed account authentication"),
    "FAILED: execute_payout, simulated by a clock that runs ahead of the ledgers (Ajo 16)": (
        Code.CONTRACT_ERROR,
        ("Ajo", 16),
    ),
    "FAILED: execute_payout a second time in the same ledger: outside the footprint, no contract error": (
        Code.STALE,
        "outside of the footprint",
    ),
    "FAILED: a contract's entry signed, no second simulation: its own check was not counted": (Code.STALE, BUDGET),
    "FAILED: prepared while the entries were live, applied after they were archived": (Code.STALE, "ENTRY_ARCHIVED"),
    "FAILED: cancel when 47 have paid: more than 16,384 bytes of events": (Code.LIMITS_EXCEEDED, "events size"),
}


def answers() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield the file, its exchange and its step of every transaction that was found."""
    for name in ("results", "archived", "limit", "walk", "send"):
        document = writing(name)
        steps: dict[str, dict[str, Any]] = {}
        for each in document["exchanges"]:
            for ledger in each.get("ledgers", ()):
                steps |= {told["hash"]: document["steps"][told["step"]] for told in ledger.get("transactions", ())}
            found = (each.get("response") or {}).get("result") or {}
            if each.get("request", {}).get("method") == "getTransaction" and "resultXdr" in found:
                yield (
                    name,
                    {**each, "contract": document["contract"], "passphrase": document["network_passphrase"]},
                    (steps.get(found["txHash"].lower()) or {}),
                )


FOUND = list(answers())


def outcome(settings: Settings, exchange: dict[str, Any], function: str, **changed: Any) -> Outcome:
    settings.AJO_CONTRACT_ID, settings.STELLAR_NETWORK_PASSPHRASE = exchange["contract"], exchange["passphrase"]
    answer = TransactionAnswer.model_validate(exchange["response"]["result"] | changed)
    return read_outcome(answer, exchange["request"]["params"]["hash"].lower(), function)


@pytest.mark.parametrize(("name", "exchange", "step"), FOUND, ids=[f"{n}: {e['case']}" for n, e, _ in FOUND])
def test_a_recorded_transaction(settings: Settings, name: str, exchange: dict[str, Any], step: dict[str, Any]) -> None:
    found, told = outcome(settings, exchange, step.get("fn", "")), exchange["response"]["result"]
    assert found.ledger == told["ledger"]
    assert found.closed_at is not None
    assert found.closed_at.timestamp() == int(told["createdAt"])
    assert found.status == (Status.SUCCESS if told["status"] == "SUCCESS" else Status.FAILED)
    if step:
        assert str(found.fee_charged) == str(step["fee_charged"])
    if found.status == Status.SUCCESS:
        assert found.code is None
        assert found.contract_error is None
        number = step.get("fn") in ("create_group", "file_insurance_claim")
        assert found.result == (str(scval.from_uint64(step["result"])) if number else None)
        return
    code, more = FAILURES[exchange["case"]]
    assert found.code == code
    if code == Code.CONTRACT_ERROR:
        whose, number = more
        assert found.contract_error is not None
        assert found.contract_error["code"] == number == step["error"]
        assert (found.contract_error["contract"] == exchange["contract"]) == (whose == "Ajo")
        assert (found.contract_error["name"] is not None) == (whose == "Ajo")
    else:
        assert found.contract_error is None
        assert more in found.detail


def case(name: str) -> dict[str, Any]:
    (found,) = [exchange for _, exchange, _ in FOUND if exchange["case"] == name]
    return found


def test_every_recorded_failure_is_told() -> None:
    failed = {exchange["case"] for _, exchange, _ in FOUND if exchange["response"]["result"]["status"] == "FAILED"}
    assert failed == FAILURES.keys()


def test_report_32_a_success_whose_meta_nobody_can_decode_is_a_success(settings: Settings) -> None:
    made = case("SUCCESS: create_group")
    found = outcome(settings, made, "create_group", resultMetaXdr="AAAACQ==", diagnosticEventsXdr=None)
    assert (found.status, found.result, found.code) == (Status.SUCCESS, None, None)
    # the diagnostics tell the result where the meta does not
    assert outcome(settings, made, "create_group", resultMetaXdr="AAAACQ==").result == "1"


def test_a_failure_without_diagnostics_keeps_to_its_result(settings: Settings) -> None:
    """Operators may have a core that emits none."""
    for name, code in (
        ("FAILED: contribute a second time in the same ledger (Ajo 5)", Code.FAILED),
        ("FAILED: too few instructions", Code.LIMITS_EXCEEDED),
    ):
        found = outcome(settings, case(name), "contribute", diagnosticEventsXdr=None)
        assert (found.status, found.code, found.contract_error) == (Status.FAILED, code, None)


def test_report_33_a_tokens_number_has_no_name_of_ours(settings: Settings) -> None:
    exchange = case("FAILED: contribute by an account that may not spend its reserve (the token's 10)")
    error = outcome(settings, exchange, "contribute").contract_error
    assert error is not None
    assert (error["code"], error["name"]) == (10, None)
    assert error["contract"] not in (None, exchange["contract"])


def test_another_tokens_number_is_not_read_as_an_assets(settings: Settings) -> None:
    """Breaks where only simulations ask whose numbers a token has: 10 is an asset's balance, and here its own."""
    exchange = case("FAILED: contribute by an account that may not spend its reserve (the token's 10)")
    told = outcome(settings, exchange, "contribute")
    assert told.contract_error is not None
    assert "balance" in told.detail
    Token.objects.create(address=told.contract_error["contract"], symbol="X", decimals=7, read_ledger=5)
    assert outcome(settings, exchange, "contribute").detail.endswith("refused with its error 10.")


def test_report_36_a_fee_bump_made_by_others_is_found_by_the_inner_hash(settings: Settings) -> None:
    found = outcome(settings, case("SUCCESS: fee bump, by the inner hash"), "contribute")
    assert found.status == Status.SUCCESS


def test_the_answer_of_another_transaction_is_none(settings: Settings) -> None:
    """Breaks without the envelope's hash: a node that mixes up its rows would end ours."""
    other = case("SUCCESS: pause")["response"]["result"]["envelopeXdr"]
    for envelope in (other, None, "AAAA"):
        with pytest.raises(RpcInvalidAnswer):
            outcome(settings, case("SUCCESS: create_group"), "create_group", envelopeXdr=envelope)
