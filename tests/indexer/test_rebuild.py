"""The rebuild against the sandbox: whatever the tables held, they equal the chain afterwards."""

from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from ajo.indexer.follow import sync_pass
from ajo.indexer.rebuild import rebuild_groups
from ajo.indexer.redecode import redecode
from ajo.soroban.contract.keys import GroupKey, RefundKey
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution, Payout, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, GroupMember, User
from tests.support.answers import corrupt_answer, with_group_count
from tests.support.commands import run_command
from tests.support.comparison import differences
from tests.support.following import assert_equal, catch_up, corrupt_entry, make_groups
from tests.support.histories import History, contract_entries
from tests.support.nodes import use_nodes
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def spoil() -> None:
    """Wrong in every way that a table can be wrong."""
    group = Group.objects.order_by("id")[0]
    Group.objects.filter(pk=group.pk).update(name="not its name", contribution_amount=7, synced_ledger=2**31)
    gone = Group.objects.order_by("id")[1]
    for model in (Contribution, Payout):
        model.objects.filter(group=gone).delete()
    gone.delete()
    GroupMember.objects.filter(group_id=3).delete()
    surplus = Group.objects.get(pk=group.pk)
    surplus.pk = 999
    surplus.save(force_insert=True)
    user = User.objects.order_by("id")[0]
    Contribution.objects.create(group_id=999, user=user, round=1, amount=1)
    Contribution.objects.create(group_id=group.pk, user=user, round=77, amount=1)
    wrong = Contribution.objects.exclude(group_id=999).exclude(round=77).order_by("id")[0]
    Contribution.objects.filter(pk=wrong.pk).update(amount=wrong.amount + 1, event_id=None, ledger=None, tx_hash=None)


def test_an_empty_database_is_filled(sandbox: Sandbox) -> None:
    """Breaks if a rebuild needed a checkpoint."""
    History(sandbox.chain, 5).walk(40)
    run_command("rebuild")
    assert differences(contract_entries(sandbox.chain)) == []


