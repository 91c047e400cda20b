"""Whose refusal each recorded simulation met, as the real RPC server and the real host told it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from ajo.soroban.contract.contract_errors import ContractError
from ajo.soroban.contract.diagnostics import HostFailure, read_error_line
from ajo.transactions.codes import Code
from ajo.transactions.refusals import AJO_SENTENCES, Explanation, explain
from tests.support.factories import contract, make_token
from tests.support.recordings import writing

pytestmark = pytest.mark.django_db

# the case's beginning, in the recordings -> code: what is neither a contract's number nor a trap
HOST = {
    "pause: authMode enforce": Code.BAD_AUTH,
    "contribute: authMode enforce": Code.BAD_AUTH,
    "join: entries signed": Code.BAD_AUTH,
    "create: entries signed": Code.BAD_AUTH,
    "contribute: entries signed": Code.BAD_AUTH,
    "contribute: entries of an account unsigned": Code.BAD_AUTH,
    "contribute: entries of a contract unsigned": Code.BAD_AUTH,
    "contribute: source-account credentials": Code.BAD_AUTH,
    "contribute: enforce without entries": Code.BAD_AUTH,
    "router:": Code.BAD_AUTH,
    "the contract's instance and code are archived: enforce": Code.BAD_AUTH,
    "contribute: entries of an account expired": Code.AUTH_EXPIRED,
    "contribute: entries of a contract expired": Code.AUTH_EXPIRED,
    "contribute: entries of an account that live too long": Code.AUTH_EXPIRED,
    "contribute: entries of a contract that live too long": Code.AUTH_EXPIRED,
    "contribute: entries already used": Code.AUTH_USED,
}
ASSET_CODES = {6: Code.NO_ACCOUNT, 13: Code.NO_TRUSTLINE}


def refused() -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Yield Ajo's contract, the answer's result, its first line and its case."""
    for name in ("refused", "calls", "archived", "walk"):
        document = writing(name)
        for exchange in document["exchanges"]:
            result = (exchange.get("response") or {}).get("result") or {}
            if str(result.get("error", "")).startswith("HostError: "):
                yield document["contract"], result, result["error"].split("\n")[0], exchange.get("case") or "walk"


REFUSED = list(refused())


def explained(settings: Settings, contract: str, result: dict[str, Any], line: str) -> Explanation:
    settings.AJO_CONTRACT_ID = contract
    failure = read_error_line(line, result.get("events") or ())
    assert failure is not None
    return explain(failure)


def innermost_contract(log: str, error: str) -> str | None:
    """Return whose contract stands in the oldest line of the host's own log that tells of an error."""
    lines = re.findall(r"contract:(C[A-Z2-7]{55}), topics:\[error, ", log)
    return lines[-1] if lines else None


@pytest.mark.parametrize(("contract", "result", "line", "case"), REFUSED, ids=[each[3] for each in REFUSED])
def test_a_recorded_refusal(settings: Settings, contract: str, result: dict[str, Any], line: str, case: str) -> None:
    found = explained(settings, contract, result, line)
    whose = innermost_contract(result["error"], line)
    number = re.search(r"#(\d+)", line)
    if number:
        is_ours = whose == contract
        name = ContractError(int(number[1])).name if is_ours else None
        assert found.contract_error == {"contract": whose, "code": int(number[1]), "name": name}
        assert found.code == (Code.CONTRACT_ERROR if is_ours else ASSET_CODES.get(int(number[1]), Code.CONTRACT_ERROR))
    elif "WasmVm, InvalidAction" in line:
        assert found.contract_error == {"contract": whose, "code": None, "name": "Trap"}
        assert found.code == Code.CONTRACT_ERROR
    else:
        wanted = [code for beginning, code in HOST.items() if case.startswith(beginning)]
        assert [found.code] == (wanted or [Code.HOST_ERROR])
        assert found.contract_error is None
        assert f"Error({found.host_error['type']}, {found.host_error['code']})" in line  # type: ignore[index]
    assert case.startswith("token") <= (whose != contract)
    assert found.detail.endswith(".")


def test_the_recordings_have_every_kind_of_refusal() -> None:
    numbers = {int(found[1]) for _, _, line, _ in REFUSED if (found := re.search(r"#(\d+)", line))}
    assert len(REFUSED) > 150
    # a refund that was executed is a cancelled group's; the others are never raised by today's contract
    assert {*range(1, 45)} - numbers == {7, 14, 24, 36, 38, 40}


def test_every_error_of_the_contract_has_a_sentence() -> None:
    assert AJO_SENTENCES.keys() == set(ContractError)


def test_another_token_s_numbers_mean_nothing_to_us() -> None:
    for number, read_ledger, is_asset, code in (
        (1, 5, False, Code.CONTRACT_ERROR),
        (2, 5, True, Code.NO_TRUSTLINE),
        (3, 0, False, Code.NO_TRUSTLINE),  # not read yet: it may be an asset's
        (4, None, False, Code.NO_TRUSTLINE),
    ):
        if read_ledger is not None:
            make_token(number, read_ledger=read_ledger, is_asset_contract=is_asset)
        assert explain(HostFailure("Contract", "", 13, contract(number))).code == code


def test_a_refusal_of_nobody_known_has_no_name() -> None:
    found = explain(HostFailure("Contract", "", 13, None))
    assert found.code == Code.CONTRACT_ERROR
    assert found.contract_error == {"contract": None, "code": 13, "name": None}
