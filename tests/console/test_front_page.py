"""The front page: how the chain is followed, and what needs a person."""

import pytest
from django.test import Client

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.soroban.archival import EXPIRING_SOON
from ajo.soroban.fields import I128_MAX
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun, UndecodedEntry
from groups.models import Group, Token
from tests.support import admin_pages
from tests.support.admin_pages import executed_queries, shown_text
from tests.support.admin_rows import HOSTILE, account, contract, fill
from tests.support.services import CONTRACT

pytestmark = pytest.mark.django_db


def test_an_apps_own_page_has_no_panel(staff: Client) -> None:
    assert "chain-panel" in staff.get("/admin/").content.decode()
    assert "chain-panel" not in staff.get("/admin/groups/").content.decode()


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
        "Last sync failed: <script>alert(1)</script>⟨U+202E⟩",
        "Last sweep none has ended yet", "Groups archived within a week 0", "Groups archived 0",
        "Gaps in history 1", "Undecoded entries 2", "Drift that sweeps found state 0, metadata 3, history 0",
    ):  # fmt: skip
        assert fact in page
    assert [sql for sql in executed_queries(staff, "/admin/") if "COUNT(" in sql.upper()] == []
    assert account(1) not in page


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
    assert "Tokens of which less is held than owed 1" in shown_text(staff, "/admin/")
    assert staff.get(admin_pages.table(Token)).content.decode().count("not known") == 2
    short = shown_text(staff, admin_pages.table(Token, solvency="short"))
    assert "1 row on this page" in short
    assert "1.0000000 XLM · 10000000" in short
    assert f"17014118346046923173168730371588.4105728 XLM · {2**127}" in short


def test_a_token_of_which_less_is_held_by_booked_premiums_alone_is_told_apart(staff: Client) -> None:
    """Breaks if it were told as the others: a person would look for money that was never collected."""
    words = {"symbol": "XLM", "decimals": 7, "verified": True, "checked_ledger": 5}
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1)
    Token.objects.create(address=contract(1), balance=10**38, owed=10**38 + 70, booked_premiums=70, **words)
    Token.objects.create(address=contract(2), balance=10**38 - 1, owed=10**38 + 70, booked_premiums=70, **words)
    safe_text = "less is held than owed 1, and 1 by premiums alone that the contract booked and collected from nobody"
    assert safe_text in shown_text(staff, "/admin/")
    for which, address in (("premiums", contract(1)), ("short", contract(2))):
        rows = staff.get(admin_pages.table(Token, solvency=which)).content.decode()
        assert [each in rows for each in (contract(1), contract(2))] == [address == contract(1), address == contract(2)]
    assert "0.0000070 XLM · 70" in shown_text(staff, admin_pages.table(Token, solvency="premiums"))
