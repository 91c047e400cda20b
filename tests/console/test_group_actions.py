"""Staff read a group again, compare it with the chain and heal it: by permission, confirmed, told in the audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group as Role
from django.contrib.auth.models import User as Account
from django.test import Client

from ajo.console import group_actions
from ajo.console.group_actions import ACTIONS, Line
from ajo.console.roles import OPERATOR
from ajo.indexer.jobs import Progress
from ajo.indexer.verify import sweep_groups
from ajo.soroban.contract.keys import GroupKey
from ajo.soroban.models import SyncRun
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, GroupMember, User
from tests.support import admin_pages
from tests.support.admin_pages import shown_text
from tests.support.following import catch_up, corrupt_entry
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None) -> Client:
    person = Account.objects.create(username="ngozi", is_staff=True)
    person.groups.add(Role.objects.get(name=OPERATOR))
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def group(sandbox: Sandbox, client_of_chain: SorobanClient) -> Group:
    """A group with a contribution, as the sync has read it."""
    chain, (payer,) = sandbox.chain, wallets(1)
    chain.fund(payer)
    chain.call(payer, "create_group", payer, chain.token, 7000, 86_400, 3, 0, 0, 0)
    chain.call(payer, "contribute", payer, 1)
    chain.close_ledger()
    catch_up(client_of_chain)
    return Group.objects.get()


def address(group: Group, name: str) -> str:
    return f"/admin/groups/group/{group.pk}/{name}/"


def spoil(group: Group) -> None:
    Group.objects.filter(pk=group.pk).update(name="WRONG", payout_index=1)
    Contribution.objects.all().delete()


def test_comparing_shows_each_difference_and_changes_nothing(operator: Client, group: Group) -> None:
    assert "values are as the chain has them at ledger" in shown_text(operator, address(group, "compare"))
    spoil(group)
    GroupMember.objects.update(has_contributed=False)
    text = shown_text(operator, address(group, "compare"))
    assert "3 of " in text
    for line in ("name (differs) WRONG", "payout index (differs) 1 0", "member at position 1 (differs)"):
        assert line in text
    assert Group.objects.get().name == "WRONG"
    assert not LogEntry.objects.exists()


def test_a_wallet_is_compared_by_its_address_and_not_by_the_number_of_its_row(operator: Client, group: Group) -> None:
    right, wrong = group.creator.wallet_address, wallets(2)[1]
    assert f"creator {right} {right}" in shown_text(operator, address(group, "compare"))
    Group.objects.update(creator=User.objects.create(wallet_address=wrong))
    assert f"creator (differs) {wrong} {right}" in shown_text(operator, address(group, "compare"))


def test_values_are_compared_whole_however_little_of_them_is_shown(operator: Client, group: Group) -> None:
    """Breaks if what is shown were compared: the last characters of an entry are cut, and a blank is written out."""
    right = group.entry_xdr
    Group.objects.update(entry_xdr=f"{right[:-2]}!!", rules="\u200b")
    text = shown_text(operator, address(group, "compare"))
    assert "2 of " in text
    assert f"entry xdr (differs) …{right[-22:-2]}!! …{right[-22:]} " in text
    assert not Line("name", "⟨U+200B⟩", "⟨U+200B⟩").differs
    assert Line("name", "\u200b", "⟨U+200B⟩").differs


def test_healing_is_confirmed_and_told_in_the_audit(operator: Client, group: Group) -> None:
    spoil(group)
    assert "All that is stored of it is proved" in shown_text(operator, address(group, "heal"))
    assert Group.objects.get().name == "WRONG"
    done = operator.post(address(group, "heal"), follow=True)
    assert "Healed: differences in " in admin_pages.text_of(done)
    assert (Group.objects.get().name, Group.objects.get().payout_index, Contribution.objects.count()) == ("", 0, 1)
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.object_id) == ("ngozi", str(group.pk))
    assert entry.get_change_message().startswith("Heal. Healed: differences in ")
    again = operator.post(address(group, "heal"), follow=True)
    assert "Proven: everything is as the chain has it." in admin_pages.text_of(again)


def test_healing_tells_of_its_own_run_alone(operator: Client, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the newest run were told: a sweep of all groups may begin at the same time as this one ends."""

    def followed_by_another(*args: Any) -> Iterator[Progress]:
        yield from sweep_groups(*args)
        SyncRun.objects.create(kind=SyncRun.Kind.SWEEP, counts={"drift_state": 5, "unproven": 7})

    monkeypatch.setattr(group_actions, "sweep_groups", followed_by_another)
    done = operator.post(address(group, "heal"), follow=True)
    assert "Proven: everything is as the chain has it." in admin_pages.text_of(done)


