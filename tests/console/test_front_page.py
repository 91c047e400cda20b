"""The front page: a verdict with its reasons, what people may have to do, and how the chain is followed."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.console import work
from ajo.console.tiles import Level, health_tiles
from ajo.console.work import chart
from ajo.soroban.archival import EXPIRING_SOON
from ajo.soroban.fields import I128_MAX
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun, UndecodedEntry
from contributions.models import Contribution
from groups.models import Group, RefundRequest, Token
from tests.support import admin_pages
from tests.support.admin_pages import executed_queries, shown_text
from tests.support.admin_rows import HOSTILE, account, contract, fill
from tests.support.services import CONTRACT

pytestmark = pytest.mark.django_db


PAGE = 'id="front-page"'


def test_an_apps_own_page_has_no_verdict(staff: Client) -> None:
    assert PAGE in staff.get("/admin/").content.decode()
    assert PAGE not in staff.get("/admin/groups/").content.decode()


def test_the_front_page_says_how_the_chain_is_followed(staff: Client) -> None:
    assert "nothing has been read from the chain yet" in shown_text(staff, "/admin/")
    Checkpoint.objects.create(
        network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1, ledger=70, chain_ledger=75,
        halted="the network was reset", drift_metadata=3,
    )  # fmt: skip
    HistoryGap.objects.create(network_passphrase="Some net", contract=contract(1), from_ledger=1, to_ledger=2, why="-")
    SyncRun.objects.create(kind="sync", outcome="failed", reason=HOSTILE)
    for number in range(2):
        UndecodedEntry.objects.create(key=str(number), xdr="", error="", ledger=1)
    page = shown_text(staff, "/admin/")
    for fact in (
        f"Network {SANDBOX_PASSPHRASE}", f"Contract {CONTRACT}", "Tables at ledger 70",
        "Sync stopped: the network was reset; `manage.py reset_chain --yes` starts afresh",
        "Chain at ledger 75, 5 ahead of the tables", "Chain heard never",
        "Act now: Sync: stopped: the network was reset;",
        "Last sync failed: <script>alert(1)</script>⟨U+202E⟩",
        "Last sweep none has ended yet", "Groups archived within a week 0", "Groups archived 0",
        "Gaps in history 1", "Undecoded entries 2", "Drift that sweeps found state 0, metadata 3, history 0",
    ):  # fmt: skip
        assert fact in page
    counts = [sql for sql in executed_queries(staff, "/admin/") if "COUNT(" in sql.upper()]
    assert len(counts) == 1  # the chart's, of two weeks
    assert '"created_at" >= ' in counts[0]
    assert account(1) not in page


def test_the_groups_in_which_a_sweep_found_drift_are_listed(staff: Client) -> None:
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1, drift_state=2)
    fill(3)
    Group.objects.filter(pk=2).update(drifted_at=timezone.now())
    listed = admin_pages.table(Group, drift="found")
    assert f'<a href="{listed}">state 2, metadata 0, history 0</a>' in staff.get("/admin/").content.decode()
    assert [group.pk for group in staff.get(listed).context["cl"].result_list] == [2]


def test_groups_with_an_entry_near_its_end_are_counted_and_listed(staff: Client) -> None:
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1, chain_ledger=70)
    fill(5)
    ends = ((None, None), (69, 500), (10**7, 0), (71, None), (None, 70 + EXPIRING_SOON))
    for group, (state, history) in zip(Group.objects.order_by("id"), ends, strict=True):
        Group.objects.filter(pk=group.pk).update(live_until_ledger=state, history_live_until_ledger=history)
    page = staff.get("/admin/").content.decode()
    for life, name in (("archived", "Groups archived"), ("ends", "Groups archived within a week")):
        assert "2 rows on this page" in shown_text(staff, admin_pages.table(Group, life=life))
        assert f"{name} 2" in shown_text(staff, "/admin/")
        assert f'{admin_pages.table(Group, life=life)}"' in page


def test_a_token_of_which_less_is_held_than_owed_is_shown(staff: Client) -> None:
    words = {"symbol": "XLM", "decimals": 7, "verified": True}
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1)
    Token.objects.create(address=contract(1), balance=10_000_000, owed=I128_MAX + 1, checked_ledger=5, **words)
    Token.objects.create(address=contract(2), balance=5, owed=5, checked_ledger=5, **words)
    Token.objects.create(address=contract(3), **words)
    owed = "Held against owed 17,014,118,346,046,923,173,168,730,371,587.4105728 XLM less than owed"
    assert owed in shown_text(staff, "/admin/")
    assert staff.get(admin_pages.table(Token)).content.decode().count("not known") == 2
    short = shown_text(staff, admin_pages.table(Token, solvency="short"))
    assert "1 row on this page" in short
    assert " 1 XLM " in short
    assert "17,014,118,346,046,923,173,168,730,371,588.4105728 XLM" in short


def test_a_token_of_which_less_is_held_by_booked_premiums_alone_is_told_apart(staff: Client) -> None:
    """Breaks if it were told as the others: a person would look for money that was never collected."""
    words = {"symbol": "XLM", "decimals": 7, "verified": True, "checked_ledger": 5}
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1)
    Token.objects.create(address=contract(1), balance=10**38, owed=10**38 + 70, booked_premiums=70, **words)
    alone = "0.000007 XLM less than owed: of it 0.000007 XLM premium that the contract books and collects from nobody"
    assert f"Held against owed {alone}" in shown_text(staff, "/admin/")
    (tile,) = (tile for tile in health_tiles() if tile.name == "Held against owed")
    assert tile.level == Level.WELL
    Token.objects.create(address=contract(2), balance=10**38 - 1, owed=10**38 + 70, booked_premiums=70, **words)
    mixed = "0.0000071 XLM less than owed: of it 0.000007 XLM premium that the contract books and collects from nobody"
    assert f"{mixed}, 0.0000001 XLM unexplained" in shown_text(staff, "/admin/")
    (tile,) = (tile for tile in health_tiles() if tile.name == "Held against owed")
    assert tile.level == Level.ACT
    for which, address in (("premiums", contract(1)), ("short", contract(2))):
        rows = staff.get(admin_pages.table(Token, solvency=which)).content.decode()
        assert [each in rows for each in (contract(1), contract(2))] == [address == contract(1), address == contract(2)]
    assert "0.000007 XLM" in shown_text(staff, admin_pages.table(Token, solvency="premiums"))


@pytest.mark.parametrize(("short", "premiums", "is_more"), [(3, 0, False), (4, 0, True), (0, 4, True), (2, 2, True)])
def test_tokens_that_are_not_told_are_said_to_be_more(short: int, premiums: int, is_more: bool) -> None:
    """Breaks if only those that are told were asked for: nobody would know of the fourth."""
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1)
    for number in range(short + premiums):
        booked = 1 if number >= short else 0
        Token.objects.create(address=contract(number), balance=4, owed=5, booked_premiums=booked, checked_ledger=5)
    (tile,) = (tile for tile in health_tiles() if tile.name == "Held against owed")
    assert tile.value.endswith("; and more") == is_more
    assert tile.value.count("less than owed") == 3


def test_all_well_is_said_where_nothing_is_amiss(staff: Client) -> None:
    now = timezone.now()
    Checkpoint.objects.create(
        network_passphrase=settings.STELLAR_NETWORK_PASSPHRASE, contract=settings.AJO_CONTRACT_ID, start_ledger=1,
        ledger=70, chain_ledger=70, is_loaded=True, chain_advanced_at=now, chain_closed_at=now,
    )  # fmt: skip
    page = shown_text(staff, "/admin/")
    assert "All well" in page
    assert "Degraded" not in page
    HistoryGap.objects.create(network_passphrase="Some net", contract=contract(1), from_ledger=1, to_ledger=2, why="-")
    assert "Degraded: Gaps in history: 1 Name a node that keeps more history" in shown_text(staff, "/admin/")


def test_the_chart_draws_the_newest_contributions_alone(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the page of a busy contract counted each of its rows."""
    fill(6)
    now = timezone.now()
    for number in range(1, 7):
        Contribution.objects.filter(group=number).update(created_at=now - timedelta(days=number - 1))
    assert chart(now).words.startswith("6 contributions in 14 days, 1 of them today")
    monkeypatch.setattr(work, "MAX_CHARTED", 4)
    assert [bar.count for bar in chart(now).bars] == [0] * 10 + [1] * 4
    begin = f"The newest alone, later than {now - timedelta(days=4):%Y-%m-%d %H:%M}: 4 contributions in 14 days"
    assert chart(now).words.startswith(begin)


