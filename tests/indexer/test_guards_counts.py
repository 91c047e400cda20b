"""Counts of groups: one that a node cannot back by its groups is not believed, and invented groups are removed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from ajo import cache
from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract import events
from ajo.soroban.contract.entries import Entry, decode_entry
from ajo.soroban.contract.keys import GroupKey, InstanceKey
from ajo.soroban.models import Checkpoint, ContractEvent
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox
from groups import models
from groups.cached import group_answer, read_group
from tests.support.answers import corrupt_answer, with_group_count
from tests.support.commands import run_command
from tests.support.following import assert_equal, assert_next_passes_write, catch_up, make_groups
from tests.support.nodes import use_nodes
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def test_groups_that_are_not_there_are_not_counted(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if a count were believed by itself: every correct one that comes later would be another chain's."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    corrupt_answer(sandbox, "getLedgerEntries", with_group_count(7))
    make_groups(sandbox, 1)
    with pytest.raises(NodeLagging, match="counts 7 groups and does not have group 7"):
        catch_up(client_of_chain)
    catch_up(client_of_chain)
    assert Checkpoint.objects.get().group_count == 3
    assert_equal(sandbox)


class Inventor:
    """A sandbox whose answers have groups that the chain does not have, and count them."""

    def __init__(self, sandbox: Sandbox, counted: int) -> None:
        self._sandbox, self._counted, self.true_answer = sandbox, counted, sandbox.rpc.call
        group = decode_entry(sandbox.rpc.call("getLedgerEntries", {"keys": [self._key(1)]})["entries"][0]["xdr"]).value
        self._xdr = Entry(sandbox.contract, GroupKey(counted), replace(group, id=counted)).to_xdr()
        sandbox.rpc.call = self.answer  # type: ignore[method-assign]

    def _key(self, number: int) -> str:
        return GroupKey(number).to_xdr(self._sandbox.contract)

    def answer(self, method: str, params: Any) -> Any:
        answer = self.true_answer(method, params)
        if method == "getLedgerEntries":
            for each in answer["entries"]:
                if each["key"] == InstanceKey().to_xdr(self._sandbox.contract):
                    entry = decode_entry(each["xdr"])
                    more = replace(entry.value, group_counter=self._counted)
                    each["xdr"] = Entry(entry.contract, InstanceKey(), more).to_xdr()
            if self._key(self._counted) in params["keys"]:
                invented = {"key": self._key(self._counted), "xdr": self._xdr, "lastModifiedLedgerSeq": 3}
                answer["entries"].append(invented)
        return answer

    def stop(self) -> None:
        self._sandbox.rpc.call = self.true_answer  # type: ignore[method-assign]


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
        return inventor.answer(method, params) if answers[0] <= 1 else inventor.true_answer(method, params)

    sandbox.rpc.call = lies_once  # type: ignore[method-assign]
    sandbox.chain.close_ledger()
    with suppress(ChainError):
        sync_pass(client_of_chain)
    assert Checkpoint.objects.get().group_count == 2
    inventor.stop()
    assert_next_passes_write(sandbox, client_of_chain)
    assert_equal(sandbox)


def test_groups_that_the_only_node_invented_are_removed_by_later_answers(
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
    assert_next_passes_write(sandbox, client_of_chain)
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

    def announced(answer: dict[str, Any]) -> None:
        answer["events"].append({
            "type": "contract", "ledger": answer["latestLedger"], "ledgerClosedAt": "2026-01-01T00:00:00Z",
            "id": f"{(answer['latestLedger'] << 32) + 4096:019d}-0000000000", "contractId": sandbox.contract,
            "txHash": "cd" * 32, "topic": list(topics), "value": value,
        })  # fmt: skip

    corrupt_answer(sandbox, "getEvents", announced)
    catch_up(client_of_chain)
    assert models.Group.objects.filter(pk=7).exists()
    inventor.stop()
    assert_next_passes_write(sandbox, client_of_chain)
    before = Checkpoint.objects.get().drift_total
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert Checkpoint.objects.get().drift_total > before  # what a sweep finds at its end is drift too
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
        use_nodes(settings, behind, sandbox)
        list(sweep_deep(nodes().run))
        assert models.Group.objects.filter(pk=3).exists()
    run_pass()
    assert_equal(sandbox)


def test_a_count_that_another_node_does_not_know_is_not_believed(sandbox: Sandbox, settings: Settings) -> None:
    make_groups(sandbox, 2)
    run_pass()
    with Sandbox(sandbox.chain.replica()) as correct:
        Inventor(sandbox, 7)
        for chain in (sandbox.chain, correct.chain):
            chain.close_ledger()
        use_nodes(settings, sandbox, correct)
        run_pass()
        assert Checkpoint.objects.get().group_count == 2
    assert not ContractEvent.objects.filter(group_id=7).exists()


def test_a_rebuild_removes_no_group_that_the_chain_has(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if the count alone decided: it may be one of long ago, where the contract's entry cannot be read."""
    make_groups(sandbox, 4)
    catch_up(client_of_chain)
    corrupt_answer(sandbox, "getLedgerEntries", with_group_count(2), times=100)
    assert "groups_removed 0" in run_command("rebuild", "--dry-run")
