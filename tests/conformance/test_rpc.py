"""What our client relies on in any Stellar RPC, asked read-only.

`make test` asks the sandbox, `LIVE_RPC_URL=… make conformance` asks a real one (LIVE_RPC_HEADERS as JSON for a key):
where the two differ, the sandbox lies.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from stellar_sdk import Asset, StrKey

from ajo.soroban.contract.keys import InstanceKey, decode_key
from ajo.soroban.contract.tokens import token_metadata
from ajo.soroban.rpc.answers import cursor_ledger
from ajo.soroban.rpc.client import MAX_KEYS, SorobanClient
from ajo.soroban.rpc.errors import RpcOutOfRange, RpcRejected
from devtools.sandbox.sandbox import Sandbox
from tests.support.histories import History

RETENTION = 40  # ledgers that the sandbox keeps here, so that it prunes as a real node does


@dataclass(frozen=True)
class Node:
    """The RPC that is asked. `native` is the native asset's contract, which every network has."""

    url: str
    headers: dict[str, str]
    client: SorobanClient
    native: str

    def post(self, method: str, params: Any = None, **headers: str) -> requests.Response:
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": 7, "method": method}
        if params is not None:
            body["params"] = params
        return requests.post(self.url, json=body, headers=self.headers | headers, timeout=30)

    def error(self, method: str, params: Any) -> tuple[int, str]:
        """Code and message of a JSON-RPC error, which comes with HTTP 200."""
        answer = self.post(method, params)
        assert answer.status_code == 200
        error = answer.json()["error"]
        return error["code"], error["message"]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    live = os.environ.get("LIVE_RPC_URL")
    headers: dict[str, str] = json.loads(os.environ.get("LIVE_RPC_HEADERS", "{}"))
    sandbox = None if live else _walked()
    url = sandbox.url if sandbox else str(live)
    client = SorobanClient(url, headers=headers)
    native = Asset.native().contract_id(client.get_network().passphrase)
    yield Node(url, headers, client, native)
    client.close()
    if sandbox:
        sandbox.close()


def _walked() -> Sandbox:
    sandbox = Sandbox(retention=RETENTION)
    History(sandbox.chain, 3).walk(3 * RETENTION)
    return sandbox


def test_health_tells_the_ledgers_that_are_kept(node: Node) -> None:
    health = node.client.get_health()
    assert 0 < health.oldest_ledger < health.latest_ledger
    assert health.latest_ledger - health.oldest_ledger <= health.retention


def test_the_answer_carries_the_requests_id_and_version(node: Node) -> None:
    answer = node.post("getHealth").json()
    assert (answer["id"], answer["jsonrpc"]) == (7, "2.0")


def test_entries_come_in_one_snapshot_without_the_missing_ones(node: Node) -> None:
    there, missing = InstanceKey().to_xdr(node.native), InstanceKey().to_xdr(StrKey.encode_contract(b"\7" * 32))
    answer = node.client.get_entries([missing, there])
    assert list(answer.found) == [there]
    assert answer.ledger >= answer.found[there]["lastModifiedLedgerSeq"] > 0
    entry = token_metadata(answer.found[there]["xdr"])
    assert (entry.name, entry.decimals, entry.is_asset_contract) == ("native", 7, True)


def test_entries_are_answered_in_the_order_of_the_keys(node: Node) -> None:
    """The client does not rely on it; the sandbox promises it."""
    key = InstanceKey().to_xdr(node.native)
    result = node.post("getLedgerEntries", {"keys": [key]}).json()["result"]
    assert [entry["key"] for entry in result["entries"]] == [key]
    assert decode_key(result["entries"][0]["key"])[0] == node.native
    assert isinstance(result["latestLedger"], int)
    assert isinstance(result["entries"][0]["lastModifiedLedgerSeq"], int)


def test_more_than_200_keys_are_refused(node: Node) -> None:
    keys = [InstanceKey().to_xdr(StrKey.encode_contract(n.to_bytes(32, "big"))) for n in range(MAX_KEYS + 1)]
    code, message = node.error("getLedgerEntries", {"keys": keys})
    assert code == -32602
    assert "200" in message
    assert node.client.get_entries(keys[:MAX_KEYS]).found == {}


