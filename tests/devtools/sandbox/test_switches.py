"""Orders over HTTP: each of a network's bad days, at will."""

from typing import Any

import pytest
import requests
from stellar_sdk import Account, TransactionBuilder, scval

from devtools.sandbox.sandbox import Sandbox
from devtools.sandbox.switches import ORDERS
from tests.support.closing import order
from tests.support.sending import ALICE, BOB, CAROL, ask, code, joining, looked_up, sandbox, send

__all__ = ["sandbox"]  # the fixture


def test_try_again_later_is_said_so_often_and_then_the_transaction_is_taken(sandbox: Sandbox) -> None:
    joined = joining(sandbox, BOB)
    order(sandbox, "refuse", status="TRY_AGAIN_LATER", times=2)
    assert [send(sandbox, joined)["status"] for _ in range(3)] == ["TRY_AGAIN_LATER", "TRY_AGAIN_LATER", "PENDING"]


def test_a_lost_answer_says_nothing_of_the_transaction_which_was_taken(sandbox: Sandbox) -> None:
    joined = joining(sandbox, BOB)
    order(sandbox, "lose")
    assert send(sandbox, joined)["error"] == "could not submit transaction to stellar-core"
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, joined)["status"] == "SUCCESS"


def test_a_dropped_connection_says_nothing_of_the_transaction_which_was_taken(sandbox: Sandbox) -> None:
    joined = joining(sandbox, BOB)
    order(sandbox, "drop")
    with pytest.raises(requests.ConnectionError):
        send(sandbox, joined)
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, joined)["status"] == "SUCCESS"


def test_a_filtered_account_is_an_invalid_status(sandbox: Sandbox) -> None:
    order(sandbox, "filter", accounts=[BOB.public_key])
    assert send(sandbox, joining(sandbox, BOB))["error"] == "invalid status from stellar-core"
    assert send(sandbox, joining(sandbox, CAROL))["status"] == "PENDING"


def test_a_busy_node_says_so_where_the_host_would_say_why(sandbox: Sandbox) -> None:
    joined = joining(sandbox, BOB)
    order(sandbox, "busy")
    first, second = (ask(sandbox, "simulateTransaction", transaction=joined.to_xdr())["result"] for _ in range(2))
    assert first["error"] == "preflight queue full"
    assert "error" not in second


def test_a_hash_looked_up_too_early_is_not_found_in_a_range_that_has_it(sandbox: Sandbox) -> None:
    joined = joining(sandbox, BOB)
    send(sandbox, joined)
    ledger = sandbox.chain.close_ledger()
    order(sandbox, "race")
    early = looked_up(sandbox, joined)
    assert (early["status"], early["latestLedger"]) == ("NOT_FOUND", ledger)
    assert looked_up(sandbox, joined)["ledger"] == ledger


def test_a_second_node_lags_behind_with_its_own_state_and_passes_on_what_it_takes(sandbox: Sandbox) -> None:
    stays = order(sandbox, "second")["latestLedger"]
    first = joining(sandbox, BOB)
    send(sandbox, first)
    sandbox.chain.close_ledger(3)
    assert ask(sandbox, "getHealth", "/second")["result"]["latestLedger"] == stays
    assert looked_up(sandbox, first, "/second")["status"] == "NOT_FOUND"
    other = joining(sandbox, CAROL)
    assert send(sandbox, other, "/second")["status"] == "PENDING"
    again = joining(sandbox, BOB, group=2)
    assert code(send(sandbox, again, "/second")) == "txBAD_SEQ"
    sandbox.chain.close_ledger()
    assert looked_up(sandbox, other)["status"] == "SUCCESS"
    order(sandbox, "second", following=True)
    assert looked_up(sandbox, other, "/second")["status"] == "SUCCESS"


def test_history_is_pruned(sandbox: Sandbox) -> None:
    joined = joining(sandbox, BOB)
    send(sandbox, joined)
    sandbox.chain.close_ledger(5)
    assert looked_up(sandbox, joined)["status"] == "SUCCESS"
    order(sandbox, "prune", ledgers=3)
    assert looked_up(sandbox, joined)["status"] == "NOT_FOUND"


