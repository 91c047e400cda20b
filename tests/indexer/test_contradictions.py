"""Groups and counts that one answer invented: honest answers put them right, and the other groups go on."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from ajo import cache
from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract import events
from ajo.soroban.contract.entries import Entry, Group, decode_entry
from ajo.soroban.contract.keys import GroupKey, InstanceKey
from ajo.soroban.models import Checkpoint, ContractEvent, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, WrongChain
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox
from groups import models
from groups.cached import group_answer, read_group
from tests.indexer.test_hostile import lie
from tests.indexer.test_other_chain import follow
from tests.support.faults import when
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import wallets
from tests.support.proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)

OTHER: dict[str, dict[str, Any]] = {"creator": {"creator": wallets(9)[8]}, "time": {"created_at": 7}}


def told(group_id: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    """The group's entry with other values, in whatever answer holds it."""

    def change(said: dict[str, Any]) -> None:
        for each in said["entries"]:
            entry = decode_entry(each["xdr"])
            if isinstance(entry.value, Group) and entry.value.id == group_id:
                each["xdr"] = Entry(entry.contract, entry.key, replace(entry.value, **values)).to_xdr()

    return change


class Inventor:
    """A sandbox whose answers have groups that the chain does not have, and count them."""

    def __init__(self, sandbox: Sandbox, counted: int) -> None:
        self._sandbox, self._counted, self._call = sandbox, counted, sandbox.rpc.call
        group = decode_entry(sandbox.rpc.call("getLedgerEntries", {"keys": [self._key(1)]})["entries"][0]["xdr"]).value
        self._xdr = Entry(sandbox.contract, GroupKey(counted), replace(group, id=counted)).to_xdr()
        sandbox.rpc.call = self.answer  # type: ignore[method-assign]

    def _key(self, number: int) -> str:
        return GroupKey(number).to_xdr(self._sandbox.contract)

    def answer(self, method: str, params: Any) -> Any:
        said = self._call(method, params)
        if method == "getLedgerEntries":
            for each in said["entries"]:
                if each["key"] == InstanceKey().to_xdr(self._sandbox.contract):
                    entry = decode_entry(each["xdr"])
                    more = replace(entry.value, group_counter=self._counted)
                    each["xdr"] = Entry(entry.contract, InstanceKey(), more).to_xdr()
            if self._key(self._counted) in params["keys"]:
                invented = {"key": self._key(self._counted), "xdr": self._xdr, "lastModifiedLedgerSeq": 3}
                said["entries"].append(invented)
        return said

    def stop(self) -> None:
        self._sandbox.rpc.call = self._call  # type: ignore[method-assign]


def next_passes(sandbox: Sandbox, client: SorobanClient) -> None:
    """Each of them has something to write, in an old group and a new one; none may fail."""
    for number, member in enumerate(wallets(3)[1:]):
        sandbox.chain.call(member, "join_group", member, 1)
        make_groups(sandbox, 1)
        catch_up(client)
        assert models.Group.objects.get(pk=1).member_count == 2 + number


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("groups_before", [0, 2])
def test_a_false_answer_about_a_new_group_stops_nothing(
    sandbox: Sandbox, client_of_chain: SorobanClient, groups_before: int, other: str
) -> None:
    """Breaks if honest answers were another chain's from then on."""
    if groups_before:
        make_groups(sandbox, groups_before)
        catch_up(client_of_chain)
    else:
        sync_pass(client_of_chain)
    make_groups(sandbox, 1)
    new = groups_before + 1
    lie(sandbox, "getLedgerEntries", told(new, **OTHER[other]), times=100)
    catch_up(client_of_chain)
    stored = models.Group.objects.get(pk=new)
    assert (stored.creator.wallet_address, stored.created_at and stored.created_at.year) != (wallets(1)[0], 2025)
    sandbox.rpc.__dict__.pop("call")
    next_passes(sandbox, client_of_chain)
    list(sweep_groups(lambda read: read(client_of_chain)))
    assert_equal(sandbox)
    assert not UndecodedEntry.objects.exists()
    assert Checkpoint.objects.get().halted == ""


@pytest.mark.parametrize("reader", ["pass", "sweep", "deep sweep", "read-through"])
def test_one_false_answer_about_a_known_group_changes_nothing(
    sandbox: Sandbox, client_of_chain: SorobanClient, reader: str
) -> None:
    """Breaks if the other groups of the same answer were not written, or this one were."""
    make_groups(sandbox, 3)
    catch_up(client_of_chain)
    (_, second) = wallets(2)
    for group_id in (1, 2):
        sandbox.chain.call(second, "join_group", second, group_id)
    sandbox.chain.close_ledger()
    lie(sandbox, "getLedgerEntries", told(2, **OTHER["creator"]), times=2)
    runs: dict[str, Callable[[], Any]] = {
        "pass": lambda: sync_pass(client_of_chain),
        "sweep": lambda: list(sweep_groups(lambda read: read(client_of_chain))),
        "deep sweep": lambda: list(sweep_deep(lambda read: read(client_of_chain))),
        "read-through": lambda: [read_group(group_id) for group_id in (2, 1)],
    }
    runs[reader]()
    assert models.Group.objects.get(pk=1).member_count == 2
    assert models.Group.objects.get(pk=2).creator.wallet_address == wallets(1)[0]
    sandbox.rpc.__dict__.pop("call")
    next_passes(sandbox, client_of_chain)
    list(sweep_groups(lambda read: read(client_of_chain)))
    assert_equal(sandbox)


