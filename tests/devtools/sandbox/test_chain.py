"""The sandbox's chain: ledgers, entries, events, and that it is the same chain after a restart."""

import base64
import sqlite3
import threading
from pathlib import Path

import pytest
from stellar_sdk import Asset, Keypair
from stellar_sdk.xdr import DiagnosticEvent, SCErrorType, TransactionEnvelope, TransactionMeta, TransactionResult

from ajo.soroban.contract.entries import decode_entry
from ajo.soroban.contract.functions import decode_result
from ajo.soroban.contract.keys import ContribKey, GroupKey, InstanceKey
from ajo.soroban.contract.tokens import token_metadata
from devtools.sandbox.chain import Chain
from devtools.sandbox.env import CallFailed
from devtools.sandbox.network import ENTRY_LIFETIME, LEDGER_SECONDS, contract_id, token_id

ALICE, BOB, CAROL = (Keypair.from_raw_ed25519_seed(bytes([n]) * 32).public_key for n in (1, 2, 3))
HOUR = 3600


def with_group(chain: Chain, amount: int = 100) -> int:
    for each in (ALICE, BOB, CAROL):
        chain.fund(each, 1000)
    made = chain.call(ALICE, "create_group", ALICE, chain.token, amount, HOUR, 3, 60, 0, 0)
    chain.call(BOB, "join_group", BOB, made.result)
    chain.close_ledger()
    return int(made.result)


def raw(key: str) -> bytes:
    return base64.b64decode(key)


def test_a_new_chain_has_the_contract_with_its_admin_and_the_token() -> None:
    chain = Chain("Some Network")
    assert (chain.contract, chain.token) == (contract_id("Some Network"), token_id("Some Network"))
    assert chain.token == Asset.native().contract_id("Some Network")
    entry = chain.store.entry(raw(InstanceKey().to_xdr(chain.contract)))
    assert entry is not None
    assert getattr(decode_entry(entry.xdr).value, "admin", None) == chain.admin
    native = chain.store.entry(raw(InstanceKey().to_xdr(chain.token)))
    assert native is not None
    assert token_metadata(native.xdr).symbol == "native"
    assert chain.latest == 2


def test_a_call_is_seen_when_its_ledger_closes_and_not_before() -> None:
    chain = Chain()
    key = raw(GroupKey(1).to_xdr(chain.contract))
    chain.call(ALICE, "create_group", ALICE, chain.token, 1, HOUR, 3, 0, 0, 0)
    assert chain.view("get_group", 1).creator == ALICE
    assert chain.store.entry(key) is None
    ledger = chain.close_ledger()
    entry = chain.store.entry(key)
    assert entry is not None
    assert (entry.modified, entry.live_until) == (ledger, ledger + ENTRY_LIFETIME)


def test_writing_an_entry_again_does_not_lengthen_its_life() -> None:
    chain = Chain()
    group = with_group(chain)
    key = raw(GroupKey(group).to_xdr(chain.contract))
    before = chain.store.entry(key)
    chain.close_ledger(10)
    chain.call(CAROL, "join_group", CAROL, group)
    chain.close_ledger()
    after = chain.store.entry(key)
    assert before is not None
    assert after is not None
    assert after.modified == before.modified + 11
    assert after.live_until == before.live_until


def test_a_failed_call_changes_nothing_and_emits_nothing() -> None:
    chain = Chain()
    group = with_group(chain, amount=5000)
    failed = chain.call(ALICE, "contribute", ALICE, group)
    assert failed.error == 12
    ledger = chain.close_ledger()
    stored = chain.store.transaction(failed.hash)
    assert stored is not None
    assert not stored.successful
    assert [each for each in chain.store.events("0", "9") if each.ledger == ledger] == []
    assert chain.read(ContribKey(group, 1, ALICE)) is None


def test_the_error_of_a_failed_transaction_is_in_its_diagnostics_alone() -> None:
    chain = Chain()
    failed = chain.call(ALICE, "join_group", ALICE, 9)
    chain.close_ledger()
    stored = chain.store.transaction(failed.hash)
    assert stored is not None
    event = DiagnosticEvent.from_xdr(stored.details["diagnosticEventsXdr"][0])
    topic = event.event.body.v0.topics[1] if event.event.body.v0 else None
    assert topic is not None
    assert topic.error is not None
    assert (topic.error.type, topic.error.contract_code and topic.error.contract_code.uint32) == (
        SCErrorType.SCE_CONTRACT,
        1,
    )
    result = TransactionResult.from_xdr(stored.details["resultXdr"])
    assert result.result.code.name == "txFAILED"


def test_the_xdr_around_a_transaction_can_be_read_and_has_its_return_value() -> None:
    chain = Chain()
    made = chain.call(ALICE, "create_group", ALICE, chain.token, 1, HOUR, 3, 0, 0, 0)
    chain.close_ledger()
    stored = chain.store.transaction(made.hash)
    assert stored is not None
    assert TransactionEnvelope.from_xdr(stored.details["envelopeXdr"]).v1 is not None
    meta = TransactionMeta.from_xdr(stored.details["resultMetaXdr"]).v4
    assert meta is not None
    assert meta.soroban_meta is not None
    assert meta.soroban_meta.return_value is not None
    assert decode_result("create_group", meta.soroban_meta.return_value.to_xdr()) == 1
    assert [each.to_xdr() for each in meta.operations[0].events] == list(stored.events)


