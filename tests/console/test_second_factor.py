"""Staff who turn the second factor on log in with its code, and nobody else needs one."""

from __future__ import annotations

import re
from base64 import b32decode
from contextlib import suppress
from functools import partial
from threading import Barrier, BrokenBarrierError

import pytest
from django.contrib.auth.models import User as Account
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

from tests.support.threads import run_concurrently

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
PAGE = "/admin/second-factor/"


@pytest.fixture
def person(settings: Settings) -> Account:
    settings.OTP_TOTP_THROTTLE_FACTOR = settings.OTP_STATIC_THROTTLE_FACTOR = 0  # several codes within a second
    return Account.objects.create_user("amina", password=PASSWORD, is_staff=True)


def log_in(client: Client, code: str = "") -> int:
    form = {"username": "amina", "password": PASSWORD, "otp_token": code}
    return client.post("/admin/login/?next=/admin/", form).status_code


def turn_on(client: Client) -> tuple[bytes, list[str]]:
    """Turn it on as the page says. Return the key and the recovery codes."""
    html = client.get(PAGE).content.decode()
    shown = re.search(r"Key: <code>([A-Z2-7=]+)</code>", html)
    assert shown is not None
    key = b32decode(shown[1])
    done = client.post(PAGE, {"code": f"{totp(key):06d}"}).content.decode()
    return key, re.findall(r"<li><code>(\w+)</code></li>", done)


def next_code(key: bytes) -> str:
    """Return the code of the next half minute, which a device takes when this one's was used."""
    return f"{totp(key, drift=1):06d}"


def test_whoever_wants_none_logs_in_by_password(client: Client, person: Account) -> None:
    assert log_in(client) == 302


def test_an_account_that_turned_it_on_needs_its_code(client: Client, person: Account) -> None:
    client.force_login(person)
    key, codes = turn_on(client)
    assert len(set(codes)) == 8
    for code, status in (("", 200), ("000000", 200), (next_code(key), 302)):
        assert log_in(Client(), code) == status, code


def test_a_page_that_refuses_a_log_in_never_repeats_the_password(client: Client, person: Account) -> None:
    client.force_login(person)
    turn_on(client)
    refused = Client().post("/admin/login/", {"username": "amina", "password": PASSWORD, "otp_token": "000000"})
    assert PASSWORD not in refused.content.decode()


def test_a_recovery_code_logs_in_once(client: Client, person: Account) -> None:
    client.force_login(person)
    _, codes = turn_on(client)
    assert [log_in(Client(), codes[0]) for _ in range(2)] == [302, 200]


def test_wrong_codes_cannot_be_tried_without_end(client: Client, person: Account, settings: Settings) -> None:
    client.force_login(person)
    key, _ = turn_on(client)
    settings.OTP_TOTP_THROTTLE_FACTOR = 600
    assert log_in(Client(), "000000") == 200
    assert log_in(Client(), next_code(key)) == 200  # right, and too soon after the wrong one


def test_it_is_turned_off_by_a_code_of_it_alone(client: Client, person: Account) -> None:
    client.force_login(person)
    key, _ = turn_on(client)
    assert "That is not the code" in client.post(PAGE, {"code": "000000"}).content.decode()
    assert TOTPDevice.objects.filter(user=person, confirmed=True).exists()
    assert client.post(PAGE, {"code": next_code(key)}).status_code == 302
    assert log_in(Client()) == 302


def test_a_key_that_nobody_confirmed_protects_and_locks_nothing(client: Client, person: Account) -> None:
    client.force_login(person)
    first = client.get(PAGE)
    assert "no-store" in first["Cache-Control"]
    assert first.content.decode().count("data:image/svg+xml") == 1
    assert log_in(Client()) == 302


def test_two_keys_that_nobody_confirmed_keep_nobody_from_the_page(client: Client, person: Account) -> None:
    """Breaks if one key were expected: two requests at once may have made one each."""
    for _ in range(2):
        TOTPDevice.objects.create(user=person, confirmed=False)
    client.force_login(person)
    assert client.get(PAGE).status_code == 200
    turn_on(client)
    assert TOTPDevice.objects.filter(user=person, confirmed=True).count() == 1


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_make_one_key(person: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    both, create = Barrier(2), TOTPDevice.objects.create

    def create_together(**values: object) -> TOTPDevice:
        """Make the device once the other request is about to, or does not come: the lock keeps it."""
        with suppress(BrokenBarrierError):
            both.wait(timeout=0.5)
        return create(**values)

    monkeypatch.setattr(TOTPDevice.objects, "create", create_together)
    clients = [Client(), Client()]
    for client in clients:
        client.force_login(person)
    assert run_concurrently([partial(client.get, PAGE) for client in clients]) == []
    assert TOTPDevice.objects.count() == 1


def test_another_account_s_code_is_of_no_use(client: Client, person: Account) -> None:
    client.force_login(person)
    turn_on(client)
    other = Account.objects.create_user("obi", password=PASSWORD, is_staff=True)
    stranger = Client()
    stranger.force_login(other)
    theirs, _ = turn_on(stranger)
    assert log_in(Client(), next_code(theirs)) == 200
