"""Staff sign in by the address that PUBLIC_URL names, however it is written."""

import runpy
from typing import Any

import pytest
from django.contrib.auth.models import User as Account
from django.test import Client
from pytest_django import Settings

from ajo.settings import BASE_DIR

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("HTTPS://Ajo.Example.COM", "https://ajo.example.com"),
        ("https://ajo.example.com:443", "https://ajo.example.com"),
        ("https://ajo.example.com:443/", "https://ajo.example.com"),
        ("https://ajo.example.com:8443", "https://ajo.example.com:8443"),
        ("http://Ajo.Example.com:80", "http://ajo.example.com"),
        ("https://ajo.example.com/savings/", "https://ajo.example.com"),
        ("http://[FD00::1]:8000", "http://[fd00::1]:8000"),
    ],
)
def test_a_form_from_the_public_address_is_taken(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, address: str, origin: str
) -> None:
    """A proxy that ends TLS passes the form on as plain HTTP, so that it is the trusted origin which counts."""
    monkeypatch.setenv("PUBLIC_URL", address)
    read: dict[str, Any] = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    for name in ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS"):
        setattr(settings, name, read[name])
    assert read["SESSION_COOKIE_SECURE"] is origin.startswith("https")
    Account.objects.create_user("chief", password="a long one", is_staff=True)
    client = Client(enforce_csrf_checks=True, headers={"Host": origin.partition("://")[2]})
    client.get("/admin/login/")
    form = {"username": "chief", "password": "a long one", "csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    answer = client.post("/admin/login/?next=/admin/", form, headers={"Origin": origin})
    assert (answer.status_code, answer.headers.get("Location")) == (302, "/admin/")


def test_pages_run_no_script_and_take_no_style_but_our_own(chief: Client) -> None:
    of_staff = ("/admin/", "/admin/login/", "/admin/groups/group/", "/admin/second-factor/")
    for page in (*of_staff, "/api/v1/docs/", "/api/v1/docs/guide/"):
        policy = chief.get(page).headers["Content-Security-Policy"]
        directives = dict(each.strip().split(" ", 1) for each in policy.split(";"))
        assert directives["default-src"] == "'none'"
        assert directives["script-src"] == directives["style-src"] == "'self'"
        assert "unsafe" not in policy
    for path in ("/api/v1/", "/api/v1/docs/?script", "/health/live"):
        assert "Content-Security-Policy" not in chief.get(path).headers
