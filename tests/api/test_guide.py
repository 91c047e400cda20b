"""The guide's pages: served from docs/api, about this very service, with links that lead somewhere."""

import re

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client

from ajo.api.guide import FOLDER, PAGES, PUBLIC_ADDRESS, rendered

pytestmark = pytest.mark.django_db


def test_every_file_is_a_page_of_the_menu() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(PAGES)


def page(client: Client, name: str) -> str:
    response = client.get(f"/api/v1/docs/{name}/")
    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")
    return response.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_to_a_page_and_a_heading(client: Client, name: str) -> None:
    html = page(client, name)
    for target, fragment in re.findall(r'href="\.\./(?:([a-z-]+)/)?(?:#([\w-]+))?"', html):
        there = page(client, target) if target else ""
        assert not fragment or f'id="{fragment}"' in there, (target, fragment)
    assert ".md" not in re.sub(r"<code.*?</code>", "", html, flags=re.DOTALL)
    styles = re.findall(r'<link rel="stylesheet" href="/static/([^"]+)"', html)
    assert styles
    assert all(finders.find(each) for each in styles)


def test_pages_name_the_address_that_the_service_has(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PUBLIC_URL", "https://ajo.example")
    rendered.cache_clear()
    try:
        html = page(client, "errors")
    finally:
        rendered.cache_clear()
    assert PUBLIC_ADDRESS not in html
    assert "https://ajo.example/api/v1/groups/" in html


def test_a_page_is_html_whatever_is_accepted(client: Client) -> None:
    for accept in ("application/json", "text/html", "*/*"):
        assert client.get("/api/v1/docs/errors/", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("name", ["nothing", "ERRORS", "..", "errors.md", "%2e%2e%2fREADME"])
def test_there_is_no_other_page(client: Client, name: str) -> None:
    response = client.get(f"/api/v1/docs/{name}/")
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