def test_a_wrong_database_is_corrected_and_a_dry_run_only_says_so(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if a row that says it is newer were left alone, or if the dry run's transaction were kept."""
    History(sandbox.chain, 5).walk(40)
    run_command("sync")
    run_command("sweep")
    assert differences(contract_entries(sandbox.chain)) == []
    spoil()
    wrong = differences(contract_entries(sandbox.chain))
    assert wrong
    answer = run_command("rebuild", "--dry-run")
    assert "would change" in answer
    assert "groups_removed 1" in answer
    assert "contributions_removed 2" in answer  # the one of round 77 and the one of another amount
    assert differences(contract_entries(sandbox.chain)) == wrong
    rebuilds = SyncRun.objects.filter(kind=SyncRun.Kind.REBUILD)
    assert not rebuilds.exists()
    assert "goes on after" not in run_command("rebuild")
    assert (rebuilds.get().outcome, rebuilds.get().counts["groups_removed"]) == (SyncRun.Outcome.OK, 1)
    assert differences(contract_entries(sandbox.chain)) == []
    assert "groups_changed 0" in run_command("rebuild", "--dry-run")
    Checkpoint.objects.update(rebuilt_to=2)
    assert "goes on after group 2, " in run_command("rebuild")


def test_a_rebuild_that_was_killed_goes_on_where_it_was(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajo.indexer.rebuild.REBUILD_BATCH", 2)
    History(sandbox.chain, 5).walk(40)
    while not sync_pass(client_of_chain).caught_up:
        pass
    steps = rebuild_groups(lambda read: read(client_of_chain))
    assert next(steps).done == 2
    del steps
    assert Checkpoint.objects.get().rebuilt_to == 2
    assert next(rebuild_groups(lambda read: read(client_of_chain))).done == 4


def test_a_rebuild_after_events_were_pruned_says_that_they_are_missing(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if beginning anew moved the cursor past what was never read: the gap would be nowhere."""
    history = History(sandbox.chain, 8)
    history.walk(30)
    catch_up(client_of_chain)
    left = Checkpoint.objects.get().ledger
    history.walk(30)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    run_command("rebuild")
    assert HistoryGap.objects.get().from_ledger == left
    assert_equal(sandbox)


def test_a_rebuild_leaves_no_gap_in_what_the_log_has(sandbox: Sandbox) -> None:
    """The events were read, though the node keeps only the newest by now."""
    History(sandbox.chain, 8).walk(30)
    for _ in range(3):  # never away for as long as the node keeps events
        run_command("sync")
        sandbox.chain.close_ledger(sandbox.chain.retention // 2)
    Contribution.objects.all().delete()
    run_command("rebuild")
    assert not HistoryGap.objects.exists()
    assert not Contribution.objects.filter(event_id=None).exists()
    assert_equal(sandbox)


def test_a_rebuild_puts_wrong_payouts_and_refunds_right_and_keeps_their_transactions(sandbox: Sandbox) -> None:
    History(sandbox.chain, 7).walk(40)
    run_command("sync")
    stored = {model: list(model.objects.order_by("group", "round", "user").values()) for model in (Payout, Refund)}
    assert all(stored.values())
    Payout.objects.update(amount=7, ledger=2**31)
    Refund.objects.update(amount=7, reason=(Refund.objects.all()[0].reason + 1) % 3)
    answer = run_command("rebuild")
    for model, rows in stored.items():
        name = f"{model.__name__.lower()}s"
        assert f"{name}_removed {len(rows)}" in answer
        assert f"{name}_added {len(rows)}" in answer
        again = model.objects.order_by("group", "round", "user").values()
        assert [row | {"id": 0} for row in again] == [row | {"id": 0} for row in rows]
    assert_equal(sandbox)


def test_of_an_empty_database_a_dry_run_says_that_it_is_and_leaves_it_so(sandbox: Sandbox) -> None:
    make_groups(sandbox, 1)
    assert "it would fill them" in run_command("rebuild", "--dry-run")
    assert not Checkpoint.objects.exists()


def test_a_refund_whose_entry_cannot_be_read_survives_a_rebuild(sandbox: Sandbox) -> None:
    """Breaks if an entry that nobody can read proved nothing: what its event told would be removed, for good."""
    History(sandbox.chain, 7).walk(40)
    run_command("sync")
    refund = Refund.objects.select_related("user").order_by("id")[0]
    stored = Refund.objects.count()
    sandbox.chain.close_ledger(sandbox.chain.retention)
    run_command("sync")
    corrupt_entry(sandbox, RefundKey(refund.group_id, refund.user.wallet_address))
    assert "refunds_removed 0" in run_command("rebuild")
    assert Refund.objects.count() == stored


def test_a_rebuild_mends_the_log_the_joining_times_and_whose_event_a_row_is(sandbox: Sandbox) -> None:
    """Breaks if what stands there already were left alone: a transaction that never was would be shown for good."""
    History(sandbox.chain, 8).walk(30)
    run_command("sync")

    def stored_state() -> list[Any]:
        return [
            list(ContractEvent.objects.order_by("id").values()),
            list(GroupMember.objects.order_by("group", "position").values("group", "user", "joined_at")),
            list(Contribution.objects.order_by("group", "round", "user").values("event_id", "tx_hash", "ledger")),
        ]

    right = stored_state()
    ContractEvent.objects.update(tx_hash="b" * 64)
    GroupMember.objects.update(joined_at=timezone.now())
    one = Contribution.objects.order_by("id")[0]
    Contribution.objects.filter(pk=one.pk).update(event_id=f"9{str(one.event_id)[1:]}", tx_hash="b" * 64)
    run_command("rebuild")
    assert stored_state() == right


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


def test_one_node_alone_removes_no_group(sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings) -> None:
    """Breaks if a rebuild asked one node alone for the count, for the groups that are absent, and for the surplus."""
    make_groups(sandbox, 5)
    catch_up(client_of_chain)
    gone = {GroupKey(number).to_xdr(sandbox.contract) for number in (4, 5)}
    count = with_group_count(3)

    def without(answer: dict[str, Any]) -> None:
        count(answer)
        answer["entries"] = [each for each in answer["entries"] if each["key"] not in gone]

    with Sandbox(sandbox.chain.replica()) as faulty:
        corrupt_answer(faulty, "getLedgerEntries", without, times=1000)
        use_nodes(settings, faulty, sandbox)
        for _ in rebuild_groups(nodes().run):
            pass
    assert sorted(Group.objects.values_list("pk", flat=True)) == [1, 2, 3, 4, 5]
    assert_equal(sandbox)
