"""The HTTP around building: bodies, browsers, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from ajo.transactions.codes import Code
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import BUILD, PREPARE, building, post, requests_seen
from tests.support.sending import BOB

__all__ = ["building"]
pytestmark = pytest.mark.django_db
RIGHT: dict[str, Any] = {"function": "execute_payout", "source": BOB.public_key, "args": {"group_id": "1"}}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"function": "get_group"}, "function"),
        ({"function": None}, "function"),
        ({"args": []}, "args"),
        ({"args": {}}, "args"),
        ({"valid_for": 59}, "valid_for"),
        ({"valid_for": 3601}, "valid_for"),
        ({"valid_for": "soon"}, "valid_for"),
        ({"sequence": "0"}, "sequence"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": str(2**63)}, "sequence"),
        ({"replaces": "ab"}, "replaces"),
        ({"inclusion_fee": "99"}, "inclusion_fee"),
        ({"inclusion_fee": 1.5}, "inclusion_fee"),
        ({"credentials": "delegates"}, "credentials"),
        ({"auth_valid_for": 0}, "auth_valid_for"),
        ({"memo": "x"}, "memo"),
    ],
)
def test_a_wrong_field_is_named_and_costs_no_request(building: Sandbox, changed: dict[str, Any], field: str) -> None:
    answer = post(BUILD, RIGHT | changed)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"].keys() == {field}
    assert requests_seen(building) == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b'"x"', b"null"])
@pytest.mark.parametrize("path", [BUILD, PREPARE])
def test_a_body_that_is_no_object_is_malformed(path: str, body: bytes) -> None:
    answer = Client().post(path, body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_another_media_type_is_refused() -> None:
    assert Client().post(BUILD, b"function=x", content_type="application/x-www-form-urlencoded").status_code == 415


@pytest.mark.parametrize("path", [BUILD, PREPARE])
def test_only_post_is_taken(path: str) -> None:
    answer = Client().get(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize("path", [BUILD, PREPARE])
def test_a_browser_of_any_site_may_post(path: str) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = Client().options(path, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type, If-None-Match, Prefer"


def test_no_cookie_is_needed_and_none_is_asked_for(building: Sandbox) -> None:
    answer: Any = Client(enforce_csrf_checks=True).post(BUILD, json.dumps(RIGHT), content_type="application/json")
    assert answer.status_code == 409
    assert not answer.cookies
    assert answer.headers["Cache-Control"] == "no-store"


def test_builds_count_towards_the_limit_of_what_costs_requests(building: Sandbox, settings: Settings) -> None:
    settings.CHAIN_RATE = "2/min"
    statuses = [post(BUILD, RIGHT).status_code for _ in range(3)]
    assert statuses == [409, 409, 429]
    requests_seen(building)
    assert post(BUILD, RIGHT | {"valid_for": 1}).status_code == 400  # what asks no node is not counted
    assert requests_seen(building) == {}


def test_the_code_of_a_conflict_is_from_the_closed_list(building: Sandbox) -> None:
    assert Code(post(BUILD, RIGHT).json()["code"]) == Code.CONTRACT_ERROR
