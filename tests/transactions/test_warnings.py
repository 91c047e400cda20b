"""What a client is warned of before its transaction is signed."""

from __future__ import annotations

from typing import Any

import pytest

from ajo.soroban.contract.keys import GroupKey, InstanceKey, code_key
from devtools.sandbox.sandbox import Sandbox
from groups.models import Token
from tests.support.building import applied, building, built, join, make_group, signed
from tests.support.closing import order
from tests.support.sending import ALICE, BOB
from tests.support.wallets import wallets

__all__ = ["building"]
pytestmark = pytest.mark.django_db
TERMS: dict[str, Any] = {"contribution_amount": "5", "cycle_duration": "60", "grace_period": "0"}
RATES = {"penalty_rate": 0, "insurance_rate_bps": 0}
WEEK = 604_800


def codes(answer: Any) -> list[str]:
    return [each["code"] for each in answer["warnings"]]


def detail(answer: Any, code: str) -> str:
    (found,) = [each["detail"] for each in answer["warnings"] if each["code"] == code]
    return str(found)


@pytest.fixture
def token(building: Sandbox) -> Token:
    """Store the native asset as the sync would."""
    return Token.objects.create(
        address=building.chain.token, symbol="native", name="native", decimals=7, is_asset_contract=True, verified=True
    )


def test_a_verified_token_is_no_warning(building: Sandbox, token: Token) -> None:
    assert codes(join()) == []
    Token.objects.update(verified=False, symbol="USDC")
    assert "It calls itself USDC" in detail(join(), "token_unverified")


@pytest.mark.parametrize(("members", "warned"), [(46, False), (47, True)])
def test_a_new_group_that_can_grow_past_what_can_be_cancelled(
    building: Sandbox, token: Token, members: int, warned: bool
) -> None:
    address = building.chain.token
    terms: dict[str, Any] = {"creator": ALICE.public_key, "token_address": address, "max_members": members}
    answer = built("create_group", ALICE, **terms, **TERMS, **RATES)
    assert codes(answer) == (["group_uncancellable"] if warned else [])
    if warned:
        assert "more than 46 members" in detail(answer, "group_uncancellable")


def test_the_member_with_whom_a_group_can_no_longer_be_cancelled_is_warned(building: Sandbox, token: Token) -> None:
    make_group(building, members=100)
    for member in wallets(45):
        building.chain.call(member, "join_group", member, 2)
    building.chain.close_ledger()
    assert len(building.chain.view("list_members", 2)) == 46
    answer = built("join_group", BOB, member=BOB.public_key, group_id="2")
    assert codes(answer) == ["group_uncancellable"]


def test_what_is_restored_from_the_archive_is_told(building: Sandbox) -> None:
    order(building, "archive", keys=[GroupKey(1).to_xdr(building.contract)])
    building.chain.close_ledger()
    answer = join()
    assert "1 archived ledger entries" in detail(answer, "restores_archived")
    assert applied(building, signed(answer, BOB)) == ["SUCCESS"]


def test_an_archived_contract_is_not_restored_by_its_next_caller(building: Sandbox) -> None:
    """Its code weighs megabytes: who calls next would pay some 80 XLM."""
    code = code_key(building.chain.read(InstanceKey()).wasm_hash)
    order(building, "archive", keys=[InstanceKey().to_xdr(building.contract), code])
    building.chain.close_ledger()
    answer = join(status=409)
    assert (answer["code"], answer["limit"]["name"]) == ("limits_exceeded", "resource_fee")
    assert answer["limit"]["used"] > 10 * answer["limit"]["allowed"]


def test_a_vote_that_may_end_before_the_transaction_does_is_told(building: Sandbox) -> None:
    chain = building.chain
    chain.advance(3601)
    chain.call(ALICE.public_key, "request_refund", ALICE.public_key, 1)
    chain.close_ledger()
    vote: dict[str, Any] = {"voter": ALICE.public_key, "group_id": "1", "in_favor": True}
    assert codes(built("vote_refund", ALICE, **vote)) == []
    chain.advance(WEEK - 200)
    chain.close_ledger()
    answer = built("vote_refund", ALICE, **vote)
    assert codes(answer) == ["time_edge"]
    assert "vote ends at 20" in detail(answer, "time_edge")
    assert codes(built("vote_refund", ALICE, more={"valid_for": 60}, **vote)) == []


def test_a_refund_asked_for_too_early_says_when_it_is_possible(building: Sandbox) -> None:
    answer = built("request_refund", ALICE, status=409, requester=ALICE.public_key, group_id="1")
    assert answer["contract_error"]["name"] == "CycleNotExpired"
    assert "It is possible from 20" in answer["detail"]


def test_a_payout_that_only_the_node_s_clock_allows_is_warned_of(building: Sandbox) -> None:
    """An older node simulates with its own clock, which runs ahead of the ledgers."""
    chain = building.chain
    chain.call(ALICE.public_key, "contribute", ALICE.public_key, 1)
    chain.close_ledger()
    order(building, "clock", seconds=chain.range().last_close + 3600)
    answer = built("execute_payout", BOB, group_id="1")
    assert codes(answer) == ["time_edge"]
    assert "possible from" in detail(answer, "time_edge")