def test_healing_names_the_rows_that_no_entry_proves(
    operator: Client, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaving_two(*args: Any) -> Iterator[Progress]:
        for step in sweep_groups(*args):
            yield step
        SyncRun.objects.filter(pk=step.run).update(counts={"drift_state": 0, "drift_history": 1, "unproven": 2})

    monkeypatch.setattr(group_actions, "sweep_groups", leaving_two)
    done = admin_pages.text_of(operator.post(address(group, "heal"), follow=True))
    assert "Healed: differences in history 1. 2 rows of its history stay that no entry proves." in done


def test_a_group_that_cannot_be_read_is_not_called_proven(operator: Client, group: Group, sandbox: Sandbox) -> None:
    corrupt_entry(sandbox, GroupKey(group.pk))
    done = admin_pages.text_of(operator.post(address(group, "heal"), follow=True))
    assert "Not done: The group's entries on the chain cannot be decoded by this version" in done


def test_healing_away_a_group_that_never_was_is_told_in_the_audit(operator: Client, group: Group) -> None:
    """Breaks if the audit asked the tables for the group that it tells of."""
    invented = Group.objects.get(pk=group.pk)
    invented.pk = 7
    invented.save()
    done = operator.post(address(invented, "heal"), follow=True)
    assert [to for to, _ in done.redirect_chain] == ["/admin/groups/group/"]
    assert "The contract has no such group: its rows were removed." in admin_pages.text_of(done)
    assert not Group.objects.filter(pk=7).exists()
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.object_repr) == ("7", "7")


@pytest.mark.parametrize(("name", "asks"), [("compare", 0), ("reread", 1), ("heal", 1)])
def test_the_page_of_an_action_has_the_button_that_runs_it(
    operator: Client, group: Group, name: str, asks: int
) -> None:
    html = operator.get(address(group, name)).content.decode()
    assert html.count('<form method="post" id="action-form">') == asks
    assert html.count(f'<input type="submit" value="{ACTIONS[name].title}">') == asks


def test_reading_again_is_told_with_its_ledger(operator: Client, group: Group) -> None:
    Group.objects.filter(pk=group.pk).update(entry_xdr="", name="WRONG")
    done = operator.post(address(group, "reread"), follow=True)
    assert f"Read again at ledger {Group.objects.get().synced_ledger}." in admin_pages.text_of(done)
    assert Group.objects.get().entry_xdr != ""


def test_a_chain_that_is_away_is_said_and_nothing_is_written(operator: Client, group: Group, sandbox: Sandbox) -> None:
    spoil(group)
    sandbox.close()
    for name in ("compare", "reread", "heal"):
        ask = operator.get if name == "compare" else operator.post
        assert "The chain cannot be read now" in admin_pages.text_of(ask(address(group, name), follow=True))
    assert Group.objects.get().name == "WRONG"
    assert {entry.get_change_message().split(". ")[1][:8] for entry in LogEntry.objects.all()} == {"Not done"}


@pytest.mark.parametrize("name", ACTIONS)
def test_viewers_have_no_buttons_and_are_refused(staff: Client, group: Group, name: str) -> None:
    assert address(group, name) not in staff.get(admin_pages.row(group)).content.decode()
    assert [staff.get(address(group, name)).status_code, staff.post(address(group, name)).status_code] == [403, 403]


def test_operators_have_every_button(operator: Client, group: Group) -> None:
    html = operator.get(admin_pages.row(group)).content.decode()
    assert [name for name in ACTIONS if address(group, name) in html] == list(ACTIONS)
    assert operator.get(address(Group(pk=999), "compare")).status_code == 404
