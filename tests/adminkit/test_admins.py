"""Access to the admin: staff only, and nobody can write there what comes from the chain."""

import ast
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.auth.models import User as Account
from django.core import serializers
from django.db.models import Model
from django.test import Client

from ajo.console.site import StaffSite
from groups.models import User, WalletLabel
from tests.support import admin_pages
from tests.support.admin_rows import READ_ONLY, TABLES, account, fill

pytestmark = pytest.mark.django_db
NAMES = [model._meta.object_name for model in TABLES]
ROOT = Path(settings.BASE_DIR)


def contents() -> str:
    return "".join(str(serializers.serialize("json", model._default_manager.order_by("pk"))) for model in READ_ONLY)


def test_every_table_of_ours_and_the_accounts_are_on_our_site() -> None:
    labels = ("soroban", "ops", "groups", "contributions", "auth")
    ours = {model for label in labels for model in apps.get_app_config(label).get_models()}
    missing = {model.__name__ for model in ours if not admin.site.is_registered(model)}
    assert isinstance(admin.site, StaffSite)
    assert missing == {"Permission"}


@pytest.mark.parametrize("model", TABLES, ids=NAMES)
def test_strangers_are_sent_to_the_login_from_every_page(client: Client, model: type[Model]) -> None:
    fill(1)
    found = model._default_manager.order_by("pk")[0]
    for address in (
        admin_pages.table(model),
        admin_pages.row(found),
        admin_pages.row(found, "delete"),
        admin_pages.add(model),
    ):
        for answer in (client.get(address), client.post(address, {"_save": "1"})):
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("flags", [{}, {"is_staff": True, "is_active": False}, {"is_superuser": True}])
def test_accounts_that_are_not_staff_are_refused(client: Client, flags: dict[str, bool]) -> None:
    fill(1)
    client.force_login(Account.objects.create(username="someone", **flags))
    assert client.get("/admin/").status_code == 302
    assert client.get(admin_pages.table(User)).status_code == 302


