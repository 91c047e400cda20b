"""The rebuild against the sandbox: whatever the tables held, they equal the chain afterwards."""

import pytest

from ajo.indexer.follow import sync_pass
from ajo.indexer.rebuild import rebuild_groups
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution, Payout
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, GroupMember, User
from tests.support.commands import run_command
from tests.support.comparison import differences
from tests.support.histories import History, contract_entries

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


def test_a_wrong_database_is_put_right_and_a_dry_run_only_says_so(
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
    said = run_command("rebuild", "--dry-run")
    assert "would change" in said
    assert "groups_removed 1" in said
    assert "contributions_removed 2" in said  # the one of round 77 and the one of another amount
    assert differences(contract_entries(sandbox.chain)) == wrong
    assert "goes on after" not in run_command("rebuild")
    assert differences(contract_entries(sandbox.chain)) == []
    assert "groups_changed 0" in run_command("rebuild", "--dry-run")
    Checkpoint.objects.update(rebuilt_to=2)
    assert "goes on after group 2, " in run_command("rebuild")


def test_a_rebuild_that_was_killed_goes_on_where_it_was(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajo.indexer.rebuild.BATCH", 2)
    History(sandbox.chain, 5).walk(40)
    while not sync_pass(client_of_chain).caught_up:
        pass
    steps = rebuild_groups(lambda read: read(client_of_chain))
    assert next(steps).done == 2
    del steps
    assert Checkpoint.objects.get().rebuilt_to == 2
    assert next(rebuild_groups(lambda read: read(client_of_chain))).done == 4
