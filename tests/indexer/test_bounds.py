"""Numbers from the chain that size the indexer's work: what they cause has an end."""

from dataclasses import replace
from typing import Any

import pytest
from django.core.management import call_command

from ajo.indexer.backfill import read_history
from ajo.indexer.follow import sync_pass
from ajo.indexer.redecode import redecode
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.entries import Entry, Group, Instance, decode_entry
from ajo.soroban.contract.keys import GroupKey, InstanceKey
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging, RpcInvalidAnswer
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox
from groups import models
from tests.support.answers import corrupt_answer, count_calls, restore_answers
from tests.support.following import assert_equal, catch_up, make_groups, read_entry, write_entry
from tests.support.histories import History
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)

MOST_CALLS = 50


@pytest.fixture(autouse=True)
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test here asks for what some calls can give; without an end, memory would be gone before time is."""
    calls = [0]
    get_entries = SorobanClient.get_entries

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        assert calls[0] < MOST_CALLS
        return get_entries(*args, **kwargs)

    monkeypatch.setattr(SorobanClient, "get_entries", counted)


def grow(sandbox: Sandbox, **values: Any) -> str:
    """Write other values into group 1's entry; the entry before."""
    before = read_entry(sandbox, GroupKey(1))
    entry = decode_entry(before)
    write_entry(sandbox, GroupKey(1), Entry(entry.contract, entry.key, replace(entry.value, **values)).to_xdr())
    return before


@pytest.mark.parametrize("rounds", [2**32 - 1, 30_000])
def test_a_group_of_more_rounds_than_there_can_be_is_stored_undecoded(
    sandbox: Sandbox, client_of_chain: SorobanClient, rounds: int
) -> None:
    """Breaks with all memory gone: members × rounds keys were listed."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    before = grow(sandbox, current_cycle=rounds, payout_index=2**32 - 1, cycle_duration=2**64 - 1)
    list(sweep_groups(lambda read: read(client_of_chain)))
    list(sweep_deep(lambda read: read(client_of_chain)))
    redecode(lambda read: read(client_of_chain))
    assert f"in round {rounds}" in UndecodedEntry.objects.get().error
    assert list(models.Group.objects.filter(unreadable_since=None).values_list("pk", flat=True)) == [2]
    write_entry(sandbox, GroupKey(1), before)
    list(sweep_groups(lambda read: read(client_of_chain)))
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_a_row_of_more_rounds_than_there_can_be_is_not_recovered(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """An earlier version, or a false answer, has left such a row."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    models.Group.objects.filter(pk=1).update(current_round=2**32 - 1, entry_xdr="AAAA")
    HistoryGap.objects.create(
        network_passphrase=sandbox.chain.passphrase, contract=sandbox.contract, from_ledger=1, to_ledger=2, why="a test"
    )
    catch_up(client_of_chain)
    assert HistoryGap.objects.get().recovered_at is not None
    list(sweep_deep(lambda read: read(client_of_chain), only=[1]))
    assert models.Group.objects.get(pk=1).current_round == 1


def test_keys_are_listed_in_portions(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """The group has as many keys as today's contract can give one."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    group = models.Group.objects.get()
    group.current_round = 6000
    calls = count_calls(sandbox)
    (evidence,) = read_history(client_of_chain, sandbox.contract, [group], again=True)
    assert calls == {"getLedgerEntries": 31}
    assert evidence.contributions == {}


def test_a_count_without_an_end_is_walked_by_nobody(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if it sized a list, or a sweep went on where the node has nothing more."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    Checkpoint.objects.update(group_count=2**63 - 1, swept_to=2**40, deep_swept_to=2**40)
    for run in (sweep_groups, sweep_deep):
        with pytest.raises(NodeLagging, match="has none of groups"):
            list(run(lambda read: read(client_of_chain), from_start=True))
    Checkpoint.objects.update(rebuilt_to=0)

    def counted(answer: dict[str, Any]) -> None:
        for each in answer["entries"]:
            entry = decode_entry(each["xdr"])
            if isinstance(entry.value, Instance):
                more = replace(entry.value, group_counter=2**64 - 1)
                each["xdr"] = Entry(entry.contract, InstanceKey(), more).to_xdr()

    corrupt_answer(sandbox, "getLedgerEntries", counted, times=100)
    nodes.cache_clear()
    with pytest.raises(Exception, match="groups"):
        call_command("rebuild")
    with pytest.raises(NodeLagging):
        sync_pass(client_of_chain)
    restore_answers(sandbox)
    catch_up(client_of_chain)
    assert Checkpoint.objects.get().group_count == 2
    assert_equal(sandbox)


def test_a_first_load_of_a_count_without_an_end_ends(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 2)

    def counted(answer: dict[str, Any]) -> None:
        for each in answer["entries"]:
            entry = decode_entry(each["xdr"])
            if isinstance(entry.value, Instance):
                more = replace(entry.value, group_counter=2**64 - 1)
                each["xdr"] = Entry(entry.contract, InstanceKey(), more).to_xdr()

    corrupt_answer(sandbox, "getLedgerEntries", counted, times=100)
    with pytest.raises(NodeLagging):
        sync_pass(client_of_chain)
    assert SyncRun.objects.latest("id").outcome == SyncRun.Outcome.FAILED


def test_an_entry_larger_than_the_network_keeps_is_not_decoded(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    corrupt_answer(sandbox, "getLedgerEntries", lambda answer: answer["entries"][0].update(xdr="A" * 2**20), times=100)
    with pytest.raises(RpcInvalidAnswer, match="characters"):
        client_of_chain.get_entries([GroupKey(1).to_xdr(sandbox.contract)])


def test_the_most_that_the_contract_allows_is_read(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if the bound were too low: 100 members, each of whom is paid once."""
    History(sandbox.chain, 5).walk(3)
    make_groups(sandbox, 1)
    last = sandbox.chain.view("list_members", 1)
    group = decode_entry(read_entry(sandbox, GroupKey(1))).value
    assert isinstance(group, Group)
    grow(sandbox, members=(*last, *wallets(100)[len(last) :]), current_cycle=100, max_members=100, payout_index=99)
    catch_up(client_of_chain)
    assert models.Group.objects.get(pk=1).current_round == 100
    assert not UndecodedEntry.objects.exists()
