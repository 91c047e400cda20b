"""API of transactions: those submitted here, those of others, and lists of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from ajo.soroban.models import ChainTransaction
from contributions.models import Contribution, Payout
from tests.support.factories import (
    API,
    account,
    make_checkpoint,
    make_event,
    make_group,
    make_row,
    make_transaction,
)

pytestmark = pytest.mark.django_db
CLOSED = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _checkpoint() -> None:
    make_checkpoint()


def transaction(client: Client, tx_hash: str) -> dict[str, Any]:
    response = client.get(f"{API}transactions/{tx_hash}/")
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()
    return found


def test_a_transaction_of_others_shows_all_that_it_carried_and_null_for_what_is_unknown(client: Client) -> None:
    make_group(1, members=(1, 2))
    for user in (1, 2):
        make_row(Contribution, 1, user, 1, 10 + user, tx_hash="ab" * 32)
    make_row(Payout, 1, 1, 1, 13, tx_hash="ab" * 32)
    make_event(11, tx_hash="ab" * 32)
    shown = transaction(client, "AB" * 32)
    carried = {kind: len(shown.pop(kind)) for kind in ("contributions", "payouts", "refunds", "events")}
    assert carried == {"contributions": 2, "payouts": 1, "refunds": 0, "events": 1}
    assert shown == {
        "hash": "ab" * 32, "status": "success", "retry": None, "code": None, "detail": None, "contract_error": None,
        "function": None, "group": "1", "source": None, "sequence": None, "valid_until": None,
        "fee": {"max": None, "charged": None}, "ledger": 11, "created_at": "2026-01-01T00:00:00Z", "result": None,
        "attempts": None, "last_answer": None, "submitted_at": None,
    }  # fmt: skip


def test_a_submitted_transaction_shows_its_state_in_the_promised_form(client: Client) -> None:
    row = make_transaction(
        7, status="failed", code="contract_error", detail="A contract refused it.", ledger=900, closed_at=CLOSED,
        contract_error={"contract": "C", "code": 8, "name": "GroupFull"}, fee_charged=2**53 + 1, attempts=2,
        sequence=2**62, result=None, last_answer="PENDING", submitted_ledger=898,
    )  # fmt: skip
    shown = transaction(client, row.hash)
    assert shown.pop("submitted_at").endswith("Z")
    assert shown == {
        "hash": row.hash, "status": "failed", "retry": "rebuild", "code": "contract_error",
        "detail": "A contract refused it.", "contract_error": {"contract": "C", "code": 8, "name": "GroupFull"},
        "function": "join_group", "group": "1", "source": account(1), "sequence": str(2**62),
        "valid_until": "2027-01-15T08:00:00Z", "fee": {"max": "1000", "charged": str(2**53 + 1)}, "ledger": 900,
        "created_at": "2026-01-01T00:01:00Z", "result": None, "attempts": 2, "last_answer": "PENDING",
        "contributions": [], "payouts": [], "refunds": [], "events": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "retry"),
    [
        ("pending", "wait"), ("success", None), ("failed", "rebuild"), ("rejected", "replace"), ("expired", "rebuild"),
        ("unknown", None),
    ],
)  # fmt: skip
def test_retry_says_what_can_be_done_without_paying_twice(client: Client, status: str, retry: str | None) -> None:
    row = make_transaction(1, status=status, ledger=5)
    assert transaction(client, row.hash)["retry"] == retry


@pytest.mark.parametrize(
    ("other", "retry"),
    [
        ({"status": "success", "ledger": 5}, None), ({"status": "pending"}, "wait"), ({"status": "rejected"}, "wait"),
        ({"status": "rejected", "next_attempt_at": None}, "rebuild"), ({"status": "failed", "ledger": 5}, "rebuild"),
        ({"status": "expired"}, "rebuild"), ({"status": "success", "ledger": 5, "sequence": 8}, "rebuild"),
        ({"status": "success", "ledger": 5, "source": account(2)}, "rebuild"),
    ],
)  # fmt: skip
def test_what_another_has_done_or_may_do_is_not_built_anew(
    client: Client, other: dict[str, Any], retry: str | None
) -> None:
    """Breaks if `rebuild` were said of what was replaced: a client that does as it is told pays twice."""
    row = make_transaction(1, status="expired", source=account(1), sequence=7)
    make_transaction(2, **({"source": account(1), "sequence": 7, "next_attempt_at": datetime.now(UTC)} | other))
    assert transaction(client, row.hash)["retry"] == retry
    assert client.get(f"{API}transactions/?status=expired").json()["results"][0]["retry"] == retry


@pytest.mark.parametrize("tx_hash", ["0" * 63, "g" * 64, "٣" * 64])
def test_a_malformed_hash_is_400(client: Client, tx_hash: str) -> None:
    assert client.get(f"{API}transactions/{tx_hash}/").status_code == 400


FILTERS = [
    ("", [5, 4, 3, 2, 1]),
    (f"source={account(2)}", [5]),
    ("group=2", [4]),
    ("status=success", [3]),
    ("function=contribute", [2]),
    (f"source={account(1)}&status=pending&function=join_group&group=1", [1]),
    ("group=99999999999999999999", []),
]


@pytest.mark.parametrize(("query", "numbers"), FILTERS)
def test_those_submitted_here_are_listed_newest_first_by_filters(
    client: Client, query: str, numbers: list[int]
) -> None:
    others: list[dict[str, Any]] = [
        {}, {"function": "contribute"}, {"status": "success", "ledger": 1000}, {"group_id": 2}, {"source": account(2)},
    ]  # fmt: skip
    for number, values in enumerate(others, 1):
        make_transaction(number, submitted_ledger=900 + number, **values)
    make_event(11, tx_hash="ab" * 32)  # not submitted here
    listed = client.get(f"{API}transactions/?{query}").json()["results"]
    assert [int(each["hash"], 16) for each in listed] == numbers


def test_pages_of_transactions_of_one_ledger_neither_skip_nor_repeat(client: Client) -> None:
    for number in range(7):
        make_transaction(number, submitted_ledger=900 + number % 2)
    url: str | None = f"{API}transactions/?limit=2"
    seen: list[str] = []
    while url:
        page = client.get(url).json()
        seen += [each["hash"] for each in page["results"]]
        url = page["next"]
    ordered = ChainTransaction.objects.order_by("-submitted_ledger", "-hash").values_list("hash", flat=True)
    assert seen == list(ordered)


@pytest.mark.parametrize("query", ["status=done", "function=get_group", "source=M", "group=0", "unknown=1"])
def test_a_filter_that_is_none_is_400(client: Client, query: str) -> None:
    response = client.get(f"{API}transactions/?{query}")
    assert response.status_code == 400
    assert list(response.json()["errors"]) == [query.partition("=")[0]]


def test_a_listed_transaction_is_what_its_own_path_shows(client: Client) -> None:
    make_group(1, members=(1, 2))
    row = make_transaction(3, status="success", ledger=11)
    make_row(Contribution, 1, 1, 1, 11, tx_hash=row.hash)
    make_event(11, tx_hash=row.hash)
    (listed,) = client.get(f"{API}transactions/").json()["results"]
    assert listed == transaction(client, row.hash)
    assert [len(listed[kind]) for kind in ("contributions", "payouts", "refunds", "events")] == [1, 0, 0, 1]


def posted(client: Client, body: Any, content_type: str = "application/json") -> Any:
    return client.post(f"{API}transactions/", body, content_type=content_type)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "xdr"), ({"xdr": None}, "xdr"), ({"xdr": ""}, "xdr"), ({"xdr": ["AAAA"]}, "xdr"), ({"xdr": 5}, "xdr"),
        ({"xdr": "A\0A"}, "xdr"), ({"xdr": "AAAA", "fee": 1}, "fee"), ([], "non_field_errors"),
        ("AAAA", "non_field_errors"), (None, "non_field_errors"),
    ],
)  # fmt: skip
def test_a_body_of_another_form_is_400_by_field(client: Client, body: Any, field: str) -> None:
    response = posted(client, json.dumps(body))
    assert response.status_code == 400, response.content
    assert list(response.json()["errors"]) == [field]
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("xdr=AAAA", "application/x-www-form-urlencoded", 400),
        ("AAAA", "text/plain", 415),
        ("--x", "multipart/form-data; boundary=x", 415),
        ("AAAA", "\u0660/\u0660", 415),
        ("x" * 262_145, "application/json", 413),
    ],
)
def test_another_type_or_size_of_body_is_refused(client: Client, body: str, content_type: str, status: int) -> None:
    response = posted(client, body, content_type)
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")


def test_a_post_takes_no_parameters(client: Client) -> None:
    response = client.post(f"{API}transactions/?min_ledger=5", {"xdr": "AAAA"}, content_type="application/json")
    assert list(response.json()["errors"]) == ["min_ledger"]


def test_posts_are_limited_like_reads(client: Client, settings: Settings) -> None:
    settings.READ_RATE = "2/d"
    codes = [posted(client, {"xdr": "AAAA"}).status_code for _ in range(3)]
    assert codes == [400, 400, 429]


def test_a_browser_may_post_from_any_site(client: Client) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    allowed = client.options(f"{API}transactions/", headers=asked)
    assert (allowed.status_code, allowed["Access-Control-Allow-Origin"]) == (204, "*")
    assert "POST" in allowed["Access-Control-Allow-Methods"].split(", ")
    assert {"Content-Type", "Prefer"} <= set(allowed["Access-Control-Allow-Headers"].split(", "))
    exposed = posted(client, {"xdr": "AAAA"})["Access-Control-Expose-Headers"].split(", ")
    assert {"Location", "Preference-Applied", "Retry-After"} <= set(exposed)
