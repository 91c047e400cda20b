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
from groups.models import Group, Token, User
from tests.support import admin_pages
from tests.support.admin_rows import TABLES, fill, members
from tests.support.chromium import Page, chromium

SHOTS = Path(settings.BASE_DIR) / ".data" / "browser"
# What hangs over the edge of the window, apart from what scrolls in a frame of its own.
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


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


def shown(model: type[Model]) -> Model:
    """A row with hostile words; of the groups, the one with many members."""
    return model._default_manager.order_by("pk")[1 if model is Token else 5]
