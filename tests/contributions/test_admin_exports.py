"""Staff take lists out as CSV, see their totals, and narrow them to a period."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from io import StringIO
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth.models import User as Account
from django.test import Client
from django.utils import timezone

from ajo.api.csv_files import BROKEN_OFF
from contributions import admin_exports
from contributions.admin import ContributionAdmin
from contributions.models import Contribution, Refund
from contributions.periods import Period, parse_period
from groups.models import Group, Token, WalletLabel
from tests.support import admin_pages
from tests.support.admin_pages import executed_queries, shown_text
from tests.support.admin_rows import account, contract, fill, tx

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday


def rows_of(client: Client, address: str) -> list[dict[str, str]]:
    answer: Any = client.get(address)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(StringIO(text)))


def one_token() -> None:
    Token.objects.filter(address=contract(1)).update(symbol="XLM", decimals=7, verified=True)
    Group.objects.update(token_id=contract(1))


def test_every_row_is_in_the_file_with_amounts_in_both_units(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_exports, "BATCH", 3)
    fill(7)
    one_token()
    rows = rows_of(staff, "/admin/contributions/contribution/csv/")
    assert sorted(int(row["group"]) for row in rows) == list(range(1, 8))
    first = next(row for row in rows if row["group"] == "1")
    assert (first["amount"], first["smallest_units"]) == (
        f"{2**127 // 10**7}.{2**127 % 10**7 - 1:07d}",
        str(2**127 - 1),
    )
    assert (first["wallet"], first["label"], first["tx_hash"]) == (account(1), "Ada & <b>1</b>", tx(1))
    assert first["created_at (UTC)"] == "2026-11-01 12:30:45"


def csv_link(client: Client, address: str) -> str:
    """Return the link to the file of what a list's page shows."""
    match = re.search('href="([^"]*)" id="csv"', client.get(address).content.decode())
    assert match is not None
    return unescape(match[1])


@pytest.mark.parametrize("query", [{"group": 5}, {"period": "last-month"}, {"group": 5, "period": "2026-11-01.."}])
def test_the_file_has_what_the_list_shows(staff: Client, query: dict[str, Any]) -> None:
    """Breaks if the parameter of pages, p, were removed as Django removes it: with all that begin like it."""
    fill(7)
    link = csv_link(staff, admin_pages.table(Contribution, **query))
    assert dict(parse_qsl(link.partition("?")[2])) == {name: str(value) for name, value in query.items()}
    assert [row["group"] for row in rows_of(staff, link)] == ["5"] * ("group" in query)


def test_the_file_has_all_pages_of_the_list(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContributionAdmin, "list_per_page", 3)
    fill(7)
    first = staff.get(admin_pages.table(Contribution, period="2026-11-01..")).context["cl"]
    link = csv_link(staff, f"/admin/contributions/contribution/{first.next_page}")
    assert len(rows_of(staff, link)) == Contribution.objects.exclude(order_key="").count() > 3


def test_no_cell_is_a_formula(staff: Client) -> None:
    fill(1)
    Group.objects.update(name='=HYPERLINK("http://evil")')
    WalletLabel.objects.update(label="@SUM(A1)")
    Token.objects.update(symbol="+1")
    (row,) = rows_of(staff, "/admin/contributions/refund/csv/")
    assert (row["group_name"][0], row["label"][0], row["symbol"][0]) == ("'", "'", "'")


