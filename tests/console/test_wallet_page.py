"""A wallet's page is a statement: what it paid, received and owes, its groups, and what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from ajo.console import wallet_page
from contributions.models import Contribution
from groups.models import Group, GroupMember, Token, User
from tests.support import admin_pages
from tests.support.admin_pages import executed_queries, shown_text
from tests.support.admin_rows import account, contract, fill

pytestmark = pytest.mark.django_db


def test_totals_dues_and_groups_come_first(staff: Client) -> None:
    fill(2)
    Token.objects.filter(address=contract(1)).update(symbol="XLM", decimals=7, verified=True)
    Group.objects.filter(pk=1).update(
        token_id=contract(1), status="active", contribution_amount=15, cycle_duration=86_400, grace_period=0,
        round_started_at=timezone.now() - timedelta(days=2), payout_index=0,
    )  # fmt: skip
    GroupMember.objects.filter(group=1).update(has_contributed=False)
    Contribution.objects.filter(group=1).update(amount=10**38)
    user = User.objects.get(wallet_address=account(1))
    text = shown_text(staff, admin_pages.row(user))
    assert "Ada & <b>1</b> · " in text
    assert "Owes 0.0000015 XLM to group 1 for round 1, until " in text
    assert "(1 day ago). It is overdue." in text
    assert f"Paid {10**31:,} XLM" in text
    assert "1 of 1" in text


def test_a_wallet_that_has_paid_owes_nothing(staff: Client) -> None:
    fill(1)
    assert "Owes nothing now." in shown_text(staff, admin_pages.row(User.objects.get()))


def unpaid_groups(count: int) -> User:
    """Return a wallet that has not paid in `count` active groups; its newest group is paid."""
    fill(count + 1)
    user = User.objects.get(wallet_address=account(count + 1))
    joined = [GroupMember(group_id=n, user=user, position=1, has_contributed=False) for n in range(1, count + 1)]
    GroupMember.objects.bulk_create(joined)
    Group.objects.update(status="active", cycle_duration=86_400)
    return user


def test_what_is_owed_to_old_groups_is_owed(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the newest groups, which are shown, were all that were looked at."""
    monkeypatch.setattr(wallet_page, "MAX_GROUPS", 1)
    text = shown_text(staff, admin_pages.row(unpaid_groups(1)))
    assert "to group 1 for round 1, until " in text
    assert "Owes nothing now." not in text


def test_dues_that_are_not_told_are_said_to_be_more(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    page = admin_pages.row(unpaid_groups(3))
    for most, told, more in ((3, 3, 0), (2, 3, 1)):
        monkeypatch.setattr(wallet_page, "MAX_OWED", most)
        html = staff.get(page).content.decode()
        assert html.count('<p class="owes">Owes ') == told
        assert html.count("Owes more, to groups older than these") == more


def test_a_due_of_a_group_that_cannot_be_read_is_told_as_such(staff: Client) -> None:
    user = unpaid_groups(1)
    Group.objects.filter(pk=1).update(unreadable_since=timezone.now())
    assert "Its entries cannot be read now: this is as it was before." in shown_text(staff, admin_pages.row(user))


def test_the_statement_of_a_month_is_a_link_to_a_csv(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(1)
    now = datetime(2026, 1, 17, 12, tzinfo=UTC)
    monkeypatch.setattr("ajo.api.clock.timezone.now", lambda: now)
    html = staff.get(admin_pages.row(User.objects.get())).content.decode()
    begin = f'href="/api/v1/users/{account(1)}/statement/?'
    for query, title in (
        ("from=2026-01-01&amp;format=csv", "this month"),
        ("from=2025-12-01&amp;to=2026-01-01&amp;format=csv", "last month"),
        ("format=csv", "everything"),
    ):
        assert f'{begin}{query}">{title}</a>' in html


def test_queries_do_not_grow_with_groups(staff: Client) -> None:
    fill(12)
    user = User.objects.get(wallet_address=account(1))
    page = admin_pages.row(user)
    executed_queries(staff, page)
    few = len(executed_queries(staff, page))
    GroupMember.objects.bulk_create(
        [GroupMember(group_id=n, user=user, position=1, has_contributed=False) for n in range(2, 13)]
    )
    Contribution.objects.filter(group__gt=1).update(user=user)
    assert len(executed_queries(staff, page)) == few
