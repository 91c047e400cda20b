"""`/` and `/api/v1/` say what there is."""

import re

import pytest
from django.conf import settings
from django.test import Client
from django.urls import resolve

import ajo
from tests.support.factories import account, contract, make_checkpoint

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/", "/api/v1/"])
def test_both_say_version_network_contract_and_every_endpoint(client: Client, path: str) -> None:
    make_checkpoint()
    response = client.get(path)
    shown = response.json()
    assert (shown["name"], shown["version"]) == ("Ajo", ajo.__version__)
    assert (shown["network_passphrase"], shown["contract"]) == ("Test", contract(1))
    assert shown["documentation"] == f"{settings.PUBLIC_URL}/api/v1/docs/guide/"
    assert shown["links"]["group"] == f"{settings.PUBLIC_URL}/api/v1/groups/{{group_id}}/"
    assert len(shown["links"]) >= 22
    assert response["Ajo-Version"] == ajo.__version__
    assert response["Access-Control-Allow-Origin"] == "*"
    assert f'<{settings.PUBLIC_URL}/api/v1/schema/>; rel="service-desc"' in response["Link"]


def test_each_link_leads_to_its_endpoint(client: Client) -> None:
    values = {"group_id": "1", "address": account(1), "hash": "0" * 64, "page": "guide"}
    for name, address in client.get("/").json()["links"].items():
        path = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], address).removeprefix(settings.PUBLIC_URL)
        assert resolve(path).url_name == name


def test_before_the_first_sync_nothing_is_followed(client: Client) -> None:
    shown = client.get("/").json()
    assert (shown["network_passphrase"], shown["contract"]) == (None, None)


def test_what_is_asked_with_an_unknown_parameter_is_refused_here_too(client: Client) -> None:
    response = client.get("/?x=1")
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


def test_every_answer_names_the_version(client: Client) -> None:
    make_checkpoint()
    for path in ("status/", "groups/", "groups/x/", "nothing/", "docs/errors/", "schema/"):
        assert client.get(f"/api/v1/{path}")["Ajo-Version"] == "0.9.0"
    assert client.get("/api/v1/status/").json()["version"] == "0.9.0"
