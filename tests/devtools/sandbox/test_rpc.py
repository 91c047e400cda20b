"""The sandbox's RPC beside what was recorded: limits, neighbouring inputs, and the HTTP around it."""

from collections.abc import Iterator
from typing import Any

import pytest
from stellar_sdk import Keypair, SorobanServer, StrKey, scval
from stellar_sdk.xdr import Hash, LedgerEntryType, LedgerKey, LedgerKeyTtl

from ajo.soroban.contract.keys import GroupKey, InstanceKey
from devtools.sandbox.chain import Chain
from devtools.sandbox.ids import EVENT_MAX, OP_MAX, TX_MAX, event_id
from devtools.sandbox.network import ENTRY_LIFETIME
from devtools.sandbox.sandbox import Sandbox
from tests.support.jsonrpc import call

ALICE, BOB = (Keypair.from_raw_ed25519_seed(bytes([n]) * 32).public_key for n in (1, 2))
OTHER = StrKey.encode_contract(b"\7" * 32)
CREATED, JOINED = (scval.to_symbol(each).to_xdr() for each in ("created", "joined"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Ledger 3: groups 1 and 2, Bob in the first."""
    with Sandbox() as found:
        chain = found.chain
        for _ in range(2):
            chain.call(ALICE, "create_group", ALICE, chain.token, 1, 60, 3, 0, 0, 0)
        chain.call(BOB, "join_group", BOB, 1)
        chain.close_ledger()
        yield found


def ids(answer: Any) -> list[str]:
    return [each["id"] for each in answer["events"]]


def test_the_sdk_reads_every_answer(sandbox: Sandbox) -> None:
    server = SorobanServer(sandbox.url)
    assert server.get_health().latest_ledger == 3
    assert server.get_network().friendbot_url == f"{sandbox.url}/friendbot"
    assert server.get_latest_ledger().sequence == 3
    assert server.get_fee_stats().latest_ledger == 3
    events = server.get_events(start_ledger=3).events
    assert [each.contract_id for each in events] == [sandbox.contract] * 3
    assert server.get_transaction(events[0].transaction_hash).ledger == 3
    key = LedgerKey.from_xdr(GroupKey(1).to_xdr(sandbox.contract))
    assert [each.last_modified_ledger for each in server.get_ledger_entries([key]).entries or ()] == [3]


def test_a_page_goes_on_after_its_cursor_and_repeats_nothing(sandbox: Sandbox) -> None:
    whole = ids(call(sandbox, "getEvents", {"startLedger": 1}))
    found: list[str] = []
    params: dict[str, Any] = {"startLedger": 1, "pagination": {"limit": 1}}
    for _ in whole:
        page = call(sandbox, "getEvents", params)
        found += ids(page)
        params = {"pagination": {"limit": 1, "cursor": page["cursor"]}}
    assert found == whole
    assert call(sandbox, "getEvents", params)["events"] == []


def test_the_cursor_of_a_page_that_is_not_full_is_the_end_of_its_window(sandbox: Sandbox) -> None:
    end = event_id(3, TX_MAX, OP_MAX, EVENT_MAX)
    assert call(sandbox, "getEvents", {"startLedger": 1})["cursor"] == end
    assert call(sandbox, "getEvents", {"startLedger": 1, "endLedger": 3})["cursor"] == event_id(
        2, TX_MAX, OP_MAX, EVENT_MAX
    )
    # The event's number wraps to 0 at the very end of a ledger, and the next ledger's events follow.
    assert call(sandbox, "getEvents", {"pagination": {"cursor": end}})["events"] == []
    sandbox.chain.call(BOB, "join_group", BOB, 2)
    sandbox.chain.close_ledger()
    assert len(ids(call(sandbox, "getEvents", {"pagination": {"cursor": end}}))) == 1


def test_one_call_scans_ten_thousand_ledgers(sandbox: Sandbox) -> None:
    sandbox.chain.close_ledger(10_500)
    sandbox.chain.call(BOB, "join_group", BOB, 2)
    latest = sandbox.chain.close_ledger()
    page = call(sandbox, "getEvents", {"startLedger": 4})
    assert page["events"] == []
    assert page["cursor"] == event_id(10_003, TX_MAX, OP_MAX, EVENT_MAX)
    assert page["latestLedger"] == latest
    assert len(ids(call(sandbox, "getEvents", {"pagination": {"cursor": page["cursor"]}}))) == 1


def test_a_cursor_that_was_pruned_is_out_of_range_like_one_ahead(sandbox: Sandbox) -> None:
    sandbox.chain.retention = 2
    sandbox.chain.close_ledger(5)
    text = "startLedger must be within the ledger range: 7 - 8"
    for ledger in (3, 6, 9):
        assert call(sandbox, "getEvents", {"pagination": {"cursor": event_id(ledger)}}) == (-32600, text)
        assert call(sandbox, "getEvents", {"startLedger": ledger}) == (-32600, text)
    assert call(sandbox, "getHealth")["oldestLedger"] == 7


SEGMENTS = [CREATED] * 5
BAD_EVENTS = [
    ({"startLedger": 3, "xdrFormat": "x"}, "got 'x': expected base64, json for optional 'xdrFormat'"),
    ({"endLedger": 5, "pagination": {"cursor": "1-1"}}, "ledger ranges and cursor cannot both be set"),
    ({"pagination": {"cursor": None}}, "startLedger must be positive"),
    ({"startLedger": None}, "startLedger must be positive"),
    ({"startLedger": 3, "pagination": {"limit": 2**40}}, "limit must not exceed 10000"),
    ({"startLedger": 3, "filters": [{}, {"type": "diagnostic"}]}, "filter 2 invalid: filter type invalid: if set, "),
    ({"startLedger": 3, "filters": [{"type": "contract, system"}]}, "filter 1 invalid: filter type invalid"),
    ({"startLedger": 3, "filters": [{"contractIds": [OTHER, ALICE]}]}, "filter 1 invalid: contract ID 2 invalid"),
    ({"startLedger": 3, "filters": [{"contractIds": [None]}]}, "filter 1 invalid: contract ID 1 invalid"),
    ({"startLedger": 3, "filters": [{"topics": [["*"]] * 6}]}, "filter 1 invalid: maximum 5 topics per filter"),
    (
        {"startLedger": 3, "filters": [{"topics": [[]]}]},
        "filter 1 invalid: topic 1 invalid: topic must have at",
    ),
    (
        {"startLedger": 3, "filters": [{"topics": [None]}]},
        "filter 1 invalid: topic 1 invalid: topic must have at",
    ),
    (
        {"startLedger": 3, "filters": [{"topics": [["*"], SEGMENTS]}]},
        "filter 1 invalid: topic 2 invalid: topic cannot have more than 4 segments",
    ),
    (
        {"startLedger": 3, "filters": [{"topics": [["*", "**", "*"]]}]},
        "filter 1 invalid: topic 1 invalid: segment 2 invalid: wildcard '**' is only allowed as the last segment",
    ),
    ({"startLedger": 3, "filters": [{"topics": [["AAAA"]]}]}, "invalid parameters"),
    ({"startLedger": 3, "filters": [{"topics": [[7]]}]}, "invalid parameters"),
    ({"startLedger": 3, "filters": {}}, "invalid parameters"),
    ({"startLedger": 3.5}, "invalid parameters"),
    ({"startLedger": True}, "invalid parameters"),
    ({"startLedger": 2**32}, "invalid parameters"),
    ({"startLedger": 3, "pagination": {"limit": -1}}, "invalid parameters"),
    ({"pagination": {"cursor": 7}}, "invalid parameters"),
    ({"pagination": {"cursor": "1-4294967296"}}, "invalid parameters"),
    ({"pagination": {"cursor": "9223372036854775808-1"}}, "invalid parameters"),
    ({"pagination": {"cursor": "-1-1"}}, "invalid parameters"),
]


@pytest.mark.parametrize(("params", "message"), BAD_EVENTS)
def test_a_request_for_events_that_breaks_a_rule_is_refused_in_the_servers_words(
    sandbox: Sandbox, params: dict[str, Any], message: str
) -> None:
    code, said = call(sandbox, "getEvents", params)
    assert code == -32602
    assert said.startswith(message)


def test_names_of_parameters_match_in_any_case_and_unknown_ones_are_ignored(sandbox: Sandbox) -> None:
    assert len(ids(call(sandbox, "getEvents", {"STARTLEDGER": 3, "nothing": 1, "filters": None}))) == 3


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ([{"topics": [[CREATED, "*"]]}], 2),
        ([{"topics": [[CREATED]]}], 0),
        ([{"topics": [[CREATED, "**"], [JOINED, "*"]]}], 3),
        ([{"topics": [["*", "*", "**"]]}], 3),
        ([{"topics": [["*", "*", "*", "**"]]}], 0),
        ([{"topics": [["**"]]}], 3),
        ([{"type": "system"}], 0),
        ([{"type": "system,contract"}], 3),
        ([{"type": ""}], 3),
        ([{"contractIds": [OTHER]}], 0),
        # The server's query narrows by all filters' contracts together: the empty filter finds none of the others.
        ([{"contractIds": [OTHER]}, {}], 0),
    ],
)
def test_filters_find_what_the_servers_find(sandbox: Sandbox, filters: list[Any], count: int) -> None:
    assert len(ids(call(sandbox, "getEvents", {"startLedger": 3, "filters": filters}))) == count


def test_an_event_of_the_systems_has_its_type(sandbox: Sandbox) -> None:
    sandbox.chain.call(sandbox.chain.admin, "upgrade", b"\1" * 32)
    sandbox.chain.close_ledger()
    found = call(sandbox, "getEvents", {"startLedger": 4, "filters": [{"type": "system"}]})["events"]
    assert [each["type"] for each in found] == ["system"]


def test_entries_come_in_the_order_asked_and_those_that_are_not_there_are_left_out(sandbox: Sandbox) -> None:
    keys = [each.to_xdr(sandbox.contract) for each in (GroupKey(2), GroupKey(9), InstanceKey(), GroupKey(1))]
    answer = call(sandbox, "getLedgerEntries", {"keys": keys})
    assert [each["key"] for each in answer["entries"]] == [keys[0], keys[2], keys[3]]
    assert answer["latestLedger"] == 3


def test_two_hundred_keys_are_taken_and_one_more_is_not(sandbox: Sandbox) -> None:
    keys = [GroupKey(n).to_xdr(sandbox.contract) for n in range(1, 202)]
    assert len(call(sandbox, "getLedgerEntries", {"keys": keys[:200]})["entries"]) == 2
    refused = (-32602, "key count (201) exceeds maximum supported (200)")
    assert call(sandbox, "getLedgerEntries", {"keys": keys}) == refused


def test_a_key_that_comes_twice_fails_as_the_node_fails(sandbox: Sandbox) -> None:
    code, message = call(sandbox, "getLedgerEntries", {"keys": [GroupKey(1).to_xdr(sandbox.contract)] * 2})
    assert code == -32603
    assert message.startswith("could not query captive core")


def test_a_key_of_an_expiry_is_refused(sandbox: Sandbox) -> None:
    key = LedgerKey(LedgerEntryType.TTL, ttl=LedgerKeyTtl(Hash(bytes(32)))).to_xdr()
    assert call(sandbox, "getLedgerEntries", {"keys": [key]}) == (
        -32602,
        "ledger ttl entries cannot be queried directly",
    )


def test_an_archived_entry_is_still_given_with_no_expiry(sandbox: Sandbox) -> None:
    key = GroupKey(1).to_xdr(sandbox.contract)
    assert call(sandbox, "getLedgerEntries", {"keys": [key]})["entries"][0]["liveUntilLedgerSeq"] == 3 + ENTRY_LIFETIME
    with sandbox.chain.lock:
        sandbox.chain.store.add_ledgers([(4 + ENTRY_LIFETIME, sandbox.chain.range().last_close + 1)])
    assert call(sandbox, "getLedgerEntries", {"keys": [key]})["entries"][0]["liveUntilLedgerSeq"] == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("0" * 66, "unexpected hash length (66)"),
        ("0" * 65, "incorrect hash: encoding/hex: odd length hex string"),
        ("z" * 64, "incorrect hash: encoding/hex: invalid byte: U+007A 'z'"),
        ("0" * 63 + "\0", "incorrect hash: encoding/hex: invalid byte: U+0000"),
    ],
)
def test_a_hash_that_is_none_is_refused_in_the_servers_words(sandbox: Sandbox, asked: str, message: str) -> None:
    assert call(sandbox, "getTransaction", {"hash": asked}) == (-32602, message)


def test_a_transaction_of_a_pruned_ledger_is_not_found(sandbox: Sandbox) -> None:
    tx_hash = call(sandbox, "getEvents", {"startLedger": 3})["events"][0]["txHash"]
    assert call(sandbox, "getTransaction", {"hash": tx_hash.upper()})["status"] == "SUCCESS"
    sandbox.chain.retention = 2
    sandbox.chain.close_ledger(5)
    found = call(sandbox, "getTransaction", {"hash": tx_hash})
    assert (found["status"], found["createdAt"], found["oldestLedger"]) == ("NOT_FOUND", "0", 7)


def test_a_node_without_a_ledger_says_so() -> None:
    with Sandbox(Chain(deploy=False)) as empty:
        for method, params in (("getHealth", None), ("getEvents", {"startLedger": 1}), ("getLedgerEntries", {})):
            assert call(empty, method, params) == (-32603, "data stores are not initialized: DB is empty")


def test_an_old_chain_is_not_healthy(sandbox: Sandbox) -> None:
    sandbox.rpc.max_latency = 30
    code, message = call(sandbox, "getHealth")
    assert code == -32603
    assert message.startswith("latency (")
    assert message.endswith("s) since last known ledger closed is too high (>30s)")