def test_time_passes_by_ledgers_and_by_hand() -> None:
    chain = Chain(genesis_close=1000)
    assert chain.range().last_close == 1000 + LEDGER_SECONDS
    chain.advance(HOUR)
    assert chain.open_ledger().close == 1000 + 2 * LEDGER_SECONDS + HOUR
    chain.close_ledger(3)
    assert (chain.latest, chain.range().last_close) == (5, 1000 + 4 * LEDGER_SECONDS + HOUR)


def test_a_clock_sets_the_close_times_and_they_only_grow() -> None:
    now = [2000.0]
    chain = Chain(genesis_close=1000, clock=lambda: now[0])
    assert chain.range().last_close == 2000
    chain.close_ledger()
    assert chain.range().last_close == 2001
    now[0] = 3000.0
    chain.close_ledger()
    assert chain.range().last_close == 3000


def test_a_whole_group_lives_from_its_founding_to_its_end() -> None:
    chain = Chain()
    group = with_group(chain)
    for member in (ALICE, BOB):
        assert chain.call(ALICE, "execute_payout", group).error == 6
        assert chain.call(ALICE, "contribute", ALICE, group).error is None
        assert chain.call(BOB, "contribute", BOB, group).error is None
        assert chain.call(ALICE, "execute_payout", group).error == 16
        chain.close_ledger()
        chain.advance(HOUR + 60)
        before = chain.balance(member)
        assert chain.call(ALICE, "execute_payout", group).error is None
        assert chain.balance(member) == before + 200
    chain.close_ledger()
    assert chain.view("get_group", group).status == "completed"
    with pytest.raises(CallFailed):
        chain.view("get_group", group + 1)


def test_old_ledgers_are_forgotten_with_their_events_and_the_entries_stay() -> None:
    chain = Chain(retention=5)
    group = with_group(chain)
    chain.close_ledger(20)
    span = chain.range()
    assert span.last - span.first == 4
    assert list(chain.store.events("0", "9")) == []
    assert chain.store.entry(raw(GroupKey(group).to_xdr(chain.contract))) is not None


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    chain = Chain(folder=tmp_path)
    group = with_group(chain)
    chain.call(ALICE, "contribute", ALICE, group)
    last = chain.close_ledger()
    events = list(chain.store.events("0", "9"))
    chain.store.close()
    again = Chain(folder=tmp_path)
    assert again.latest == last
    assert list(again.store.events("0", "9")) == events
    assert again.call(ALICE, "contribute", ALICE, group).error == 5
    assert again.call(BOB, "contribute", BOB, group).error is None
    assert again.close_ledger() == last + 1


def test_what_was_in_an_open_ledger_is_gone_after_a_crash(tmp_path: Path) -> None:
    chain = Chain(folder=tmp_path)
    group = with_group(chain)
    chain.call(CAROL, "join_group", CAROL, group)
    again = Chain(folder=tmp_path)
    assert again.view("list_members", group) == (ALICE, BOB)
    assert again.call(CAROL, "join_group", CAROL, group).error is None


def test_a_ledger_that_cannot_be_written_leaves_no_trace(tmp_path: Path) -> None:
    chain = Chain(folder=tmp_path)
    with_group(chain)
    last = chain.latest
    tx_hash = chain.call(CAROL, "join_group", CAROL, 1).hash
    chain.open_ledger().transactions *= 2
    with pytest.raises(sqlite3.IntegrityError):
        chain.close_ledger()
    again = Chain(folder=tmp_path)
    assert again.latest == last
    assert again.store.transaction(tx_hash) is None
    assert again.view("list_members", 1) == (ALICE, BOB)


def test_a_folder_of_another_network_is_refused(tmp_path: Path) -> None:
    Chain("One Network", tmp_path).store.close()
    with pytest.raises(ValueError, match="One Network"):
        Chain("Other Network", tmp_path)


def test_a_reset_starts_the_network_again() -> None:
    chain = Chain()
    group = with_group(chain)
    chain.close_ledger(50)
    chain.reset()
    assert chain.latest == 2
    assert chain.read(GroupKey(group)) is None
    assert with_group(chain) == 1


def test_a_replica_stays_behind_until_it_catches_up() -> None:
    chain = Chain()
    group = with_group(chain)
    node = chain.replica()
    chain.call(CAROL, "join_group", CAROL, group)
    chain.close_ledger()
    assert node.latest == chain.latest - 1
    assert node.view("list_members", group) == (ALICE, BOB)
    node.catch_up(chain)
    assert node.latest == chain.latest
    assert node.view("list_members", group) == (ALICE, BOB, CAROL)


def test_ten_thousand_groups_are_made_in_one_ledger() -> None:
    chain = Chain()
    for _ in range(10_000):
        chain.call(ALICE, "create_group", ALICE, chain.token, 1, HOUR, 3, 0, 0, 0)
    ledger = chain.close_ledger()
    assert chain.read(InstanceKey()).group_counter == 10_000
    entry = chain.store.entry(raw(GroupKey(10_000).to_xdr(chain.contract)))
    assert entry is not None
    assert entry.modified == ledger


def test_the_same_calls_make_the_same_chain_whoever_makes_them() -> None:
    def made() -> list[str]:
        chain = Chain()
        with_group(chain)
        return [each.tx_hash for each in chain.store.events("0", "9")]

    assert made() == made()


def test_calls_from_several_threads_all_count() -> None:
    chain = Chain()

    def work() -> None:
        for _ in range(50):
            chain.call(ALICE, "create_group", ALICE, chain.token, 1, HOUR, 3, 0, 0, 0)
            chain.close_ledger()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert chain.read(InstanceKey()).group_counter == 200