def test_a_group_of_which_every_answer_says_something_else_is_set_aside(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    before = models.Group.objects.values().get(pk=2)
    (_, second) = wallets(2)
    for group_id in (1, 2):
        sandbox.chain.call(second, "join_group", second, group_id)
    sandbox.chain.close_ledger()
    times = iter(range(1000))
    lie(sandbox, "getLedgerEntries", lambda said: told(2, created_at=next(times))(said), times=100)
    catch_up(client_of_chain)
    assert models.Group.objects.get(pk=1).member_count == 2
    assert models.Group.objects.values().get(pk=2) == before
    assert "a second asking differs" in UndecodedEntry.objects.get().error
    sandbox.rpc.__dict__.pop("call")
    list(sweep_groups(lambda read: read(client_of_chain)))
    sync_pass(client_of_chain)
    assert_equal(sandbox)
    assert not UndecodedEntry.objects.exists()


def test_a_liar_is_contradicted_by_another_node(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the same node were asked again: it goes on saying so."""
    make_groups(sandbox, 2)
    run_pass()
    (_, second) = wallets(2)
    sandbox.chain.call(second, "join_group", second, 2)
    sandbox.chain.close_ledger()
    with Proxy(sandbox.url) as liar:
        follow(settings, liar, sandbox)
        change = told(2, **OTHER["creator"])
        with liar.failing(when("getLedgerEntries", lambda said: said.changed(lambda a: change(a["result"])))):
            run_pass()
    assert_equal(sandbox)


def test_a_whole_other_chain_is_still_recognised(sandbox: Sandbox) -> None:
    """Breaks if what two askings agree on were enough."""
    make_groups(sandbox, 3)
    run_pass()
    before = list(models.Group.objects.order_by("id").values())
    sandbox.chain.reset()
    sandbox.chain.close_ledger(3)
    make_groups(sandbox, 3)
    with pytest.raises(WrongChain):
        run_pass()
    assert Checkpoint.objects.get().halted
    assert list(models.Group.objects.order_by("id").values()) == before


@pytest.mark.parametrize("counted", [7, 2**63 + 5, 2**64 - 1])
def test_one_count_of_groups_that_are_not_there_is_not_believed(
    sandbox: Sandbox, client_of_chain: SorobanClient, counted: int
) -> None:
    """Breaks where the last group that the same answers invent is enough."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    inventor = Inventor(sandbox, counted)
    answers = [0]

    def lies_once(method: str, params: Any) -> Any:
        answers[0] += method == "getLedgerEntries"
        return inventor.answer(method, params) if answers[0] <= 1 else inventor._call(method, params)

    sandbox.rpc.call = lies_once  # type: ignore[method-assign]
    sandbox.chain.close_ledger()
    with suppress(ChainError):
        sync_pass(client_of_chain)
    assert Checkpoint.objects.get().group_count == 2
    inventor.stop()
    next_passes(sandbox, client_of_chain)
    assert_equal(sandbox)


def test_groups_that_the_only_node_invented_are_removed_by_its_honest_answers(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if a lower count were another chain's for ever; the group would stay in lists, and in the cache."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    inventor = Inventor(sandbox, 7)
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    read_group(7)
    assert group_answer(7).body
    assert Checkpoint.objects.get().group_count == 7
    inventor.stop()
    next_passes(sandbox, client_of_chain)
    assert Checkpoint.objects.get().group_count == 4
    with pytest.raises(cache.Absent):
        group_answer(7)
    assert_equal(sandbox)


def test_a_group_that_an_event_invented_goes_with_the_event(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Its number is beyond the contract's count. Breaks if only a rebuild looked at rows from there on."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    inventor = Inventor(sandbox, 7)
    sandbox.chain.close_ledger()
    topics, value = events.Created(7, wallets(1)[0], 50, 3).encode()

    def announced(said: dict[str, Any]) -> None:
        said["events"].append({
            "type": "contract", "ledger": said["latestLedger"], "ledgerClosedAt": "2026-01-01T00:00:00Z",
            "id": f"{(said['latestLedger'] << 32) + 4096:019d}-0000000000", "contractId": sandbox.contract,
            "txHash": "cd" * 32, "topic": list(topics), "value": value,
        })  # fmt: skip

    lie(sandbox, "getEvents", announced)
    catch_up(client_of_chain)
    assert models.Group.objects.filter(pk=7).exists()
    inventor.stop()
    next_passes(sandbox, client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain)))
    with pytest.raises(cache.Absent):
        group_answer(7)
    assert_equal(sandbox)


def test_a_group_that_is_not_counted_yet_is_not_removed(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings
) -> None:
    """Read for a client before the sync comes to it, while the sweep asks a node that is behind."""
    make_groups(sandbox, 2)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as behind:
        make_groups(sandbox, 1)
        read_group(3)
        follow(settings, behind, sandbox)
        list(sweep_deep(nodes().run))
        assert models.Group.objects.filter(pk=3).exists()
    run_pass()
    assert_equal(sandbox)


def test_a_count_that_another_node_does_not_know_is_not_believed(sandbox: Sandbox, settings: Settings) -> None:
    make_groups(sandbox, 2)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as honest:
        Inventor(sandbox, 7)
        for chain in (sandbox.chain, honest.chain):
            chain.close_ledger()
        follow(settings, sandbox, honest)
        run_pass()
        assert Checkpoint.objects.get().group_count == 2
    assert not ContractEvent.objects.filter(group_id=7).exists()
