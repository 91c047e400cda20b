"""`manage.py first_admin`: an account to begin with, once."""

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.core.management import CommandError

from tests.support.commands import run_command

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-and-rare-one"


def test_it_makes_a_superuser_once_and_changes_nothing_afterwards(settings: LazySettings) -> None:
    settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD = "amina", PASSWORD
    assert "made the account amina" in run_command("first_admin")
    made = get_user_model().objects.get()
    assert (made.username, made.is_superuser, made.is_staff) == ("amina", True, True)
    assert made.check_password(PASSWORD)
    settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD = "kofi", PASSWORD * 2
    assert "nothing is changed" in run_command("first_admin")
    assert get_user_model().objects.get().check_password(PASSWORD)


def test_without_a_password_there_is_no_account(settings: LazySettings) -> None:
    settings.ADMIN_PASSWORD = ""
    assert "ADMIN_PASSWORD is not set" in run_command("first_admin")
    assert not get_user_model().objects.exists()


@pytest.mark.parametrize("password", ["hidden1", "password12"])
def test_a_weak_password_is_refused_by_the_name_of_its_variable(settings: LazySettings, password: str) -> None:
    settings.ADMIN_PASSWORD = password
    with pytest.raises(CommandError, match=r"^ADMIN_PASSWORD: This password is ") as refused:
        run_command("first_admin")
    assert password not in str(refused.value)
    assert not get_user_model().objects.exists()


def test_an_account_of_that_name_is_never_promoted(settings: LazySettings) -> None:
    settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD = "kofi", PASSWORD
    get_user_model().objects.create_user("kofi", password="x")
    with pytest.raises(CommandError, match=r"^ADMIN_USERNAME: kofi exists and is no superuser; name another$"):
        run_command("first_admin")
    assert not get_user_model().objects.get().is_superuser
