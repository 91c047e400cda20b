"""A node that leaves out groups which it counts: one group's trouble never stops the others, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.missing import missing_groups
from ajo.soroban.contract.keys import GroupKey
from ajo.soroban.models import Checkpoint, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from groups.snapshots import Undecoded
from groups.sync import store_undecoded
from tests.support.answers import corrupt_answer, count_calls, restore_answers
from tests.support.faults import when
from tests.support.following import assert_equal, assert_next_passes_write, catch_up, make_groups, submit
from tests.support.nodes import use_nodes
from tests.support.proxy import Proxy
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)
ALWAYS = 10_000


def without(sandbox: Sandbox, *group_ids: int) -> Callable[[dict[str, Any]], None]:
    """Return a change that takes the GROUP entries of these groups out of an answer."""
    keys = {GroupKey(group_id).to_xdr(sandbox.contract) for group_id in group_ids}

    def change(answer: dict[str, Any]) -> None:
        answer["entries"] = [each for each in answer["entries"] if each["key"] not in keys]

    return change


def leave_out(sandbox: Sandbox, *group_ids: int, times: int = ALWAYS) -> None:
    corrupt_answer(sandbox, "getLedgerEntries", without(sandbox, *group_ids), times=times)


def join(sandbox: Sandbox, *group_ids: int) -> None:
    second = wallets(4)[3]
    submit(sandbox, [(second, "join_group", second, group_id) for group_id in group_ids])


@pytest.mark.parametrize("left_out", [(2,), (2, 3)])
def test_a_known_group_that_the_only_node_leaves_out_is_set_aside(
    sandbox: Sandbox, client_of_chain: SorobanClient, left_out: tuple[int, ...]
) -> None:
    """Breaks if every pass failed from then on: all groups would stand still."""
    make_groups(sandbox, 4)
    catch_up(client_of_chain)
    before = list(Group.objects.filter(pk__in=left_out).order_by("pk").values())
    leave_out(sandbox, *left_out)
    join(sandbox, 4, *left_out)
    catch_up(client_of_chain)
    assert Group.objects.get(pk=4).member_count == 2
    assert list(Group.objects.filter(pk__in=left_out).order_by("pk").values()) == before
    assert [entry.group_id for entry in UndecodedEntry.objects.order_by("group_id")] == list(left_out)
    assert "does not have this one" in UndecodedEntry.objects.earliest("id").error
    assert_next_passes_write(sandbox, client_of_chain)
    assert missing_groups() == list(left_out)
    restore_answers(sandbox)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    assert not UndecodedEntry.objects.exists()


def test_a_new_group_that_is_left_out_comes_with_its_history(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """It is the last one: the count stays until the node has it. Breaks if its events were lost or stopped the rest."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    first, second = wallets(2)
    for wallet in (first, second):
        sandbox.chain.fund(wallet)
    make_groups(sandbox, 1)
    submit(sandbox, [(second, "join_group", second, 2), (first, "contribute", first, 2)])
    leave_out(sandbox, 2)
    catch_up(client_of_chain)
    assert (Checkpoint.objects.get().group_count, Group.objects.filter(pk=2).exists()) == (1, False)
    assert missing_groups() == [2]
    sandbox.chain.close_ledger()
    ledger = Checkpoint.objects.get().ledger
    catch_up(client_of_chain)
    assert Checkpoint.objects.get().ledger > ledger
    restore_answers(sandbox)
    catch_up(client_of_chain)
    assert Checkpoint.objects.get().group_count == 2
    assert Contribution.objects.get(group_id=2).tx_hash
    assert_equal(sandbox)
    assert not UndecodedEntry.objects.exists()


def test_a_group_that_is_left_out_once_is_found_at_the_second_asking(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    join(sandbox, 2)
    leave_out(sandbox, 2, times=1)
    sync_pass(client_of_chain)
    assert not UndecodedEntry.objects.exists()
    assert_equal(sandbox)


def test_a_group_that_one_node_leaves_out_is_taken_from_another(sandbox: Sandbox, settings: Settings) -> None:
    make_groups(sandbox, 2)
    run_pass()
    join(sandbox, 1, 2)
    change = without(sandbox, 2)
    with Proxy(sandbox.url) as bad:
        use_nodes(settings, bad, sandbox)
        with bad.failing(when("getLedgerEntries", lambda answer: answer.changed(lambda a: change(a["result"])))):
            run_pass()
    assert not UndecodedEntry.objects.exists()
    assert_equal(sandbox)


@pytest.mark.parametrize("times", [3, ALWAYS])
def test_the_first_load_takes_no_answer_for_none(sandbox: Sandbox, client_of_chain: SorobanClient, times: int) -> None:
    """Breaks if the load believed one answer, or if it never ended."""
    make_groups(sandbox, 3)
    leave_out(sandbox, 2, times=times)
    catch_up(client_of_chain)
    assert Checkpoint.objects.get().is_loaded
    assert list(Group.objects.order_by("pk").values_list("pk", flat=True)) == ([1, 3] if times == ALWAYS else [1, 2, 3])
    assert missing_groups() == ([2] if times == ALWAYS else [])
    restore_answers(sandbox)
    assert_next_passes_write(sandbox, client_of_chain)
    assert_equal(sandbox)
    assert not UndecodedEntry.objects.exists()


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_node_that_has_none_of_the_groups_is_not_followed(
    sandbox: Sandbox, client_of_chain: SorobanClient, is_loaded: bool
) -> None:
    """Breaks if each were set aside: such a node has lost its entries, or is of another chain."""
    make_groups(sandbox, 3)
    if is_loaded:
        catch_up(client_of_chain)
        join(sandbox, 1, 2, 3)
    leave_out(sandbox, 1, 2, 3)
    with pytest.raises(NodeLagging, match="counts 3 groups and does not have group 1"):
        catch_up(client_of_chain)
    assert not UndecodedEntry.objects.exists()
    assert Group.objects.count() == (3 if is_loaded else 0)
    restore_answers(sandbox)
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_a_group_that_waits_costs_no_further_call(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 2)
    catch_up(client_of_chain)

    def calls_of_a_quiet_pass() -> int:
        sandbox.chain.close_ledger()
        calls = count_calls(sandbox)
        sync_pass(client_of_chain)
        return calls.total()

    before = calls_of_a_quiet_pass()
    join(sandbox, 2)
    leave_out(sandbox, 2)
    catch_up(client_of_chain)
    assert missing_groups() == [2]
    assert calls_of_a_quiet_pass() == before


def test_what_an_invented_event_named_is_not_waited_for(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """A lying node counted group 3 and announced it without having it. Breaks if passes asked for it for ever."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    store_undecoded([Undecoded(GroupKey(3).to_xdr(sandbox.contract), 3, "", "a lie", 5)])
    sandbox.chain.close_ledger()
    sync_pass(client_of_chain)
    assert missing_groups() == []
