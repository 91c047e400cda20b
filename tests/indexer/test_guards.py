"""What a node or a group's creator may answer: nothing of it stops the sync for good, or ages a row under its label."""

import base64
from contextlib import suppress
from typing import Any

import pytest
from pytest_django import Settings
from stellar_sdk import Address, StrKey, scval
from stellar_sdk.xdr import ContractDataDurability, ContractDataEntry, ExtensionPoint, LedgerEntryData, LedgerEntryType

from ajo.indexer.follow import sync_pass
from ajo.indexer.rebuild import rebuild_groups
from ajo.indexer.redecode import redecode
from ajo.indexer.tasks import sync
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.codec import b64
from ajo.soroban.contract.entries import Entry, Instance
from ajo.soroban.contract.keys import BalanceKey, GroupKey, InstanceKey
from ajo.soroban.contract.tokens import METADATA, TokenText
from ajo.soroban.models import Checkpoint, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging, RpcUnavailable
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution
from devtools.sandbox.rpc_error import METHOD_NOT_FOUND, RpcError
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, Token
from groups.tokens import _describe
from tests.support.answers import corrupt_answer
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import History
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def put(**values: Any) -> Any:
    return lambda said: said.update(values)


def put_event(**values: Any) -> Any:
    return lambda said: [each.update(values) for each in said["events"]]


def put_entry(**values: Any) -> Any:
    return lambda said: [each.update(values) for each in said["entries"]]


def rename(said: Any) -> None:
    """Events of a name that the host would not allow: unreadable, but the group stands second."""
    for each in said["events"]:
        each["topic"][0] = b64(scval.to_symbol("a").to_xdr_bytes()[:-4] + b"\0\0\0\0")


ANY = StrKey.encode_contract(bytes(32))
FAR = f"{(4_000_000_000 << 31):019d}-0000000000"
LIES = [
    ("getEvents", put(latestLedger=10**30)),
    ("getEvents", put(latestLedger=-5)),
    ("getEvents", put(latestLedger=4_000_000_000)),
    ("getEvents", put(latestLedger=4_000_000_000, latestLedgerCloseTime=253402300799)),
    ("getEvents", put(latestLedgerCloseTime=10**18)),
    ("getEvents", put(latestLedgerCloseTime="253402300799")),
    ("getEvents", put(oldestLedger=10**30)),
    ("getEvents", put(cursor=FAR)),
    ("getEvents", put(cursor="\u0663" * 19 + "-0000000000")),
    ("getEvents", put_event(topic=["\u0000"])),
    ("getEvents", put_event(value="\u0000")),
    ("getEvents", put_event(value="\ud800")),
    ("getEvents", put_event(ledgerClosedAt="0001-01-01T00:00:00+23:00")),
    ("getEvents", rename),
    ("getLedgerEntries", put_entry(xdr="\u0000")),
    ("getLedgerEntries", put_entry(xdr="\ud800")),
    ("getLedgerEntries", put_entry(liveUntilLedgerSeq=10**30)),
    ("getLedgerEntries", put_entry(liveUntilLedgerSeq=-1)),
]


@pytest.mark.parametrize("number", range(len(LIES)))
def test_one_false_answer_is_a_failed_pass_at_most(
    sandbox: Sandbox, client_of_chain: SorobanClient, number: int
) -> None:
    history = History(sandbox.chain, 9)
    history.walk(15)
    catch_up(client_of_chain)
    history.walk(15)
    make_groups(sandbox, 1)
    corrupt_answer(sandbox, *LIES[number])
    try:
        sync_pass(client_of_chain)
    except ChainError:
        assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED
    history.walk(3)
    catch_up(client_of_chain)
    UndecodedEntry.objects.all().delete()
    assert_equal(sandbox)


FIRST = [
    ("getHealth", put(latestLedger=4_000_000_000)),
    ("getHealth", put(latestLedger=4_000_000_000, oldestLedger=4_000_000_000)),
    ("getHealth", put(ledgerRetentionWindow=-(10**30))),
    ("getNetwork", put(passphrase="\u0000")),
    ("getEvents", put(latestLedger=4_000_000_000)),
    ("getEvents", put(cursor=FAR)),
]


@pytest.mark.parametrize("number", range(len(FIRST)))
def test_a_false_answer_at_first_contact_does_not_stay(
    sandbox: Sandbox, client_of_chain: SorobanClient, number: int
) -> None:
    History(sandbox.chain, 9).walk(15)
    corrupt_answer(sandbox, *FIRST[number])
    with suppress(ChainError):
        sync_pass(client_of_chain)
    catch_up(client_of_chain)
    assert_equal(sandbox)


ERRORS = ["a\\u0000b", "\\ud800", "startLedger must be within the ledger range: 5 - " + "9" * 300]


