"""Arguments by name: what is taken, and what is refused by name before the chain is asked."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.exceptions import ValidationError
from stellar_sdk import MuxedAccount

from ajo.soroban.contract.functions import WRITES, decode_args, encode_args
from ajo.transactions.arguments import group_of, parse_args
from tests.support.sending import ALICE, BOB

TOKEN = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA"
MUXED = MuxedAccount(ALICE.public_key, 7).account_muxed
TERMS: dict[str, Any] = {
    "creator": ALICE.public_key,
    "token_address": TOKEN,
    "contribution_amount": "50000000",
    "cycle_duration": "86400",
    "max_members": 3,
    "grace_period": "0",
    "penalty_rate": 5,
    "insurance_rate_bps": 0,
}
METADATA: dict[str, Any] = {"group_id": "1", "name": "n", "description": "d", "rules": "r"}
RIGHT: dict[str, dict[str, Any]] = {
    "initialize": {"admin": ALICE.public_key},
    "upgrade": {"new_wasm_hash": "ab" * 32},
    "pause": {},
    "unpause": {},
    "create_group": TERMS,
    "join_group": {"member": BOB.public_key, "group_id": "1"},
    "contribute": {"member": TOKEN, "group_id": 1},
    "execute_payout": {"group_id": "18446744073709551615"},
    "cancel_group": {"creator": ALICE.public_key, "group_id": "1"},
    "request_refund": {"requester": ALICE.public_key, "group_id": "1"},
    "vote_refund": {"voter": ALICE.public_key, "group_id": "1", "in_favor": False},
    "execute_refund": {"executor": ALICE.public_key, "group_id": "1"},
    "emergency_refund": {"admin": ALICE.public_key, "group_id": "1"},
    "set_group_metadata": {"group_id": "1", "name": "é" * 25, "description": "", "rules": "x" * 1000},
    "file_insurance_claim": {
        "claimant": ALICE.public_key,
        "group_id": "1",
        "cycle": 1,
        "defaulter": BOB.public_key,
        "amount": "-170141183460469231731687303715884105728",
    },
    "process_insurance_claim": {"admin": ALICE.public_key, "claim_id": "2", "approved": True},
}


def test_every_function_that_writes_is_here() -> None:
    assert RIGHT.keys() == WRITES.keys()


@pytest.mark.parametrize("function", RIGHT)
def test_right_arguments_become_the_contract_s_values(function: str) -> None:
    values = parse_args(function, RIGHT[function])
    assert decode_args(function, encode_args(function, values)) == values
    assert list(values) == list(WRITES[function].args)
    assert {name: json_form(value) for name, value in values.items()} == {
        name: int(given) if str(given).lstrip("-").isdecimal() else given for name, given in RIGHT[function].items()
    }


def json_form(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex() if value == b"\xab" * 32 else value.decode()
    return value


@pytest.mark.parametrize(("function", "group"), [("join_group", 1), ("execute_payout", 2**64 - 1), ("pause", None)])
def test_the_group_that_a_call_is_about(function: str, group: int | None) -> None:
    assert group_of(function, parse_args(function, RIGHT[function])) == group


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("create_group", {"contribution_amount": "0"}, "contribution_amount", "from 1 to"),
    ("create_group", {"contribution_amount": "-1"}, "contribution_amount", "from 1 to"),
    ("create_group", {"contribution_amount": str(2**127)}, "contribution_amount", "from 1 to"),
    ("create_group", {"contribution_amount": 2**53 + 2}, "contribution_amount", "string of digits"),
    ("create_group", {"contribution_amount": 1.5}, "contribution_amount", "whole number"),
    ("create_group", {"contribution_amount": "1e3"}, "contribution_amount", "whole number"),
    ("create_group", {"contribution_amount": "٣"}, "contribution_amount", "whole number"),
    ("create_group", {"contribution_amount": True}, "contribution_amount", "whole number"),
    ("create_group", {"cycle_duration": "0"}, "cycle_duration", "from 1 to"),
    ("create_group", {"cycle_duration": str(2**64)}, "cycle_duration", "from 1 to"),
    ("create_group", {"max_members": 1}, "max_members", "from 2 to 100"),
    ("create_group", {"max_members": 101}, "max_members", "from 2 to 100"),
    ("create_group", {"max_members": "3"}, "max_members", "from 2 to 100"),
    ("create_group", {"grace_period": "604801"}, "grace_period", "from 0 to 604800"),
    ("create_group", {"penalty_rate": 101}, "penalty_rate", "from 0 to 100"),
    ("create_group", {"insurance_rate_bps": 2**32}, "insurance_rate_bps", "from 0 to 4294967295"),
    ("create_group", {"token_address": ALICE.public_key}, "token_address", "C… address"),
    ("create_group", {"creator": MUXED}, "creator", ALICE.public_key),
    ("create_group", {"creator": "G" + "A" * 55}, "creator", "Not a Stellar address"),
    ("create_group", {"creator": 7}, "creator", "address is expected"),
    ("join_group", {"group_id": "0"}, "group_id", "from 1 to"),
    ("join_group", {"group_id": None}, "group_id", "from 1 to"),
    ("vote_refund", {"in_favor": "true"}, "in_favor", "true or false"),
    ("vote_refund", {"in_favor": 1}, "in_favor", "true or false"),
    ("set_group_metadata", {"name": "é" * 25 + "x"}, "name", "51 bytes long in UTF-8; 50 is the most"),
    ("set_group_metadata", {"description": "x" * 251}, "description", "250 is the most"),
    ("set_group_metadata", {"rules": "x" * 1001}, "rules", "1000 is the most"),
    ("set_group_metadata", {"rules": "\ud800"}, "rules", "surrogate"),
    ("set_group_metadata", {"rules": ["x"]}, "rules", "string is expected"),
    ("upgrade", {"new_wasm_hash": "ab" * 31}, "new_wasm_hash", "64 hexadecimal digits"),
    ("pause", {"member": 1}, "member", "no such argument"),
]


@pytest.mark.parametrize(("function", "changed", "name", "words"), WRONG)
def test_a_wrong_argument_is_refused_by_name(function: str, changed: dict[str, Any], name: str, words: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        parse_args(function, RIGHT[function] | changed)
    detail: Any = refusal.value.detail
    assert detail["args"].keys() == {name}
    assert words in detail["args"][name][0]


def test_all_missing_arguments_are_named_at_once() -> None:
    with pytest.raises(ValidationError) as refusal:
        parse_args("join_group", {})
    detail: Any = refusal.value.detail
    assert detail == {"args": {"member": ["Is missing."], "group_id": ["Is missing."]}}
