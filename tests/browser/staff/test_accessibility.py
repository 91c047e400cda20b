"""axe-core finds nothing on the console's pages, light and dark, on a desk and on a telephone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Group as Role
from django.contrib.auth.models import User as Account

from ajo.console.roles import VIEWER
from ajo.ops.models import Heartbeat
from ajo.soroban.models import ChainTransaction
from contributions.models import Contribution
from groups.models import Group, User, WalletLabel
from tests.support import admin_pages
from tests.support.axe import findings
from tests.support.chromium import Page
from tests.support.console_service import AMINA, CANCELLED, CHIEF, REFUSED_TX, RUNNING, Service, sign_in

SHOTS = Path(settings.BASE_DIR) / ".data" / "browser"

ABOUT_COLOURS = ("color-contrast", "link-in-text-block")


def label(action: str = "change") -> str:
    return admin_pages.row(WalletLabel.objects.get(address=AMINA), action)


# The address of a page of each kind.
PAGES: dict[str, Callable[[], str]] = {
    "first": lambda: "/admin/",
    "group": lambda: admin_pages.row(Group.objects.get(pk=RUNNING)),
    "group-cancelled": lambda: admin_pages.row(Group.objects.get(pk=CANCELLED)),
    "compare": lambda: f"/admin/groups/group/{RUNNING}/compare/",
    "heal": lambda: f"/admin/groups/group/{RUNNING}/heal/",
    "wallet": lambda: admin_pages.row(User.objects.get(wallet_address=AMINA)),
    "groups": lambda: admin_pages.table(Group),
    "contributions": lambda: admin_pages.table(Contribution, period="last-month"),
    "transactions": lambda: admin_pages.table(ChainTransaction),
    "transaction": lambda: admin_pages.row(ChainTransaction.objects.get(pk=REFUSED_TX)),
    "heartbeats": lambda: admin_pages.table(Heartbeat),
    "search-nothing": lambda: "/admin/search/?q=nobody",
    "search": lambda: "/admin/search/?q=amina",
    "label": label,
    "label-delete": lambda: label("delete"),
    "label-history": lambda: label("history"),
    "label-new": lambda: admin_pages.add(WalletLabel),
    "staff": lambda: admin_pages.table(Account),
    "staff-account": lambda: admin_pages.row(Account.objects.get(username=CHIEF)),
    "staff-new": lambda: admin_pages.add(Account),
    "role": lambda: admin_pages.row(Role.objects.get(name=VIEWER)),
    "section": lambda: "/admin/groups/",
    "second-factor": lambda: "/admin/second-factor/",
    "password": lambda: "/admin/password_change/",
}


def check(page: Page, name: str) -> None:
    """Assert that nothing is found on the page as it is, however it is looked at. Photographs are kept."""
    found = []
    for width in (1400, 390):
        page.resize(width, 900)
        for theme in ("light", "dark"):
            page.wear(theme)
            page.photograph(SHOTS / f"{name}-{width}-{theme}.png")
            rules = ABOUT_COLOURS if theme == "dark" else ()  # the rest is the same
            found += [f"{width} {theme} {line}" for line in findings(page, *rules)]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_found(page: Page, service: Service, name: str) -> None:
    sign_in(page, service, CHIEF)
    assert page.open(service.url + PAGES[name]()) == 200
    check(page, name)


def test_nothing_is_found_by_who_is_not_signed_in(page: Page, service: Service) -> None:
    page.click("Log out")
    check(page, "signed-out")
    page.open(f"{service.url}/admin/")
    check(page, "sign-in")
    page.write("Username", "nobody")
    page.write("Password", "wrong")
    page.click("Log in")
    check(page, "sign-in-refused")
