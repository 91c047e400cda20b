"""Passwords cannot be tried without end, wherever from and whatever else is down; and whoever tries is seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessLog
from django.conf import settings as configured
from django.contrib.auth.models import Permission
from django.contrib.auth.models import User as Account
from django.db.models import F
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from ajo import cache
from ajo.cache import redis_client
from tests.support import admin_pages

pytestmark = pytest.mark.django_db
RIGHT, WRONG = "right-0123456789", "wrong-9876543210"
LIMIT = configured.AXES_FAILURE_LIMIT


@pytest.fixture(autouse=True)
def _accounts(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # 200 comparisons, in no time
    for name in ("chief", "clerk"):
        Account.objects.create_user(name, password=RIGHT, is_staff=True)


@pytest.fixture
def no_redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(redis_client, "COOLDOWN", 0)  # no test after this one finds Redis left alone
    cache.client.cache_clear()
    yield
    cache.client.cache_clear()


def log_in(client: Client, address: str, name: str = "chief", password: str = WRONG, **headers: str) -> HttpResponse:
    form = {"username": name, "password": password}
    return client.post("/admin/login/", form, REMOTE_ADDR=address, headers=headers)  # type: ignore[return-value]


def is_told(answer: HttpResponse) -> bool:
    """Whether the answer says in words that and how long log-ins are refused."""
    words = answer.content.decode()
    return (
        answer.status_code == 429
        and 1 <= int(answer["Retry-After"]) <= 900
        and words.startswith("Too many failed log-ins for this account or from this address. Try again in 15 minutes;")
    )


@pytest.mark.usefixtures("no_redis")
def test_an_account_is_locked_whatever_addresses_it_is_tried_from(client: Client) -> None:
    answers = [log_in(client, f"192.0.2.{number}") for number in range(60)]
    assert [answer.status_code for answer in answers] == [200] * (LIMIT - 1) + [429] * (61 - LIMIT)
    assert all(is_told(answer) for answer in answers[LIMIT - 1 :])
    assert is_told(log_in(client, "198.51.100.1", password=RIGHT))
    assert log_in(client, "198.51.100.1", name="clerk", password=RIGHT).status_code == 302


@pytest.mark.usefixtures("no_redis")
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8:1:2::{:x}"])
def test_an_address_is_locked_whatever_accounts_it_tries(client: Client, address: str) -> None:
    """Of IPv6, all addresses of a /64: whoever has one has them all."""
    answers = [log_in(client, address.format(number), name=f"guess-{number}") for number in range(LIMIT + 2)]
    assert [is_told(answer) for answer in answers] == [False] * (LIMIT - 1) + [True] * 3
    assert is_told(log_in(client, address.format(77), password=RIGHT))
    assert log_in(client, "2001:db8:1:3::1", password=RIGHT).status_code == 302


def test_others_do_not_lock_an_account_where_it_is_used(client: Client) -> None:
    """Breaks if anybody who knows the name could keep its owner out, who signs in from where he always does."""
    assert log_in(Client(), "198.51.100.1", password=RIGHT).status_code == 302
    for number in range(LIMIT + 2):
        log_in(Client(), f"192.0.2.{number}")
    assert is_told(log_in(Client(), "198.51.100.2", password=RIGHT))
    assert is_told(log_in(Client(), "192.0.2.1", password=RIGHT))
    assert log_in(Client(), "198.51.100.1", password=RIGHT).status_code == 302
    AccessLog.objects.update(attempt_time=F("attempt_time") - timedelta(days=configured.RUNS_KEPT_DAYS + 1))
    assert is_told(log_in(Client(), "198.51.100.1", password=RIGHT))


def test_where_an_account_is_used_it_cannot_be_guessed_without_end_either(client: Client) -> None:
    assert log_in(Client(), "198.51.100.1", password=RIGHT).status_code == 302
    statuses = [log_in(client, "198.51.100.1").status_code for _ in range(LIMIT + 1)]
    assert statuses == [200] * (LIMIT - 1) + [429] * 2
    assert is_told(log_in(client, "198.51.100.1", password=RIGHT))


def test_behind_a_trusted_proxy_the_clients_address_is_locked(client: Client, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    for number in range(LIMIT):
        log_in(client, "10.0.0.1", name=f"guess-{number}", **{"X-Forwarded-For": "198.51.100.7"})
    assert is_told(log_in(client, "10.0.0.2", password=RIGHT, **{"X-Forwarded-For": "198.51.100.7"}))
    assert log_in(client, "10.0.0.1", password=RIGHT, **{"X-Forwarded-For": "198.51.100.8"}).status_code == 302


def test_a_lock_ends_by_itself_and_tries_meanwhile_do_not_prolong_it(client: Client) -> None:
    for number in range(LIMIT):
        log_in(client, f"192.0.2.{number}")
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=14, seconds=30))
    refused = log_in(client, "198.51.100.1")
    assert (refused.status_code, int(refused["Retry-After"]) <= 30) == (429, True)
    assert b"Try again in 1 minute;" in refused.content
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(seconds=40))
    assert log_in(client, "198.51.100.1", password=RIGHT).status_code == 302


def test_an_account_of_ones_own_does_not_reset_the_count(client: Client) -> None:
    statuses = []
    for _ in range(LIMIT):
        statuses.append(log_in(client, "192.0.2.7").status_code)
        log_in(Client(), "192.0.2.7", name="clerk", password=RIGHT)
    assert statuses[-1] == 429


def test_failures_and_successes_leave_a_line_without_the_password(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    log_in(client, "192.0.2.7")
    log_in(client, "192.0.2.7", name=WRONG)  # typed into the wrong field
    log_in(client, "192.0.2.8", password=RIGHT)
    for number in range(LIMIT):
        log_in(Client(), f"192.0.2.{100 + number}")
    lines = [record.getMessage() for record in caplog.records if record.name == "ajo.ops.logins"]
    assert lines[:3] == [
        "log-in failed: account chief from 192.0.2.7",
        "log-in failed: no such account from 192.0.2.7",
        "log-in: account chief from 192.0.2.8",
    ]
    assert lines[-1] == "log-in refused, too many failures: account chief from 192.0.2.109"
    assert not [text for text in caplog.messages if RIGHT in text or WRONG in text]


def test_staff_see_who_tried_and_lift_a_lock_by_permission(client: Client) -> None:
    for number in range(LIMIT):
        log_in(Client(), f"192.0.2.{number}", **{"User-Agent": "evil\u3164<b>".encode().decode("latin-1")})
    clerk = Account.objects.get(username="clerk")
    for name in ("view_accessattempt", "view_accesslog"):
        clerk.user_permissions.add(Permission.objects.get(codename=name))
    log_in(client, "198.51.100.1", name="clerk", password=RIGHT)
    page = client.get(admin_pages.table(AccessAttempt)).content.decode()
    assert "192.0.2.3" in page
    assert "chief" in page
    assert "<b>" not in page.partition("result_list")[2]
    assert "198.51.100.1" in client.get(admin_pages.table(AccessLog)).content.decode()
    some = AccessAttempt.objects.order_by("pk")[0]
    assert client.get(admin_pages.row(some)).status_code == 200
    assert WRONG not in client.get(admin_pages.row(some)).content.decode()
    assert client.post(admin_pages.row(some, "delete"), {"post": "yes"}).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="delete_accessattempt"))
    assert client.post(admin_pages.row(some, "delete"), {"post": "yes"}).status_code == 302
    assert log_in(Client(), "198.51.100.2", password=RIGHT).status_code == 302


def test_no_password_is_stored_beside_an_attempt(client: Client) -> None:
    log_in(client, "192.0.2.7")
    stored = AccessAttempt.objects.values().get()
    assert WRONG not in str(stored)


def test_a_program_that_asks_without_a_request_is_answered() -> None:
    assert Client().login(username="chief", password=RIGHT)
    assert not Client().login(username="chief", password=WRONG)