def test_a_file_that_breaks_off_says_so_in_its_last_line(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if half a file looked like a whole one: the web server ends both alike."""
    monkeypatch.setattr("ajo.api.downloads.CHUNK_SIZE", 1)
    monkeypatch.setattr(admin_exports, "decimal_amount", lambda amount, decimals: 1 // (amount - 5))
    fill(3)
    one_token()
    Contribution.objects.filter(group=1).update(amount=5)  # the oldest comes last
    answer: Any = staff.get("/admin/contributions/contribution/csv/")
    parts = iter(answer.streaming_content)
    sent = [next(parts), next(parts), next(parts)]
    with pytest.raises(ZeroDivisionError):
        list(parts)
    assert sent[-1] == BROKEN_OFF


def test_totals_stand_under_a_narrowed_list_alone(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(7)
    one_token()
    Contribution.objects.update(amount=25_000_000)
    assert 'id="totals"' not in staff.get(admin_pages.table(Contribution)).content.decode()
    assert "Total of 1 row: 2.5 XLM" in shown_text(staff, admin_pages.table(Contribution, group=5))
    november = admin_pages.table(Contribution, period="2026-11-01..2026-11-01")
    assert "Total of 6 rows: 15 XLM" in shown_text(staff, november)  # the fourth has no time: it was recovered
    monkeypatch.setattr(admin_exports, "MAX_TOTALLED", 2)
    assert "Total of the first 2 rows: 5 XLM" in shown_text(staff, november)
    monkeypatch.setattr(admin_exports, "MAX_TOTALLED", 6)
    assert "Total of 6 rows: 15 XLM" in shown_text(staff, november)


def test_totals_are_marked_where_nobody_vouches_for_the_token(staff: Client) -> None:
    fill(7)
    one_token()
    Token.objects.filter(address=contract(1)).update(verified=False)
    Contribution.objects.update(amount=25_000_000)
    assert "Total of 1 row: 2.5 XLM (unverified)" in shown_text(staff, admin_pages.table(Contribution, group=5))


def test_totals_are_added_up_by_the_database(staff: Client) -> None:
    """Breaks if the rows' keys were read and sent back: a hundred thousand of them make a statement of a megabyte."""
    fill(3)
    page = admin_pages.table(Contribution, period="2026-11-01..2026-11-01")
    few = executed_queries(staff, page)
    fill(60, first=4)
    many = executed_queries(staff, page)
    assert [len(sql) for sql in many if "SUM(" in sql] == [len(sql) for sql in few if "SUM(" in sql] != []


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("today", datetime(2026, 11, 25, tzinfo=UTC), None),
        ("week", datetime(2026, 11, 23, tzinfo=UTC), None),
        ("month", datetime(2026, 11, 1, tzinfo=UTC), None),
        ("last-month", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-10-01..2026-10-31", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        ("..2026-10-31", None, datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-10-01..", datetime(2026, 10, 1, tzinfo=UTC), None),
    ],
)
def test_periods(text: str, since: datetime | None, until: datetime | None) -> None:
    assert parse_period(text, NOW) == Period(since, until)


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01..", "2026-10-02..2026-10-01", "2026-10-01", "..9999-12-31", "..\0"]
)
def test_what_is_no_period_shows_the_whole_list_and_says_so(staff: Client, text: str) -> None:
    fill(2)
    answer = staff.get(admin_pages.table(Contribution, period=text), follow=True)
    assert "A value in that address cannot be used here" in admin_pages.text_of(answer)


def test_a_form_of_two_dates_becomes_a_period(staff: Client) -> None:
    fill(2)
    Refund.objects.filter(group=1).update(created_at=timezone.now() - timedelta(days=400))
    answer = staff.get("/admin/contributions/refund/", {"from": "2026-11-01", "to": "2026-11-30"}, follow=True)
    assert answer.redirect_chain == [("/admin/contributions/refund/?period=2026-11-01..2026-11-30", 302)]
    assert "1 row on this page" in admin_pages.text_of(answer)


def test_the_form_of_dates_keeps_the_other_filters(staff: Client) -> None:
    """Breaks if the form had its two dates alone: whoever narrows a group's rows would get those of all groups."""
    fill(3)
    chosen = {"group": "2", "source": "event", "q": "", "period": "2026-11-01..2026-11-30"}
    html = staff.get("/admin/contributions/refund/", chosen).content.decode()
    form = html.partition('class="period-form">')[2].partition("</form>")[0]
    sent = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    assert sent == {"group": "2", "source": "event", "q": "", "from": "2026-11-01", "to": "2026-11-30"}
    answer = staff.get("/admin/contributions/refund/", sent, follow=True)
    assert answer.redirect_chain == [(admin_pages.table(Refund, **chosen), 302)]
    assert "1 row on this page" in admin_pages.text_of(answer)


def test_a_form_without_dates_takes_the_period_away(staff: Client) -> None:
    fill(1)
    sent = {"group": "1", "period": "month", "from": "", "to": ""}
    assert staff.get("/admin/contributions/refund/", sent, follow=True).redirect_chain == [
        (admin_pages.table(Refund, group=1), 302)
    ]


@pytest.mark.parametrize("period", ["month", "2026-11-01..", "..2026-11-30"])
def test_the_form_shows_the_dates_that_are_chosen(staff: Client, period: str) -> None:
    html = staff.get(admin_pages.table(Refund, period=period)).content.decode()
    dates = ["", ""] if period == "month" else period.split("..")
    assert re.findall(r'type="date" name="\w+" value="([^"]*)"', html) == dates


def test_staff_without_the_permission_take_nothing_out(client: Client) -> None:
    client.force_login(Account.objects.create(username="obi", is_staff=True))
    assert client.get("/admin/contributions/contribution/csv/").status_code == 403