def test_what_waits_for_people_is_counted_with_links(staff: Client) -> None:
    now = timezone.now()
    fill(4)
    for number, (age, paid) in enumerate(((2, 0), (2, 3), (0, 0)), 1):  # days since the round began, of rounds of a day
        Group.objects.filter(pk=number).update(
            status="active", round_started_at=now - timedelta(days=age), cycle_duration=86_400, grace_period=0,
            member_count=3, max_members=5, contributions_received=paid, payout_index=0,
        )  # fmt: skip
    Group.objects.filter(pk=4).update(status="cancelled")
    RefundRequest.objects.filter(group=3).update(voting_deadline=now + timedelta(hours=1))
    RefundRequest.objects.filter(group=4).update(voting_deadline=now + timedelta(hours=1))  # of a cancelled group
    Contribution.objects.update(created_at=now - timedelta(days=60))
    Contribution.objects.filter(group=3).update(created_at=now)  # the newest that an event announced
    page = shown_text(staff, "/admin/")
    for card in (
        "3 Active groups", "1 Groups with overdue payments", "1 Payouts due and not taken", "1 Refund votes open",
        "1 Contributions today", "1 contribution in 14 days, 1 of them today; the most in a day were 1.",
    ):  # fmt: skip
        assert card in page
    html = staff.get("/admin/").content.decode()
    assert html.count("<rect ") == 14
    for address in re.findall(r'<li[^>]*><a href="(/admin/[^"]+)"><strong>', html):
        assert staff.get(unescape(address)).status_code == 200, address
