"""What each role may see and do, and that staff status alone may nothing."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.auth.models import User as Account
from django.core.management import call_command
from django.db.models import Model
from django.test import Client

from ajo.console.roles import LABELLER, OPERATOR, ROLES, VIEWER, keep_roles
from groups.models import WalletLabel
from tests.support import admin_pages
from tests.support.admin_rows import TABLES, account, fill

pytestmark = pytest.mark.django_db
NAMES = [model._meta.object_name for model in TABLES]


def client_of(role: str | None) -> Client:
    person = Account.objects.create(username="obi", is_staff=True)
    if role:
        person.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(person)
    return client


@pytest.mark.parametrize("model", TABLES, ids=NAMES)
def test_staff_status_alone_sees_nothing(model: type[Model]) -> None:
    fill(1)
    client = client_of(None)
    found = model._default_manager.order_by("pk")[0]
    assert [client.get(page).status_code for page in (admin_pages.table(model), admin_pages.row(found))] == [403, 403]


def test_the_front_page_of_staff_status_alone_is_empty() -> None:
    fill(1)
    html = client_of(None).get("/admin/").content.decode()
    assert "You don’t have permission to view or edit anything." in html
    assert 'id="front-page"' not in html


@pytest.mark.parametrize(
    ("role", "statuses"), [(VIEWER, [200, 403, 403]), (LABELLER, [200, 302, 403]), (OPERATOR, [200, 302, 200])]
)
def test_each_role_may_what_the_one_before_may_and_more(role: str, statuses: list[int]) -> None:
    fill(1)
    client = client_of(role)
    answers = [
        client.get(admin_pages.table(WalletLabel)),
        client.post(admin_pages.add(WalletLabel), {"address": account(9), "label": "Ada", "note": ""}),
        client.get(admin_pages.table(LogEntry)),
    ]
    assert [answer.status_code for answer in answers] == statuses


def test_no_role_makes_accounts_or_gives_permissions() -> None:
    given = Permission.objects.filter(group__name__in=ROLES).values_list("content_type__app_label", flat=True)
    assert set(given) == {"admin", "axes", "contributions", "groups", "ops", "soroban"}


def test_migrations_give_roles_their_permissions_back() -> None:
    role = Group.objects.get(name=VIEWER)
    before = set(role.permissions.all())
    role.permissions.clear()
    Group.objects.filter(name=OPERATOR).delete()
    call_command("migrate", verbosity=0)
    assert set(role.permissions.all()) == before != set()
    assert set(ROLES) <= set(Group.objects.values_list("name", flat=True))
    keep_roles()
    assert set(role.permissions.all()) == before


def test_what_staff_change_is_told_in_the_audit() -> None:
    client = client_of(OPERATOR)
    client.post(admin_pages.add(WalletLabel), {"address": account(9), "label": "A\u202eda", "note": ""})
    client.get("/admin/")  # the message about it is shown once
    entry = LogEntry.objects.get()
    for page in (admin_pages.table(LogEntry), admin_pages.row(entry)):
        text = admin_pages.shown_text(client, page)
        assert "obi" in text
        assert "Addition" in text
        assert "\u202e" not in text
    assert client.post(admin_pages.row(entry, "delete"), {"post": "yes"}).status_code == 403
