"""One search finds groups, wallets, tokens, labels and transactions, by what people have at hand."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission
from django.contrib.auth.models import User as Account
from django.test import Client

from ajo.console.roles import OUR_APPS
from ajo.console.search import MAX_FOUND, search
from groups.models import Group, WalletLabel
from tests.support.admin_pages import executed_queries, shown_text
from tests.support.admin_rows import HOSTILE, account, contract, fill, tx

pytestmark = pytest.mark.django_db


def kinds(term: str) -> list[str]:
    return [found.kind for found in search(term, lambda rows: rows)]


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("3", ["Group"]), ("#3", ["Group"]), (account(2), ["Wallets"]), (account(2).lower(), ["Wallets"]),
        (f"{account(2)[:6]}…{account(2)[-6:]}", ["Wallets"]), (f"{account(2)[:4]}...{account(2)[-4:]}", ["Wallets"]),
        (contract(1), ["Tokens"]), (tx(1), ["Transaction"]), (tx(1).upper(), ["Transaction"]),
        ("esusu", ["Groups"]), ("محله", ["Groups"]), ("ada & <b>2", ["Wallets"]), ("储蓄", ["Groups"]),
        ("Café", ["Groups"]), ("cafe", ["Groups"]),
        ("2024", ["Groups"]), ("700", ["Wallets"]), ("#20", ["Groups"]),
        ("99", []), ("G", []), ("ab", []), ("", []), ("\0", []), ("nothing of the kind", []), ("0" * 64, []),
    ],
)  # fmt: skip
def test_what_is_found_by_what(term: str, found: list[str]) -> None:
    fill(6)
    Group.objects.filter(pk=3).update(name="社区储蓄")
    Group.objects.filter(pk=5).update(name="Cafe\u0301 Lagos")
    Group.objects.filter(pk=6).update(name="Class #2024")
    WalletLabel.objects.filter(address=account(6)).update(label="Room 700")
    assert kinds(term) == found


def test_the_labels_of_wallets_that_no_group_has_are_found_too(staff: Client) -> None:
    WalletLabel.objects.create(address=account(77), label="Baba Ọjọ́")
    text = shown_text(staff, "/admin/search/?q=baba+ojo")
    assert "Labels Baba Ọjọ́" in text


def test_results_are_bounded_and_harmless(staff: Client) -> None:
    fill(MAX_FOUND + 5)
    WalletLabel.objects.update(label=HOSTILE)
    assert "Wallets, the first 20" in shown_text(staff, "/admin/search/?q=script")
    html = staff.get("/admin/search/", {"q": HOSTILE}).content.decode()
    assert "<script>alert" not in html
    assert len(executed_queries(staff, "/admin/search/?q=script")) < 12


def test_a_number_finds_its_group_and_what_is_named_so(staff: Client) -> None:
    fill(101)
    Group.objects.filter(pk=7).update(name="Class of 101")
    assert "Group 101: M" in shown_text(staff, "/admin/search/?q=101")
    assert "Groups 7: Class of 101" in shown_text(staff, "/admin/search/?q=101")


@pytest.mark.parametrize(
    ("model", "term"),
    [
        ("group", "1"), ("group", "esusu"), ("user", account(1)), ("token", contract(1)), ("walletlabel", "baba"),
        ("contribution", tx(1)), ("payout", tx(1)), ("refund", tx(1)), ("contractevent", tx(1)),
        ("chaintransaction", tx(1)),
    ],
)  # fmt: skip
def test_everybody_finds_what_they_may_see_and_nothing_else(client: Client, model: str, term: str) -> None:
    """Breaks if whoever may see groups were shown all else that a term finds."""
    fill(2)
    WalletLabel.objects.create(address=account(77), label="Baba")
    person = Account.objects.create(username="obi", is_staff=True)
    client.force_login(person)
    views = Permission.objects.filter(codename__startswith="view_", content_type__app_label__in=OUR_APPS)
    page = f"/admin/search/?{urlencode({'q': term})}"
    person.user_permissions.set(views.exclude(codename=f"view_{model}"))
    others = client.get(page).content.decode()
    assert f"/{model}/" not in others.partition('id="content-main"')[2]
    person.user_permissions.set(views.filter(codename=f"view_{model}"))
    links = re.findall(r'<li>.*?<a href="/admin/\w+/(\w+)/', client.get(page).content.decode())
    assert links[-1:] == [model]


def test_staff_status_alone_finds_nothing(client: Client) -> None:
    fill(1)
    client.force_login(Account.objects.create(username="obi", is_staff=True))
    assert "Nothing is found by" in shown_text(client, "/admin/search/?q=1")
