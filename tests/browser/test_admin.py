"""The admin in a real browser: no page breaks, whatever was written on the chain. Photographs are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Group as Role
from django.contrib.auth.models import User as Account
from django.db.models import Model
from pytest_django.live_server_helper import LiveServer

from ajo.console.roles import OPERATOR
from contributions.models import Contribution
from groups.models import Group, Token, User, WalletLabel
from tests.support import admin_pages
from tests.support.admin_rows import TABLES, account, fill, members
from tests.support.chromium import Page, chromium
from tests.support.waiting import wait_for

SHOTS = Path(settings.BASE_DIR) / ".data" / "browser"
# What hangs over the edge of the window, apart from what scrolls in a frame of its own.
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

COPY_LABELS = "[...document.querySelectorAll('.copy')].map(each => each.getAttribute('aria-label'))"


@pytest.fixture
def page(transactional_db: None) -> Iterator[Page]:
    with chromium() as browser:
        yield browser


def check(page: Page, address: str, name: str) -> None:
    assert page.open(address) == 200, address
    page.photograph(SHOTS / f"{name}.png")
    assert page.run(TOO_WIDE) <= 0, address
    assert page.run("document.querySelectorAll('.safe-text script, .safe-text img').length") == 0
    assert page.complaints == []


def test_staff_log_in_and_find_every_table_and_row_whole(page: Page, live_server: LiveServer) -> None:
    fill(8)
    members(Group.objects.get(pk=6), 9)
    clerk = Account.objects.create_user("clerk", password="correct horse", is_staff=True)
    clerk.groups.add(Role.objects.get(name=OPERATOR))
    assert page.open(f"{live_server.url}/admin/groups/group/") == 200
    page.photograph(SHOTS / "login.png")
    assert page.submit("#login-form", username="clerk", password="correct horse") == 200
    assert page.run("location.pathname") == "/admin/groups/group/"
    check(page, f"{live_server.url}/admin/", "index")
    check(page, f"{live_server.url}/admin/second-factor/", "second-factor")
    for model in TABLES:
        name = f"{model._meta.app_label}-{model._meta.model_name}"
        check(page, live_server.url + admin_pages.table(model), f"{name}-table")
        check(page, live_server.url + admin_pages.row(shown(model)), f"{name}-row")


def test_pages_fit_a_telephone(page: Page, live_server: LiveServer) -> None:
    fill(8)
    members(Group.objects.get(pk=6), 9)
    Account.objects.create_superuser("chief", password="correct horse")
    page.open(f"{live_server.url}/admin/")
    page.submit("#login-form", username="chief", password="correct horse")
    page.resize(390, 844)
    addresses = {
        "index": "/admin/", "group": admin_pages.row(Group.objects.get(pk=6)), "groups": admin_pages.table(Group),
        "contributions": admin_pages.table(Contribution), "wallet": admin_pages.row(User.objects.order_by("pk")[5]),
        "search": "/admin/search/?q=esusu", "second-factor": "/admin/second-factor/",
    }  # fmt: skip
    for name, address in addresses.items():
        check(page, live_server.url + address, f"telephone-{name}")


@pytest.fixture
def chief(page: Page, live_server: LiveServer) -> Page:
    """Log in a superuser, before whom three groups without labels are; the third's first member is the next."""
    fill(3)
    WalletLabel.objects.all().delete()
    Group.objects.filter(pk=3).update(status="active", payout_index=0)
    Account.objects.create_superuser("chief", password="correct horse")
    page.open(f"{live_server.url}/admin/")
    page.submit("#login-form", username="chief", password="correct horse")
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_a_button_that_copies_stands_beside_each_short_address(
    chief: Page, live_server: LiveServer, width: int, theme: str
) -> None:
    chief.resize(width, 900)
    chief.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    addresses = {
        "group": admin_pages.row(Group.objects.get(pk=3)), "contributions": admin_pages.table(Contribution),
        "wallet": admin_pages.row(User.objects.get(wallet_address=account(3))),
        "search": f"/admin/search/?q={account(3)}",
    }  # fmt: skip
    for name, address in addresses.items():
        check(chief, live_server.url + address, f"copy-{name}-{width}-{theme}")
        whole = chief.run("[...document.querySelectorAll('.shortened')].map(each => each.title)")
        assert account(3) in whole
        assert chief.run(COPY_LABELS) == [f"Copy {text}" for text in whole]


@pytest.mark.parametrize("has_tls", [True, False])
def test_the_whole_address_is_copied_by_one_key(chief: Page, live_server: LiveServer, has_tls: bool) -> None:
    """Breaks if browsers' clipboard were asked for alone: they keep it from pages without TLS."""
    chief.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    chief.open(live_server.url + admin_pages.row(Group.objects.get(pk=3)))
    chief.run("globalThis.clipboard = navigator.clipboard")
    if not has_tls:
        chief.run("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    chief.run("document.querySelector('.copy').focus()")
    chief.press("Enter", "\r")
    wait_for(lambda: chief.run("document.querySelector('[role=status]').textContent") == "Copied.")
    assert chief.run("clipboard.readText()") == account(3)
    assert chief.run("document.activeElement === document.querySelector('.copy')")
    assert chief.complaints == []


def shown(model: type[Model]) -> Model:
    """A row with hostile words; of the groups, the one with many members."""
    return model._default_manager.order_by("pk")[1 if model is Token else 5]
