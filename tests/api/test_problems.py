"""Errors under /api/ are RFC 9457 problems, whatever is asked."""

import json
from io import BytesIO
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from django.test.client import RequestFactory
from pytest_django import Settings
from rest_framework.exceptions import ParseError
from stellar_sdk import MuxedAccount

from ajo.api.rendering import JSONParser
from ajo.wsgi import application
from groups.models import Group
from tests.support.factories import API, account, contract, make_checkpoint, make_group

pytestmark = pytest.mark.django_db


def problem(response: Any, status: int) -> dict[str, Any]:
    """The body, after asserting that it is the problem of this status."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response["Content-Length"] == str(len(response.content))
    assert response["Access-Control-Allow-Origin"] == "*"
    body: dict[str, Any] = json.loads(response.content)
    assert body["status"] == status
    assert {"type", "title", "status", "detail"} <= set(body)
    return body


@pytest.fixture(autouse=True)
def _checkpoint() -> None:
    make_checkpoint()


@pytest.mark.parametrize("group_id", ["0", "-1", "01", "1.0", "x", "1e3", "٣", "1%00", "%0A1", "+1", " 1", "1%20"])
def test_a_group_id_in_another_form_is_400(client: Client, group_id: str) -> None:
    for more in ("", "members/", "events/", "contributions/"):
        body = problem(client.get(f"{API}groups/{group_id}/{more}"), 400)
        assert "id" in body["errors"]


@pytest.mark.parametrize("group_id", [str(2**63), str(2**64), "9" * 400])
def test_a_number_too_large_for_any_id_is_404(client: Client, group_id: str) -> None:
    for more in ("", "members/", "payouts/"):
        problem(client.get(f"{API}groups/{group_id}/{more}"), 404)


def test_a_group_above_the_contracts_counter_is_404_without_asking_the_chain(client: Client) -> None:
    problem(client.get(f"{API}groups/5/"), 404)
    problem(client.get(f"{API}groups/5/refunds/"), 404)


@pytest.mark.parametrize("address", ["G", "x", account(1)[:-1] + "7", account(1).lower(), "S" * 56, "%00", "a" * 3000])
def test_what_is_no_address_is_400(client: Client, address: str) -> None:
    for path in (
        f"users/{address}/",
        f"users/{address}/dues/",
        f"groups/?member={address}",
        f"payouts/?user={address}",
    ):
        problem(client.get(API + path), 400)


def test_a_muxed_address_is_refused_with_its_account(client: Client) -> None:
    muxed = MuxedAccount(account(1), 5).account_muxed
    for path in (f"users/{muxed}/", f"groups/?creator={muxed}"):
        assert account(1) in problem(client.get(API + path), 400)["detail"]


def test_a_wallet_in_no_group_is_404_and_as_a_filter_finds_nothing(client: Client) -> None:
    for more in ("", "groups/", "dues/", "contributions/", "payouts/", "refunds/"):
        problem(client.get(f"{API}users/{account(9)}/{more}"), 404)
    assert client.get(f"{API}groups/?member={contract(9)}").json()["results"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=٣", "limit=9999999999999999999",
        "cursor=", "cursor=x", "cursor=%00", "cursor=é", "cursor=" + "A" * 900, "status=open", "status=Active",
        "joinable=1", "joinable=TRUE", "amount_min=1.5", "amount_min=x", f"amount_max={2**127}", "amount_min=1e3",
        "amount_min=" + "9" * 900, "search=ab", "search=" + "a" * 51, "search=a%00c", "ordering=name",
        "ordering=--id", "ordering=id,-id", "token=XLM", "unknown=1", "format=xml", "offset=5", "page=2",
        "status=active&status=active", "limit=5&limit=6", "min_ledger=-1", "min_ledger=x", "min_ledger=99999999999",
    ],
)  # fmt: skip
def test_a_malformed_query_is_400_and_names_the_parameter(client: Client, query: str) -> None:
    body = problem(client.get(f"{API}groups/?{query}"), 400)
    assert set(body["errors"]) == {query.split("=")[0]}


@pytest.mark.parametrize(
    "query",
    [
        "group=0", "group=x", "group=01", "round=-1", f"round={2**32}", "tx_hash=abc", "tx_hash=" + "g" * 64,
        "created_after=yesterday", "created_after=2026-01-01", "created_before=2026-01-01T00:00:00",
        "created_before=2026-02-30T00:00:00Z", "created_after=0001-01-01T00:00:00%2B14:00", "ordering=ledger",
    ],
)  # fmt: skip
def test_a_malformed_filter_of_history_is_400(client: Client, query: str) -> None:
    for path in ("contributions/", "payouts/", "refunds/"):
        body = problem(client.get(f"{API}{path}?{query}"), 400)
        assert set(body["errors"]) == {query.split("=")[0]}


@pytest.mark.parametrize("after", ["x", "1", "0000000000000000000-000000000", "٠" * 19 + "-0000000000"])
def test_an_event_id_in_another_form_is_400(client: Client, after: str) -> None:
    problem(client.get(f"{API}events/?after={after}"), 400)


@pytest.mark.parametrize("path", ["nope/", "groups/1/nope/", "%00/", "%FF%FE/", "groups//", "../../etc/passwd"])
def test_a_path_that_leads_nowhere_is_404(client: Client, path: str) -> None:
    problem(client.get(API + path), 404)
    problem(client.post(API + path, "{}", content_type="application/json"), 404)


def test_nothing_below_the_version_is_html(client: Client) -> None:
    for path in ("/api", "/api/", "/api/v2/groups/"):
        problem(client.get(path), 404)


@pytest.mark.parametrize("path", ["groups/", "groups/1/", "users/", "status/", "events/", "schema/", "docs/"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_other_methods_are_405_with_what_is_allowed(client: Client, path: str, method: str) -> None:
    response = getattr(client, method)(API + path, "{}", content_type="application/json")
    problem(response, 405)
    assert "GET" in response["Allow"]


def test_nothing_but_reading_is_done_with_the_page_that_is_html(client: Client) -> None:
    problem(client.options(f"{API}docs/"), 405)
    assert client.head(f"{API}docs/").status_code == 200


@pytest.mark.parametrize("path", ["groups/", "groups/1/", "status/", "schema/"])
def test_an_answer_in_another_form_is_406(client: Client, path: str) -> None:
    problem(client.get(API + path, headers={"Accept": "text/html"}), 406)


def test_a_path_without_slash_leads_on_when_read_and_is_404_when_written(client: Client) -> None:
    response = client.get(f"{API}groups?limit=5")
    assert (response.status_code, response["Location"]) == (308, f"{API}groups/?limit=5")
    assert "Content-Type" not in response
    problem(client.post(f"{API}groups", "{}", content_type="application/json"), 404)


def test_a_body_that_is_too_large_is_413(client: Client, settings: Settings) -> None:
    body = "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    problem(client.post(f"{API}groups/", body, content_type="application/json"), 413)


def test_another_host_is_a_400_problem(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    problem(client.get(f"{API}groups/", headers={"Host": "evil.example"}), 400)


def test_a_fault_of_ours_is_a_500_problem_without_its_cause(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> HttpResponse:
        raise RuntimeError("secret")

    client.raise_request_exception = False
    monkeypatch.setattr("groups.views.group_answer", fail)
    response = client.get(f"{API}groups/1/")
    problem(response, 500)
    assert b"secret" not in response.content


def test_a_database_that_is_gone_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OperationalError("connection to 10.0.0.5 refused")

    monkeypatch.setattr("ajo.soroban.models.CheckpointQuerySet.freshness", gone)
    response = client.get(f"{API}groups/")
    problem(response, 503)
    assert int(response["Retry-After"]) > 0
    assert b"10.0.0.5" not in response.content


def test_a_body_nested_deeper_than_the_stack_is_malformed() -> None:
    with pytest.raises(ParseError):
        JSONParser().parse(BytesIO(b"[" * 100_000), "application/json", {"encoding": "utf-8"})


@pytest.mark.parametrize("header", ["text/plain; a*=nope''x", "x;\x00=1", ";;;", "a/b; charset=\x00"])
def test_an_unreadable_content_type_does_not_break_a_read(header: str) -> None:
    environ = RequestFactory().get(f"{API}nope/").environ | {"CONTENT_TYPE": header}
    said: list[str] = []
    respond: Any = lambda status, headers: said.append(status)  # noqa: E731
    answer = b"".join(application(environ, respond))
    assert said[0].startswith("404")
    assert json.loads(answer)["status"] == 404


def test_a_browser_is_told_that_any_page_may_ask(client: Client) -> None:
    response = client.options(f"{API}groups/", headers={"Origin": "https://a.example"})
    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Type" not in response
    assert response["Access-Control-Allow-Origin"] == "*"
    assert "GET" in response["Access-Control-Allow-Methods"]


def test_head_has_the_headers_of_get_and_no_body(client: Client) -> None:
    make_group(1)
    for path in ("groups/", "groups/1/", "status/"):
        got, head = client.get(API + path), client.head(API + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head["ETag"] == got["ETag"]


def test_what_is_refused_is_told_with_what_would_be_taken(client: Client) -> None:
    said = problem(client.get(f"{API}groups/?status=nope"), 400)["errors"]
    assert said == {"status": [f"Expected one of: {', '.join(Group.Status.values)}."]}
    said = problem(client.get(f"{API}groups/1/members/?size=3&page=2"), 400)["errors"]
    assert said == {
        "size": ["Unknown parameter. This path takes cursor, limit, min_ledger."],
        "page": ["Unknown parameter."],
    }
    said = problem(client.post(f"{API}transactions/build/", {"function": "nope", "extra": 1}, "application/json"), 400)
    assert said["errors"]["extra"][0].startswith("Unknown field. Known are function, source, args, ")
    said = problem(client.post(f"{API}transactions/build/", {"function": "nope"}, "application/json"), 400)["errors"]
    assert said["function"][0].startswith("Expected one of: ")
    assert "contribute" in said["function"][0]


@pytest.mark.parametrize("host", ["other.example", "bad host", "x" * 5000])
def test_a_host_that_is_not_served_is_told_what_its_operator_sets(client: Client, host: str) -> None:
    body = problem(client.get(f"{API}groups/", headers={"host": host}), 400)
    assert body["code"] == "malformed_request"
    assert "Host" in body["detail"]
    assert "ALLOWED_HOSTS" in body["detail"]
    assert "PUBLIC_URL" in body["detail"]
    assert host not in body["detail"]
