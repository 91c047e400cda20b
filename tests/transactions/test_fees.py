"""Bids that get in, and margins for what grows between a simulation and its ledger."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings
from stellar_sdk.xdr import SorobanTransactionData, Uint32

from ajo.transactions import fees
from ajo.transactions.fees import MEMBER_BYTES
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import (
    applied,
    building,
    built,
    forget,
    join,
    lying,
    make_group,
    opened,
    requests_seen,
    signed,
)
from tests.support.closing import order
from tests.support.sending import BOB, CAROL, looked_up, send

__all__ = ["building"]
pytestmark = pytest.mark.django_db


def test_the_default_bid_gets_in_where_the_least_one_does_not(building: Sandbox) -> None:
    order(building, "surge", fee=5000)
    lowest, usual = join(CAROL, inclusion_fee="100"), join()
    assert (lowest["fee"]["inclusion"], usual["fee"]["inclusion"]) == ("100", "5000")
    for envelope in (waiting := signed(lowest, CAROL), taken := signed(usual, BOB)):
        send(building, envelope)
    building.chain.close_ledger()
    assert looked_up(building, waiting)["status"] == "NOT_FOUND"
    assert looked_up(building, taken)["status"] == "SUCCESS"


def test_the_bid_is_capped(building: Sandbox, settings: Settings) -> None:
    order(building, "surge", fee=5_000_000)
    assert join()["fee"]["inclusion"] == str(settings.MAX_INCLUSION_FEE)
    errors = join(status=400, inclusion_fee=str(settings.MAX_INCLUSION_FEE + 1))["errors"]
    assert f"from 100 to {settings.MAX_INCLUSION_FEE}" in errors["inclusion_fee"][0]


def test_what_the_last_ledgers_paid_is_asked_once_for_many_builds(building: Sandbox) -> None:
    for _ in range(3):
        join()
    assert requests_seen(building)["getFeeStats"] == 1


def test_two_joins_of_one_state_are_both_applied(building: Sandbox) -> None:
    """Breaks without the margin: the first makes the group's entry larger than the second may write."""
    assert applied(building, signed(join(BOB), BOB), signed(join(CAROL), CAROL)) == ["SUCCESS", "SUCCESS"]


def test_without_the_margin_the_second_join_fails(building: Sandbox, settings: Settings) -> None:
    """What the margin is for: the same as above, without it."""
    both = []
    for key in (BOB, CAROL):
        envelope = opened(join(key))
        data: Any = envelope.transaction.soroban_data
        data.resources.write_bytes = Uint32(data.resources.write_bytes.uint32 - MEMBER_BYTES)
        envelope.sign(key)
        both.append(envelope)
    assert sorted(applied(building, *both)) == ["RESOURCE_LIMIT_EXCEEDED", "SUCCESS"]


@pytest.mark.parametrize(("members", "room"), [(2, 0), (3, 1), (5, 3), (100, fees.JOINS)])
def test_the_margin_is_for_those_who_still_can_join(
    building: Sandbox, settings: Settings, members: int, room: int
) -> None:
    make_group(building, members=members)
    building.chain.close_ledger()
    resources: list[Any] = []

    def noted(answer: dict[str, Any]) -> None:
        resources.append(answer["result"]["transactionData"])

    with lying(building, settings, "simulateTransaction", noted):
        data: Any = opened(built("join_group", BOB, member=BOB.public_key, group_id="2")).transaction.soroban_data
    simulated = SorobanTransactionData.from_xdr(resources[0]).resources
    assert data.resources.write_bytes.uint32 - simulated.write_bytes.uint32 == room * MEMBER_BYTES


def test_a_fifth_more_rent_is_paid_from_the_margin(building: Sandbox, settings: Settings) -> None:
    """The simulation's own margin is 15 % of what is refundable; what is not used comes back."""

    def cheaper(answer: dict[str, Any]) -> None:
        answer["result"]["minResourceFee"] = str(int(answer["result"]["minResourceFee"]) * 10 // 12)

    with lying(building, settings, "simulateTransaction", cheaper):
        answer = join()
    assert applied(building, signed(answer, BOB)) == ["SUCCESS"]


def test_a_call_that_costs_more_than_this_service_lets_it_is_refused(building: Sandbox, settings: Settings) -> None:
    needed = int(join()["fee"]["resource"])
    settings.MAX_RESOURCE_FEE = needed // 2
    forget()
    answer = join(status=409)
    assert answer["code"] == "limits_exceeded"
    assert answer["limit"]["name"] == "resource_fee"
    assert answer["limit"]["allowed"] == needed // 2 < answer["limit"]["used"] <= needed