def test_the_clock_is_moved_for_simulations_and_for_what_is_too_late(sandbox: Sandbox) -> None:
    chain = sandbox.chain
    for each in (BOB, CAROL):
        chain.call(each.public_key, "join_group", each.public_key, 1)
    for each in (ALICE, BOB, CAROL):
        chain.call(each.public_key, "contribute", each.public_key, 1)
    chain.close_ledger()

    def simulated() -> dict[str, Any]:
        unsigned = joining_payout(sandbox)
        found: dict[str, Any] = ask(sandbox, "simulateTransaction", transaction=unsigned)["result"]
        return found

    assert simulated()["error"].startswith("HostError: Error(Contract, #16)")
    order(sandbox, "clock", seconds=chain.range().last_close + 3600)
    assert "error" not in simulated()
    order(sandbox, "clock", seconds=None)
    assert "error" in simulated()


def joining_payout(sandbox: Sandbox) -> str:
    builder = TransactionBuilder(Account(ALICE.public_key, 0), sandbox.chain.passphrase)
    builder.append_invoke_contract_function_op(sandbox.contract, "execute_payout", [scval.to_uint64(1)])
    return builder.add_time_bounds(0, 0).build().to_xdr()


def test_fee_statistics_tell_what_was_bid_and_what_a_surge_asks(sandbox: Sandbox) -> None:
    send(sandbox, joining(sandbox, BOB, fee=700))
    sandbox.chain.close_ledger()
    found = soroban_fees(sandbox)
    assert found["transactionCount"] == "1"
    assert found["max"] == "700"
    order(sandbox, "surge", fee=5000)
    send(sandbox, joining(sandbox, CAROL, fee=9000))
    sandbox.chain.close_ledger()
    assert soroban_fees(sandbox)["max"] == "9000"


def soroban_fees(sandbox: Sandbox) -> dict[str, Any]:
    found: dict[str, Any] = ask(sandbox, "getFeeStats")["result"]["sorobanInclusionFee"]
    return found


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("nothing", b"{}"),
        ("clock", b"[]"),
        ("clock", b"{"),
        ("clock", b'{"seconds": "soon"}'),
        ("advance", b'{"seconds": -1}'),
        ("trustline", b'{"account": "G"}'),
        ("archive", b'{"keys": ["AAAA"]}'),
        ("entry", b'{"key": "?"}'),
        ("freeze", b'{"frozne": true}'),
    ],
)
def test_an_order_of_no_use_is_a_400_that_says_why(sandbox: Sandbox, name: str, body: bytes) -> None:
    answer = requests.post(f"{sandbox.url}/sandbox/{name}", data=body, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(name)


def test_a_field_that_an_order_does_not_take_is_named_and_nothing_is_done(sandbox: Sandbox) -> None:
    latest = sandbox.chain.latest
    answer = requests.post(f"{sandbox.url}/sandbox/close", json={"count": 2, "ledgers": 3, "close": 1}, timeout=30)
    assert answer.status_code == 400
    assert answer.json() == {"detail": "close: unknown fields: ledgers, close; it takes count"}
    assert sandbox.chain.latest == latest
    assert order(sandbox, "close", count=2) == {"latestLedger": latest + 2}


@pytest.mark.parametrize("name", ORDERS)
def test_each_order_says_what_it_does_and_names_its_fields(name: str) -> None:
    assert ORDERS[name].text
    assert [field for field in ORDERS[name].fields if f"`{field}`" not in ORDERS[name].text] == []


def test_every_order_says_what_it_does(sandbox: Sandbox) -> None:
    told = requests.get(f"{sandbox.url}/sandbox/", timeout=30).json()
    assert set(told) == set(ORDERS)
    assert all(told.values())
    assert not [text for text in told.values() if text != " ".join(text.split())]