@pytest.mark.parametrize("model", READ_ONLY, ids=NAMES[: len(READ_ONLY)])
def test_not_even_a_superuser_can_write_what_comes_from_the_chain(chief: Client, model: type[Model]) -> None:
    fill(1)
    before = contents()
    found = model._default_manager.order_by("pk")[0]
    form = {field.name: "1" for field in model._meta.fields} | {"_save": "Save", "post": "yes"}
    action = {"action": "delete_selected", "_selected_action": str(found.pk), "select_across": "1", "post": "yes"}
    refused = [
        chief.get(admin_pages.add(model)),
        chief.post(admin_pages.add(model), form),
        chief.post(admin_pages.row(found), form),
        chief.get(admin_pages.row(found, "delete")),
        chief.post(admin_pages.row(found, "delete"), {"post": "yes"}),
        chief.post(admin_pages.table(model), action),
        chief.post(admin_pages.table(model), {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "_save": "Save"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    assert contents() == before


def test_members_cannot_be_written_through_their_group(chief: Client) -> None:
    fill(1)
    before = contents()
    form = {"memberships-TOTAL_FORMS": "2", "memberships-INITIAL_FORMS": "1", "memberships-0-id": "1"}
    form |= {"memberships-0-DELETE": "on", "memberships-1-user": "1", "memberships-1-position": "7"}
    answer = chief.post("/admin/groups/group/1/change/", form)
    assert answer.status_code == 403
    assert contents() == before


@pytest.mark.parametrize("model", READ_ONLY, ids=NAMES[: len(READ_ONLY)])
def test_pages_of_the_chain_offer_no_way_to_write(chief: Client, model: type[Model]) -> None:
    fill(1)
    found = model._default_manager.order_by("pk")[0]
    for address in (admin_pages.table(model), admin_pages.row(found)):
        html = chief.get(address).content.decode()
        for offer in ('name="_save"', 'name="action"', "deletelink-box", f'href="{admin_pages.add(model)}"', "DELETE"):
            assert offer not in html


def test_viewers_read_labels_and_write_none(staff: Client) -> None:
    """Breaks if every staff account might write them: labels are the one thing that nothing can rebuild."""
    fill(1)
    label = WalletLabel.objects.get()
    assert staff.get(admin_pages.table(WalletLabel)).status_code == staff.get(admin_pages.row(label)).status_code == 200
    form = {"address": account(1), "label": "Eve", "note": "", "post": "yes"}
    action = {"action": "delete_selected", "_selected_action": str(label.pk), "post": "yes"}
    refused = [staff.post(admin_pages.row(label), form), staff.post(admin_pages.row(label, "delete"), form)]
    refused += [staff.post(admin_pages.add(WalletLabel), form), staff.get(admin_pages.add(WalletLabel))]
    assert [answer.status_code for answer in refused] == [403] * 4
    staff.post(admin_pages.table(WalletLabel), action)
    assert [(row.label, row.address) for row in WalletLabel.objects.all()] == [(label.label, account(1))]
    for address in (admin_pages.table(WalletLabel), admin_pages.row(label)):
        html = staff.get(address).content.decode()
        assert [offer for offer in ('name="_save"', "deletelink", 'value="delete_selected"') if offer in html] == []
    WalletLabel.objects.all().delete()
    assert "Label this wallet" not in staff.get(admin_pages.row(User.objects.get())).content.decode()


@pytest.mark.parametrize("may", ["add", "change", "delete"])
def test_each_permission_for_labels_allows_its_own(client: Client, may: str) -> None:
    fill(1)
    label = WalletLabel.objects.get()
    clerk = Account.objects.create(username="clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename=f"{may}_walletlabel"))
    client.force_login(clerk)
    form = {"address": account(2), "label": "Obi", "note": "", "post": "yes"}
    tried = {
        "add": client.post(admin_pages.add(WalletLabel), form),
        "change": client.post(admin_pages.row(label), form | {"address": account(3)}),
        "delete": client.post(admin_pages.row(label, "delete"), form),
    }
    assert {action: answer.status_code for action, answer in tried.items()} == {
        action: 302 if action == may else 403 for action in tried
    }


def test_labels_are_written_only_for_addresses_that_exist(chief: Client) -> None:
    staff = chief
    wrong = staff.post(admin_pages.add(WalletLabel), {"address": account(1)[:-1] + "A", "label": "Ada", "note": ""})
    assert "An account (G…) or contract (C…) address" in wrong.content.decode()
    made = staff.post(admin_pages.add(WalletLabel), {"address": f" {account(1).lower()} ", "label": "Ada", "note": ""})
    assert made.status_code == 302
    label = WalletLabel.objects.get(address=account(1), label="Ada")
    assert (
        staff.post(admin_pages.row(label), {"address": account(1), "label": "Ada L.", "note": "n"}).status_code == 302
    )
    assert WalletLabel.objects.get().label == "Ada L."
    assert staff.post(admin_pages.row(label, "delete"), {"post": "yes"}).status_code == 302
    assert not WalletLabel.objects.exists()


def test_nothing_from_the_chain_can_become_a_staff_account(client: Client) -> None:
    fill(3)
    assert settings.AUTH_USER_MODEL == "auth.User"
    assert not Account.objects.exists()
    assert not client.login(username=account(1), password="")
    related = {field.related_model for field in User._meta.get_fields() if field.is_relation}
    assert not {model for model in related if model and model._meta.app_label == "auth"}


def test_what_reads_the_chain_never_touches_accounts() -> None:
    touching = []
    for folder in ("ajo/soroban", "ajo/api", "groups", "contributions"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                touching += [f"{path}: {name}" for name in names if name.startswith("django.contrib.auth")]
    assert touching == []


def test_the_base_of_the_admin_knows_no_tables() -> None:
    texts = {path.name: path.read_text() for path in (ROOT / "ajo/adminkit").rglob("*.py")}
    assert {"admins.py", "display.py", "lists.py"} <= set(texts)
    assert [name for name, text in texts.items() if ".models import" in text.replace("django.db.models", "")] == []


def test_passwords_cannot_be_tried_without_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ajo.console.site.LOGIN_RATE", "2/day")
    form = {"username": "chief", "password": "guess"}
    answers = [client.post("/admin/login/", form, REMOTE_ADDR="192.0.2.77") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2]["Retry-After"]) <= 86_400
    assert client.post("/admin/login/", form, REMOTE_ADDR="192.0.2.78").status_code == 200
    assert client.get("/admin/login/", REMOTE_ADDR="192.0.2.77").status_code == 200
