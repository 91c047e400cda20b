"""A simulation by nodes that lag, hang or fall behind between two requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from ajo.soroban.models import Checkpoint, RpcNode
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import applied, building, built, forget, join, lying, opened, signed
from tests.support.closing import order
from tests.support.following import catch_up
from tests.support.nodes import use_nodes
from tests.support.sending import BOB

__all__ = ["building"]
pytestmark = pytest.mark.django_db


class Second:
    """The sandbox's second node, which stays behind."""

    def __init__(self, sandbox: Sandbox) -> None:
        order(sandbox, "second")
        self.url = f"{sandbox.url}/second"


def test_a_node_behind_the_tables_is_not_believed(building: Sandbox, settings: Settings) -> None:
    """Breaks if it were: its sequence number is one that was used."""
    lagging = Second(building)
    answer = join()
    assert applied(building, signed(answer, BOB)) == ["SUCCESS"]
    building.chain.close_ledger(2)
    catch_up(SorobanClient(building.url, retries=0))
    use_nodes(settings, lagging, building)
    forget()
    for _ in range(2):
        again = built("contribute", BOB, member=BOB.public_key, group_id="1")
        assert int(again["sequence"]) == int(answer["sequence"]) + 1


def test_an_older_state_in_the_second_request_is_not_believed(building: Sandbox, settings: Settings) -> None:
    def older(answer: dict[str, Any]) -> None:
        answer["result"]["latestLedger"] -= 2

    with lying(building, settings, "simulateTransaction", older):
        assert join()["function"] == "join_group"
    assert "a simulation of ledger" in RpcNode.objects.get(failures__gt=0).last_error


def test_an_answer_that_is_none_is_the_node_s_fault(building: Sandbox, settings: Settings) -> None:
    def empty(answer: dict[str, Any]) -> None:
        answer["result"] = {"latestLedger": answer["result"]["latestLedger"]}

    with lying(building, settings, "simulateTransaction", empty):
        assert join()["function"] == "join_group"


def test_a_node_whose_chain_lacks_the_contract_is_at_fault(building: Sandbox, settings: Settings) -> None:
    """It is no refusal: another node has the contract."""
    settings.AJO_CONTRACT_ID = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA"
    answer = built("execute_payout", BOB, status=503, group_id="1")
    assert "RpcUnavailable" in answer["detail"]


def test_transaction_data_that_cannot_be_decoded_is_the_node_s_fault(building: Sandbox, settings: Settings) -> None:
    def spoil(answer: dict[str, Any]) -> None:
        answer["result"]["transactionData"] = "AAAA"

    with lying(building, settings, "simulateTransaction", spoil):
        assert join()["function"] == "join_group"
    assert "transaction data" in RpcNode.objects.get(failures__gt=0).last_error


def test_a_node_is_not_left_for_a_transaction_that_it_cannot_read(building: Sandbox, settings: Settings) -> None:
    """Breaks if it were: whoever sends such authorizations would keep everybody from the nodes."""

    def unreadable(answer: dict[str, Any]) -> None:
        answer["result"] = {"error": "Could not unmarshal transaction", "latestLedger": 0}

    with lying(building, settings, "simulateTransaction", unreadable):
        assert join()["function"] == "join_group"
    assert not RpcNode.objects.backing_off().exists()


def test_after_a_standstill_the_node_is_asked_when_its_ledger_closed(building: Sandbox) -> None:
    """Breaks if it were reckoned from what was heard last: the transaction's time would be over when it is built."""
    catch_up(SorobanClient(building.url, retries=0))
    order(building, "advance", seconds=3_600)
    building.chain.close_ledger()
    Checkpoint.objects.update(chain_advanced_at=datetime.now(UTC) - timedelta(hours=1))
    until = opened(join()).transaction.preconditions
    assert until is not None
    assert until.time_bounds is not None
    assert until.time_bounds.max_time == building.chain.range().last_close + 300


def test_beside_a_clock_that_may_be_moved_the_node_is_asked(building: Sandbox, settings: Settings) -> None:
    """An app developer advances the sandbox and builds at once, before the sync has heard of it."""
    settings.AJO_SANDBOX = True
    catch_up(SorobanClient(building.url, retries=0))
    order(building, "advance", seconds=700, close=True)
    until = opened(join()).transaction.preconditions
    assert until is not None
    assert until.time_bounds is not None
    assert until.time_bounds.max_time == building.chain.range().last_close + 300
