"""Groups that one answer has otherwise: right answers correct them, and the other groups go on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.entries import Entry, Group, decode_entry
from ajo.soroban.models import Checkpoint, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups import models
from groups.cached import read_group
from tests.support.answers import corrupt_answer, restore_answers
from tests.support.faults import when
from tests.support.following import assert_equal, assert_next_passes_write, catch_up, make_groups
from tests.support.nodes import use_nodes
from tests.support.proxy import Proxy
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)
OTHER: dict[str, dict[str, Any]] = {"creator": {"creator": wallets(9)[8]}, "time": {"created_at": 7}}


def with_group_values(group_id: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that gives the group's entry other values, in whatever answer holds it."""

    def change(answer: dict[str, Any]) -> None:
        for each in answer["entries"]:
            entry = decode_entry(each["xdr"])
            if isinstance(entry.value, Group) and entry.value.id == group_id:
                each["xdr"] = Entry(entry.contract, entry.key, replace(entry.value, **values)).to_xdr()

    return change


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("groups_before", [0, 2])
def test_a_false_answer_about_a_new_group_stops_nothing(
    sandbox: Sandbox, client_of_chain: SorobanClient, groups_before: int, other: str
) -> None:
    """Breaks if correct answers were another chain's from then on."""
    if groups_before:
        make_groups(sandbox, groups_before)
        catch_up(client_of_chain)
    else:
        sync_pass(client_of_chain)
    make_groups(sandbox, 1)
    new = groups_before + 1
    corrupt_answer(sandbox, "getLedgerEntries", with_group_values(new, **OTHER[other]), times=100)
    catch_up(client_of_chain)
    stored = models.Group.objects.get(pk=new)
    assert (stored.creator.wallet_address, stored.created_at and stored.created_at.year) != (wallets(1)[0], 2025)
    restore_answers(sandbox)
    assert_next_passes_write(sandbox, client_of_chain)
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
    corrupt_answer(sandbox, "getLedgerEntries", with_group_values(2, **OTHER["creator"]), times=2)
    runs: dict[str, Callable[[], Any]] = {
        "pass": lambda: sync_pass(client_of_chain),
        "sweep": lambda: list(sweep_groups(lambda read: read(client_of_chain))),
        "deep sweep": lambda: list(sweep_deep(lambda read: read(client_of_chain))),
        "read-through": lambda: [read_group(group_id) for group_id in (2, 1)],
    }
    runs[reader]()
    assert models.Group.objects.get(pk=1).member_count == 2
    assert models.Group.objects.get(pk=2).creator.wallet_address == wallets(1)[0]
    restore_answers(sandbox)
    assert_next_passes_write(sandbox, client_of_chain)
    list(sweep_groups(lambda read: read(client_of_chain)))
    assert_equal(sandbox)


def test_a_group_of_which_every_answer_says_something_else_is_disputed(
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
    corrupt_answer(
        sandbox, "getLedgerEntries", lambda answer: with_group_values(2, created_at=next(times))(answer), times=100
    )
    catch_up(client_of_chain)
    assert models.Group.objects.get(pk=1).member_count == 2
    assert models.Group.objects.values().get(pk=2) == before
    assert "a second request says otherwise" in UndecodedEntry.objects.get().error
    restore_answers(sandbox)
    list(sweep_groups(lambda read: read(client_of_chain)))
    sync_pass(client_of_chain)
    assert_equal(sandbox)
    assert not UndecodedEntry.objects.exists()


def test_a_faulty_node_is_contradicted_by_another_node(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the same node were asked again: it goes on saying so."""
    make_groups(sandbox, 2)
    run_pass()
    (_, second) = wallets(2)
    sandbox.chain.call(second, "join_group", second, 2)
    sandbox.chain.close_ledger()
    with Proxy(sandbox.url) as faulty:
        use_nodes(settings, faulty, sandbox)
        change = with_group_values(2, **OTHER["creator"])
        with faulty.failing(when("getLedgerEntries", lambda answer: answer.changed(lambda a: change(a["result"])))):
            run_pass()
    assert_equal(sandbox)
