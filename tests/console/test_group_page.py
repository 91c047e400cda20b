"""A group's page says first where the group stands: the round, who has paid, who is next, what happened."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ajo.console.steps import EXPLORERS
from ajo.soroban.models import ContractEvent
from groups.models import Group, GroupMember, Token, User, WalletLabel
from tests.support import admin_pages
from tests.support.admin_pages import executed_queries, shown_text
from tests.support.admin_rows import HOSTILE, account, contract, fill, members

pytestmark = pytest.mark.django_db
XLM = {"symbol": "XLM", "name": "native", "decimals": 7, "verified": True}


def make_group(
    *, began_days_ago: float, paid: int, grace_days: int = 0, payout_index: int = 1, **changes: object
) -> Group:
    """A group of three with rounds of a week, of whom `paid` have paid this one; the second is `Amina`."""
    fill(1)
    Token.objects.filter(address=contract(1)).update(**XLM)
    group = Group.objects.get()
    members(group, 2)
    GroupMember.objects.filter(group=group).update(has_contributed=False)
    GroupMember.objects.filter(group=group, position__lt=paid).update(has_contributed=True)
    WalletLabel.objects.filter(address=account(10_000)).update(label="Amina")
    values = {
        "status": "active", "token_id": contract(1), "contribution_amount": 5_833_333_334, "cycle_duration": 7 * 86_400,
        "grace_period": grace_days * 86_400, "member_count": 3, "max_members": 5, "current_round": 2,
        "payout_index": payout_index, "contributions_received": paid,
        "round_started_at": timezone.now() - timedelta(days=began_days_ago, minutes=-1),
    }  # fmt: skip
    Group.objects.filter(pk=group.pk).update(**values | changes)
    return Group.objects.get()


def test_the_page_says_first_who_is_next_and_what_is_overdue(staff: Client) -> None:
    group = make_group(began_days_ago=7 + 2, paid=2)
    text = shown_text(staff, admin_pages.row(group))
    assert "Round 2 of 3 · 2 of 3 paid · next: Amina (position 2), 1,750.0000002 XLM" in text
    assert "overdue by 1 day 23 h." in text
    assert "UTC (1 day 23 h ago)" in text
    for words in ("Each pays 583.3333334 XLM", "A round lasts 7 days", "Grace period none"):
        assert words in text


def test_members_are_counted_from_one_wherever_staff_see_them(staff: Client) -> None:
    group = make_group(began_days_ago=1, paid=0)
    member = GroupMember.objects.get(group=group, position=1)  # paid out in round 2
    for address, seen in (
        (admin_pages.row(group), r"Paid out 1 G\w{55} .* - 2 G\w{55} Amina - 3 G\w{55} "),
        (admin_pages.table(GroupMember), r"Has contributed \d+ 1 3 G.* \d+ 1 2 G\S+ Amina - \d+ 1 1 G"),
        (admin_pages.row(member), "Group 1, position 2 Group: 1 Position: 2 "),
    ):
        assert re.search(seen, shown_text(staff, address)), address


@pytest.mark.parametrize(
    ("began", "paid", "grace", "said"),
    [
        (1, 2, 0, "Payments are due until "),
        (8, 3, 2, "All have paid. The payout can be taken from "),
        (8, 3, 0, "All have paid. The payout is due since "),
    ],
)
def test_what_the_round_waits_for_is_said(staff: Client, began: int, paid: int, grace: int, said: str) -> None:
    group = make_group(began_days_ago=began, paid=paid, grace_days=grace)
    assert said in shown_text(staff, admin_pages.row(group))


def test_members_stand_in_payout_order_with_what_they_have_to_do(staff: Client) -> None:
    group = make_group(began_days_ago=8, paid=2)
    html = staff.get(admin_pages.row(group)).content.decode()
    table = admin_pages.plain(html.partition('id="members"')[2].partition("</table>")[0])
    places = [table.index(words) for words in ("paid out in round 1", "next", "round 3")]
    assert places == sorted(places)
    assert (table.count(" paid "), table.count(" overdue ")) == (2, 1)


@pytest.mark.parametrize(("status", "paid_out"), [("completed", 3), ("cancelled", 1)])
def test_a_finished_group_has_no_next_payout(staff: Client, status: str, paid_out: int) -> None:
    """Breaks if the round were taken for what was paid out: a cancelled group's is not."""
    group = make_group(began_days_ago=30, paid=0, payout_index=paid_out, status=status)
    text = shown_text(staff, admin_pages.row(group))
    assert f"{status.capitalize()}: {paid_out} of 3 rounds were paid out." in text
    for word in ("next:", "overdue", "unpaid"):
        assert word not in text


def test_a_duration_that_no_calendar_holds_is_said_in_words(staff: Client) -> None:
    group = make_group(began_days_ago=1, paid=0, cycle_duration=2**64 - 1)
    text = shown_text(staff, admin_pages.row(group))
    assert "The round ends at no time that a calendar holds" in text
    assert "A round lasts more than 1,000 years" in text


def test_what_happened_is_told_with_explorer_links_on_public_networks_alone(staff: Client, settings: Settings) -> None:
    group = make_group(began_days_ago=1, paid=1)
    page = admin_pages.row(group)
    assert "Ada & <b>1</b> · " in shown_text(staff, page)
    assert f"paid (round 1, {2**127 // 10**7:,}.{2**127 % 10**7:07d} XLM)" in shown_text(staff, page)
    assert "stellar.expert" not in staff.get(page).content.decode()
    tx_hash = ContractEvent.objects.filter(group_id=group.pk).latest("id").tx_hash
    assert f'href="/admin/soroban/contractevent/?tx_hash={tx_hash}"' in staff.get(page).content.decode()
    for passphrase, address in EXPLORERS.items():
        settings.STELLAR_NETWORK_PASSPHRASE = passphrase
        assert f'href="{address}' in staff.get(page).content.decode()


def test_hostile_words_stay_words(staff: Client) -> None:
    group = make_group(began_days_ago=1, paid=1)
    WalletLabel.objects.filter(address=account(10_000)).update(label=HOSTILE)
    Token.objects.filter(address=contract(1)).update(symbol=HOSTILE)
    html = staff.get(admin_pages.row(group)).content.decode()
    assert "<script>alert" not in html
    assert "\u202e" not in html


def test_queries_do_not_grow_with_members(staff: Client) -> None:
    group = make_group(began_days_ago=1, paid=1)
    page = admin_pages.row(group)
    executed_queries(staff, page)
    few = len(executed_queries(staff, page))
    more = [account(20_000 + number) for number in range(50)]
    users = User.objects.bulk_create([User(wallet_address=address) for address in more])
    GroupMember.objects.bulk_create(
        [GroupMember(group=group, user=user, position=3 + n, has_contributed=False) for n, user in enumerate(users)]
    )
    assert len(executed_queries(staff, page)) == few
