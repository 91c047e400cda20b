"""What staff ask, each answered by clicking through the console from its first page, as a person does."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.contrib.auth.models import User as Account
from django.db.models.functions import Now
from django.utils import timezone

from ajo.ops.models import Heartbeat
from ajo.soroban.models import HistoryGap
from groups.models import Group
from tests.support.chromium import Page
from tests.support.console_service import (
    AMINA,
    BOLA,
    CHIEF,
    DIFFERING,
    PASSWORD,
    REFUSED_TX,
    WANG,
    Service,
    sign_in,
)
from tests.support.waiting import wait_for

MEMBERS = "#members tbody tr"
GROUPS = "#result_list tbody tr"


def find(page: Page, term: str) -> None:
    """Use the one search."""
    page.write("Search groups, wallets and transactions", term)
    assert page.click("Search", "#site-search") == 200


def downloaded(page: Page, folder: Path, link: str, within: str = "#content") -> list[dict[str, str]]:
    """Click what downloads a CSV file, and return its rows."""
    page.download_to(folder)
    page.touch(link, within)
    (path,) = wait_for(lambda: list(folder.glob("*.csv")), what="the file")
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def test_has_bola_paid_this_round_in_group_12(page: Page) -> None:
    find(page, "12")
    page.click("12: Ẹgbẹ́ Ajọ", "#content")
    states = {row.split(" ")[1]: row for row in page.texts(MEMBERS)}
    assert " unpaid " in states["Bola"]
    assert " paid " in states["Amina"]


def test_who_is_next_in_group_12_and_when(page: Page) -> None:
    page.click("Savings groups", "#content-main")
    page.click("12", "#result_list")
    first, second = page.texts("#summary .headline")
    assert first == "Round 2 of 3 · 1 of 3 paid · next: Bola (position 2), 150 XLM"
    assert second == "Payments are due until 2040-06-30 10:00 UTC (in 14 days)."


def test_what_is_overdue(page: Page) -> None:
    page.click("1 Groups with overdue payments", ".cards")
    (row,) = page.texts(GROUPS)
    assert "Taxi drivers" in row
    page.click("7", GROUPS)
    assert "Payments were due until 2040-05-08 10:00 UTC (38 days ago): overdue by 38 days." in page.text("#summary")
    (late,) = [row for row in page.texts(MEMBERS) if "overdue" in row]
    assert "Dayo" in late


def test_which_payouts_are_due(page: Page) -> None:
    page.click("1 Payouts due and not taken", ".cards")
    (row,) = page.texts(GROUPS)
    assert "Bakers" in row
    page.click("9", GROUPS)
    assert "next: Amina (position 1), 100 XLM" in page.text("#summary")
    assert "The payout is due since 2040-05-09 10:00 UTC" in page.text("#summary")


def test_all_that_amina_ever_paid(page: Page, tmp_path: Path) -> None:
    find(page, "amina")
    page.click(shortened(AMINA), "#content")
    assert "Paid 250 XLM" in page.texts("#summary .tiles div")
    rows = downloaded(page, tmp_path, "everything", "#summary")
    assert sum(Decimal(row["decimal_amount"]) for row in rows if row["kind"] == "contribution") == 250


def test_last_month_as_a_spreadsheet(page: Page, tmp_path: Path) -> None:
    page.click("Contributions", "#content-main")
    page.click("last month", "#changelist-filter")
    assert "Total of 8 rows: 400 XLM" in page.text("#totals")
    rows = downloaded(page, tmp_path, "Download as CSV")
    assert len(rows) == 8
    assert {row["created_at (UTC)"][:7] for row in rows} == {"2040-05"}
    assert ("12", "Bola", BOLA, "50", "500000000", "XLM") in {
        (row["group"], row["label"], row["wallet"], row["amount"].rstrip("0").rstrip("."), row["smallest_units"],
         row["symbol"])
        for row in rows
    }  # fmt: skip


def test_was_chidi_refunded(page: Page) -> None:
    find(page, "Chidi")
    page.click(page.texts("#content .found a")[0], "#content")
    assert "Refunded 50 XLM" in page.texts("#summary .tiles div")
    (step,) = [row for row in page.texts("#steps tbody tr") if "was refunded" in row]
    assert "group 3" in step
    assert "2040-05-20" in step


def test_why_group_5_differs_from_the_chain_and_how_it_is_healed(page: Page) -> None:
    Group.objects.filter(pk=DIFFERING).update(name="WRONG", payout_index=2)
    find(page, "5")
    page.click("5: WRONG", "#content")
    page.click("Compare with the chain")
    assert page.text("#content .headline").startswith("2 of ")
    assert page.texts("tr.differs") == ["name (differs) WRONG Market women", "payout index (differs) 2 0"]
    page.click("5: WRONG", ".breadcrumbs")
    page.click("Heal", "#summary")
    assert Group.objects.get(pk=DIFFERING).name == "WRONG"
    page.click("Heal", "#action-form")
    assert "Healed: differences in " in page.text(".messagelist")
    page.click("Compare with the chain")
    assert "values are as the chain has them" in page.text("#content .headline")
    assert Group.objects.get(pk=DIFFERING).name == "Market women"


def test_a_colleague_is_given_access_that_only_reads(page: Page, service: Service) -> None:
    sign_in(page, service, CHIEF)
    page.click("Staff", "#content-main")
    page.click("Add user")
    page.write("Username", "tunde")
    page.write("Password", PASSWORD)
    page.write("Password confirmation", PASSWORD)
    page.click("Save and continue editing")
    page.touch("Staff status")
    page.touch("Viewer", "#id_groups")
    page.click("Save")
    colleague = Account.objects.get(username="tunde")
    assert (colleague.is_staff, [role.name for role in colleague.groups.all()]) == (True, ["Viewer"])

    sign_in(page, service, "tunde")
    assert "All well" in page.text("#verdict")
    page.click("Savings groups", "#content-main")
    page.click("12", "#result_list")
    assert "Round 2 of 3" in page.text("#summary")
    controls = "#content :is(input:not([type=hidden]), textarea, select, .button)"
    assert page.texts(controls) == []
    page.click("Wallet labels", "#nav-sidebar")
    page.click("Amina", "#result_list")
    assert page.texts(controls) == []
    assert "Staff" not in page.texts("#nav-sidebar th a")


def test_is_all_well(page: Page) -> None:
    assert page.text("#verdict") == "All well"


def test_what_is_not_well_is_named_with_what_to_do(page: Page, service: Service) -> None:
    checkpoint = service.checkpoint()
    gap = HistoryGap.objects.create(
        network_passphrase=checkpoint.network_passphrase, contract=checkpoint.contract, from_ledger=2, to_ledger=3,
        why="no node keeps them",
    )  # fmt: skip
    Heartbeat.objects.create(name="beat@host:2", part="beat", seen_at=timezone.now())
    Heartbeat.objects.create(name="worker@host:1", part="worker", seen_at=timezone.now())
    try:
        page.click("Ajo · staff")
        assert page.text("#verdict").startswith("Degraded: Gaps in history: 1 Name a node that keeps more history")
        Heartbeat.objects.filter(part="worker").update(seen_at=Now() - timedelta(minutes=10))
        page.click("Ajo · staff")
        assert page.text("#verdict").startswith("Act now: Sync: worker: silent for 60")
        page.click(page.texts("#verdict a")[0], "#verdict")
        assert "worker@host:1" in page.text("#result_list")
    finally:
        gap.delete()
        Heartbeat.objects.all().delete()
    page.click("Ajo · staff")
    assert page.text("#verdict") == "All well"


def shortened(address: str) -> str:
    return f"{address[:6]}…{address[-6:]}"


@pytest.mark.parametrize(
    ("term", "link", "leads_to"),
    [
        ("王小", shortened(WANG), WANG),
        ("amin", shortened(AMINA), AMINA),
        (shortened(BOLA), shortened(BOLA), BOLA),
        (BOLA, shortened(BOLA), BOLA),
        ("egbe ajo", "12: Ẹgbẹ́ Ajọ", "Round 2 of 3"),
        ("互助", "10: 互助会", "互助会"),
    ],
    ids=["two-characters", "part-of-a-label", "as-it-is-shown", "in-full", "without-accents", "two-of-a-name"],
)
def test_a_group_or_wallet_is_found_by_what_is_known_of_it(page: Page, term: str, link: str, leads_to: str) -> None:
    find(page, term)
    page.click(link, "#content .found")
    assert leads_to in page.text("#content")


def test_a_transaction_is_found_by_its_hash_and_says_who_what_and_how_it_ended(page: Page, service: Service) -> None:
    find(page, service.paid_tx)
    assert page.click("submitted here: success", "#content") == 200
    fields = page.fields()
    assert fields["What"] == "contribute"
    assert "Amina" in fields["Who"]
    assert fields["Group"].startswith("12")
    assert fields["What became of it"] == "done"

    page.click("Transactions", "#nav-sidebar")
    page.click(shortened(REFUSED_TX), "#result_list")
    fields = page.fields()
    assert fields["What became of it"] == "refused before any ledger: nothing was charged"
    assert "AlreadyContributed" in fields["The contract's refusal"]
