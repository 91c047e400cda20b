"""Time and faults by order over HTTP, for app developers: the clock moves, and answers fail as they were told to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from devtools.sandbox.sandbox import Sandbox
from tests.support.closing import order


@pytest.fixture
def node() -> Iterator[Sandbox]:
    with Sandbox() as running:
        running.chain.close_ledger()
        yield running


def ask(node: Sandbox, method: str = "getLatestLedger") -> requests.Response:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method}
    return requests.post(node.url, json=body, timeout=30)


def test_the_clock_moves_with_the_next_ledger_or_at_once(node: Sandbox) -> None:
    before = int(ask(node).json()["result"]["closeTime"])
    first = order(node, "advance", seconds=600, close=True)["latestLedger"]
    assert ask(node).json()["result"]["sequence"] == first
    after = int(ask(node).json()["result"]["closeTime"])
    assert after - before >= 600
    assert order(node, "advance", seconds=600)["latestLedger"] == first
    node.chain.close_ledger()
    assert int(ask(node).json()["result"]["closeTime"]) - after >= 600


def test_so_many_answers_fail_and_then_none(node: Sandbox) -> None:
    assert order(node, "faults", kind="status", status=429, times=2) == {"waiting": 2}
    assert [ask(node).status_code for _ in range(3)] == [429, 429, 200]


def test_a_fault_is_for_its_method_alone(node: Sandbox) -> None:
    order(node, "faults", kind="drop", method="getNetwork")
    assert ask(node).status_code == 200
    with pytest.raises(requests.ConnectionError):
        ask(node, "getNetwork")
    assert ask(node, "getNetwork").status_code == 200


def test_a_slow_answer_is_the_right_one(node: Sandbox) -> None:
    order(node, "faults", kind="slow", seconds=1)
    answer = ask(node)
    assert answer.json()["result"]["sequence"] == node.chain.latest
    assert answer.elapsed.total_seconds() >= 1


def test_faults_can_be_taken_back(node: Sandbox) -> None:
    order(node, "faults", kind="status", times=5)
    assert order(node, "faults", kind="none") == {"waiting": 0}
    assert ask(node).status_code == 200


@pytest.mark.parametrize(
    "fields", [{}, {"kind": "flood"}, {"kind": "status", "status": 200}, {"kind": "drop", "times": -1}]
)
def test_an_order_that_means_nothing_is_refused(node: Sandbox, fields: dict[str, Any]) -> None:
    answer = requests.post(f"{node.url}/sandbox/faults", json=fields, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("faults: ")


def test_a_page_of_another_site_may_ask(node: Sandbox) -> None:
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = requests.options(node.url, headers=headers, timeout=30)
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type"
