"""One of two nodes lies, in each way that would end a transaction wrongly: the ends are the chain's all the same."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings
from stellar_sdk import scval
from stellar_sdk.xdr import LedgerEntryData

from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.client import SorobanClient
from ajo.transactions.codes import Code
from ajo.transactions.proofs import find
from tests.support.faults import and_then
from tests.support.nodes import forget_backoff, use_nodes
from tests.support.proxy import Exchange, Fault, Proxy, Reply
from tests.support.sending import AMOUNT, BOB, CAROL, OTHER, send
from tests.support.submitted import Status, Writing, writing

__all__ = ["writing"]
pytestmark = pytest.mark.django_db(transaction=True)

EMPTY = {"status": "NOT_FOUND", "ledger": 0, "createdAt": "0"}


def changes(method: str, change: Callable[[dict[str, Any]], None]) -> Fault:
    """Change the result of a method's answers, where there is one."""

    def fault(exchange: Exchange) -> Reply:
        if exchange.method != method:
            return exchange.forward()
        return exchange.changed(lambda answer: change(answer["result"]) if "result" in answer else None)

    return fault


def turned(result: dict[str, Any]) -> None:
    """Say SUCCESS of what failed, and FAILED of what succeeded."""
    result["status"] = {"SUCCESS": "FAILED", "FAILED": "SUCCESS"}.get(result["status"], result["status"])


def not_found(result: dict[str, Any]) -> None:
    result.update(EMPTY)


def pruned(result: dict[str, Any]) -> None:
    """Answer as a node that was set up a moment ago."""
    result.update(EMPTY, oldestLedger=result["latestLedger"])


def sequences(by: int) -> Callable[[dict[str, Any]], None]:
    """Shift the sequence numbers of all accounts."""

    def change(result: dict[str, Any]) -> None:
        for entry in result.get("entries") or ():
            data = LedgerEntryData.from_xdr(entry["xdr"])
            if data.account is not None:
                data.account.seq_num.sequence_number.int64 += by
                entry["xdr"] = data.to_xdr()

    return change


def no_accounts(result: dict[str, Any]) -> None:
    entries = result.get("entries") or []
    result["entries"] = [each for each in entries if LedgerEntryData.from_xdr(each["xdr"]).account is None]


def later(result: dict[str, Any]) -> None:
    """Name a close time of an hour from now."""
    result["latestLedgerCloseTime"] = str(int(result["latestLedgerCloseTime"]) + 3600)


LIES: dict[str, Fault] = {
    "success and failure turned round": changes("getTransaction", turned),
    "nothing is ever found": changes("getTransaction", not_found),
    "a history that begins now": changes("getTransaction", pruned),
    "another close time": changes("getTransaction", later),
    "sequence numbers that are used": changes("getLedgerEntries", sequences(5)),
    "sequence numbers that are not used": changes("getLedgerEntries", sequences(-5)),
    "no accounts": changes("getLedgerEntries", no_accounts),
}


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_no_lie_of_one_node_ends_a_transaction(
    writing: Writing, settings: Settings, lie: Fault, is_first: bool
) -> None:
    """Breaks without the second opinion that each proof asks for."""
    writing.chain.fund(OTHER.public_key)
    writing.close()
    terms = [scval.to_address(writing.chain.token), scval.to_int128(AMOUNT), scval.to_uint64(3600)]
    more = [scval.to_uint32(3), scval.to_uint64(0), scval.to_uint32(0), scval.to_uint32(0)]
    succeeds, fails = (
        writing.call("create_group", scval.to_address(by.public_key), *terms, *more, by=by) for by in (BOB, CAROL)
    )
    names = writing.naming("unannounced")
    waits = writing.joining(OTHER)
    with Proxy(writing.sandbox.url) as liar:
        use_nodes(settings, *([liar, writing.proxy] if is_first else [writing.proxy, liar]))
        hashes = [writing.store(each).hash for each in (succeeds, fails, names, waits)]
        for each in (succeeds, fails, names):
            assert send(writing.sandbox, each)["status"] == "PENDING"
        writing.order("refuse", status="TRY_AGAIN_LATER", times=1000)
        with liar.failing(lie):
            for _ in range(4):
                forget_backoff()
                writing.step()
            assert writing.status(hashes[3]) == Status.PENDING
            writing.over(hashes[3])
            for _ in range(3):
                forget_backoff()
                writing.step()
            proven = [Status.SUCCESS, Status.FAILED, Status.SUCCESS, Status.EXPIRED]
            for tx, status in zip(hashes, proven, strict=True):
                assert writing.status(tx) in (status, Status.PENDING)
        for _ in range(3):
            forget_backoff()
            writing.step()
    assert [writing.status(tx) for tx in hashes] == proven
    assert writing.row(hashes[3]).code == Code.TIME_OVER
    assert not ChainTransaction.objects.pending().exists()


def test_a_look_up_counts_from_what_closed_before_it_began(writing: Writing) -> None:
    """Guards WRITING 10: a ledger that closes between looking and reading the range is not covered by that look-up."""
    client = SorobanClient(writing.proxy.url, retries=0)
    close = writing.chain.range().last_close
    with writing.proxy.failing(and_then(lambda: writing.chain.close_ledger())):
        looked = find(client, "0" * 64, writing.chain.latest)
    assert looked.began_after == close
    assert int(looked.answer.latest_ledger_close_time) > close
    client.close()