@pytest.mark.parametrize("message", ERRORS)
@pytest.mark.parametrize("code", [-32600, -32602, -32603, 10**30])
def test_a_nodes_words_are_stored_whatever_they_are(
    sandbox: Sandbox, client_of_chain: SorobanClient, message: str, code: int
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    body = f'{{"jsonrpc":"2.0","id":"$id","error":{{"code":{code},"message":"{message}"}}}}'
    sandbox.answer_next(200, body.encode())
    with pytest.raises(ChainError):
        sync_pass(client_of_chain)
    assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED
    sandbox.answer_next(200, body.encode(), times=9)
    nodes.cache_clear()
    sync()
    sandbox.server.canned.clear()
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_an_event_that_no_version_here_knows_has_its_group_read_again(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    (_, second) = wallets(2)
    sandbox.chain.call(second, "join_group", second, 1)
    sandbox.chain.close_ledger()
    corrupt_answer(
        sandbox, "getEvents", lambda said: [each.update(topic=[UNKNOWN, each["topic"][1]]) for each in said["events"]]
    )
    catch_up(client_of_chain)
    assert_equal(sandbox)


UNKNOWN = b64(scval.to_symbol("merged").to_xdr_bytes())


def test_what_is_announced_twice_is_written_once(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 1)
    (creator,) = wallets(1)
    sandbox.chain.fund(creator)
    sandbox.chain.call(creator, "contribute", creator, 1)
    sandbox.chain.close_ledger()

    def twice(said: Any) -> None:
        again = [dict(each, id=each["id"][:-1] + "7") for each in said["events"]]
        said["events"] = sorted(said["events"] + again, key=lambda each: str(each["id"]))

    corrupt_answer(sandbox, "getEvents", twice)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    assert Contribution.objects.get().event_id is not None


def test_a_token_with_an_absurd_balance_stops_no_deep_sweep(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Whoever makes a group chooses its token, and a token contract may keep anything under its keys."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    key = BalanceKey(sandbox.contract).to_xdr(sandbox.chain.token)
    for absurd in (scval.to_uint256(2**256 - 1), scval.to_int256(-(2**255)), scval.to_bool(True), scval.to_vec([])):
        entry = LedgerEntryData(
            LedgerEntryType.CONTRACT_DATA,
            contract_data=ContractDataEntry(
                ext=ExtensionPoint(0),
                contract=Address(sandbox.chain.token).to_xdr_sc_address(),
                key=scval.to_vec([scval.to_symbol("Balance"), scval.to_address(sandbox.contract)]),
                durability=ContractDataDurability.PERSISTENT,
                val=absurd,
            ),
        )
        with sandbox.chain.store.ledger():
            sandbox.chain.put_entry(sandbox.chain.latest, base64.b64decode(key), entry.to_xdr())
        list(sweep_deep(lambda read: read(client_of_chain)))
        assert Token.objects.get().balance is None


def test_tokens_that_cannot_be_read_hold_nothing_up(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RpcUnavailable("too many kilobytes")

    monkeypatch.setattr("ajo.indexer.follow.read_tokens", refuse)
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_a_symbol_as_long_as_an_entry_can_be_is_no_symbol() -> None:
    token = Token(address="C" * 56)
    said = Instance("ab" * 32, extra=((METADATA, TokenText.codec.to_xdr(TokenText(7, b"n", b"S" * 60_000))),))
    _describe(token, Entry(ANY, InstanceKey(), said).to_xdr())
    assert token.symbol is None


def test_an_instance_that_was_set_aside_is_taken_up_again(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    key = InstanceKey().to_xdr(sandbox.contract)
    UndecodedEntry.objects.create(key=key, group_id=None, xdr="AAAA", error="not known then", ledger=1)
    assert redecode(lambda read: read(client_of_chain)) == (1, 0)


def test_a_rebuild_and_a_redecode_believe_no_node_behind_the_tables(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    behind = sandbox.chain.replica()
    (_, second) = wallets(2)
    sandbox.chain.call(second, "join_group", second, 1)
    sandbox.chain.close_ledger()
    UndecodedEntry.objects.create(
        key=GroupKey(1).to_xdr(sandbox.contract), group_id=1, xdr="AAAA", error="not known then", ledger=1
    )
    with Sandbox(behind) as lagging:
        slow = SorobanClient(lagging.url, retries=0)

        def meanwhile(read: Any) -> None:
            """A pass comes between the rebuild's beginning and its first groups."""
            read(slow)
            catch_up(client_of_chain)

        with pytest.raises(NodeLagging):
            list(rebuild_groups(meanwhile))
        Group.objects.update(synced_ledger=1)
        with pytest.raises(NodeLagging):
            redecode(lambda read: read(slow))
        slow.close()
    Group.objects.update(synced_ledger=Checkpoint.objects.get().ledger)
    assert_equal(sandbox)


def test_a_group_that_is_made_during_a_rebuild_is_no_surplus(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    for step in rebuild_groups(lambda read: read(client_of_chain)):
        if step.total == 1:
            make_groups(sandbox, 1)
            catch_up(client_of_chain)
    assert_equal(sandbox)
    assert int(Checkpoint.objects.get().group_count) == 2
    assert step.counts["groups_removed"] == 0


def test_a_node_that_refuses_what_others_answer_is_left(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    with Sandbox(sandbox.chain.replica()) as older:

        def refuse(method: str, params: Any) -> Any:
            raise RpcError(METHOD_NOT_FOUND, f"{method} is not known here")

        older.rpc.call = refuse  # type: ignore[method-assign]
        settings.SOROBAN_RPC_URL = [older.url, sandbox.url]
        nodes.cache_clear()
        make_groups(sandbox, 1)
        sync()
    assert_equal(sandbox)