def test_a_key_twice_fails_at_the_node(node: Node) -> None:
    key = InstanceKey().to_xdr(node.native)
    code, _ = node.error("getLedgerEntries", {"keys": [key, key]})
    assert code == -32603


def test_a_key_that_is_none_is_refused_with_its_place(node: Node) -> None:
    code, message = node.error("getLedgerEntries", {"keys": ["AAAA"]})
    assert (code, message) == (-32602, "cannot unmarshal key value AAAA at index 0")


def test_events_come_in_order_with_ids_that_hold_their_ledger(node: Node) -> None:
    health = node.client.get_health()
    page = node.client.get_events(node.native, start_ledger=health.oldest_ledger + 2, limit=50)
    ids = [event.id for event in page.events]
    assert ids == sorted(set(ids))
    assert all(cursor_ledger(event.id) == event.ledger for event in page.events)


def test_pages_continue_at_their_cursor_and_give_nothing_twice(node: Node) -> None:
    health = node.client.get_health()
    start = max(health.oldest_ledger + 2, health.latest_ledger - 20)
    page = node.client.get_events(node.native, start_ledger=start, limit=3)
    seen = [event.id for event in page.events]
    for _ in range(5):
        assert page.cursor >= (seen[-1] if seen else "")
        page = node.client.get_events(node.native, cursor=page.cursor, limit=3)
        assert not set(seen) & {event.id for event in page.events}
        seen += [event.id for event in page.events]


def test_a_page_that_is_not_full_ends_where_its_search_ended(node: Node) -> None:
    """10,000 ledgers at most: an empty page does not mean that one has caught up."""
    contract = StrKey.encode_contract(b"\7" * 32)
    health = node.client.get_health()
    page = node.client.get_events(contract, start_ledger=health.latest_ledger, limit=10)
    assert page.events == []
    assert not page.full
    assert page.cursor.endswith("-4294967295")
    assert cursor_ledger(page.cursor) == page.latest_ledger
    assert page.caught_up


def test_ledgers_out_of_range_are_refused_with_the_range(node: Node) -> None:
    for ledger in (1, 2**31):
        with pytest.raises(RpcOutOfRange) as refused:
            node.client.get_events(node.native, start_ledger=ledger, limit=1)
        assert refused.value.code == -32600
        assert 1 < refused.value.oldest < refused.value.latest
    with pytest.raises(RpcOutOfRange):
        node.client.get_events(node.native, cursor=f"{1 << 32:019d}-0000000000", limit=1)


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({"startLedger": 0}, -32602, "startLedger must be positive"),
        ({"startLedger": 5, "pagination": {"limit": 10_001}}, -32602, "limit must not exceed 10000"),
        ({"startLedger": 5, "pagination": {"cursor": "1-1"}}, -32602, "ledger ranges and cursor cannot both be set"),
        ({"startLedger": 5, "filters": [{}] * 6}, -32602, "maximum 5 filters per request"),
    ],
)
def test_bad_event_requests_are_refused(node: Node, params: dict[str, Any], code: int, text: str) -> None:
    assert node.error("getEvents", params) == (code, text)


def test_an_unknown_transaction_is_not_found_with_the_ledgers_known(node: Node) -> None:
    result = node.post("getTransaction", {"hash": "0" * 64}).json()["result"]
    assert result["status"] == "NOT_FOUND"
    assert result["oldestLedger"] < result["latestLedger"]
    assert re.fullmatch(r"\d+", result["latestLedgerCloseTime"])


def test_an_unknown_method_is_refused(node: Node) -> None:
    assert node.error("getNothing", {})[0] == -32601


def test_the_http_layer_refuses_what_is_no_json_post(node: Node) -> None:
    assert requests.get(node.url, headers=node.headers, timeout=30).status_code == 405
    plain = node.headers | {"Content-Type": "text/plain"}
    assert requests.post(node.url, data="{}", headers=plain, timeout=30).status_code == 415


def test_a_refusal_is_ours_to_read(node: Node) -> None:
    with pytest.raises(RpcRejected):
        node.client.get_events("CNOTACONTRACT", start_ledger=5, limit=1)
