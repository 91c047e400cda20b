"""Statements: everything, in order, in constant memory, as JSON and as CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from ajo.api import downloads
from ajo.api.csv_files import BROKEN_OFF, plain_cell
from ajo.api.downloads import in_chunks
from contributions import statements
from contributions.models import Contribution, Payout, Refund
from contributions.periods import Period
from contributions.statement_formats import as_csv
from contributions.statements import Statement
from tests.support.factories import API, START, account, contract, make_checkpoint, make_group, make_row, make_token

pytestmark = pytest.mark.django_db
PATH = f"{API}users/{account(1)}/statement/"


@pytest.fixture(autouse=True)
def _history() -> None:
    """Wallet 1 pays at ledgers 10 and 30, is paid at 20, refunded at 40; one payment was recovered without a time."""
    make_checkpoint()
    make_group(1, members=(1, 2), name="=HYPERLINK(1)")
    make_group(2, members=(1, 3), token=make_token(2, symbol="@x", decimals=2))
    make_group(3, members=(1,), token=None)
    make_row(Contribution, 1, 1, 1, 10, amount=12_345_678)
    make_row(Payout, 1, 1, 1, 20, amount=2**127 - 1)
    make_row(Contribution, 2, 1, 1, 30, amount=105)
    make_row(Refund, 2, 1, 1, 40, amount=105)
    make_row(Contribution, 3, 1, 1, None, amount=7)
    make_row(Contribution, 1, 2, 1, 15)


def text(client: Client, path: str, **headers: str) -> str:
    response = client.get(path, headers=headers)
    assert response.status_code == 200, response.content
    assert response["Latest-Ledger"] == "1000"
    return response.getvalue().decode()


def listed(client: Client, query: str = "", path: str = PATH) -> list[tuple[str, int | None]]:
    return [(row["kind"], row["ledger"]) for row in json.loads(text(client, path + query))["results"]]


def test_a_wallets_statement_has_all_of_it_oldest_first_with_totals_by_token(client: Client) -> None:
    shown = json.loads(text(client, PATH))
    assert [(row["kind"], row["ledger"]) for row in shown["results"]] == [
        ("contribution", None), ("contribution", 10), ("payout", 20), ("contribution", 30), ("refund", 40),
    ]  # fmt: skip
    assert shown["results"][1] == {
        "kind": "contribution", "group": "1", "group_name": "=HYPERLINK(1)", "round": 1, "user": account(1),
        "amount": "12345678", "decimal_amount": "1.2345678", "token_address": contract(1),
        "token": {"symbol": "T1", "decimals": 7, "verified": False}, "reason": None, "tx_hash": f"{10:064x}",
        "ledger": 10, "created_at": "2026-01-01T00:00:50Z",
    }  # fmt: skip
    totals = {each["token_address"]: (each["paid"], each["received"], each["refunded"]) for each in shown["totals"]}
    assert totals == {
        None: ("7", "0", "0"),
        contract(1): ("12345678", str(2**127 - 1), "0"),
        contract(2): ("105", "0", "105"),
    }
    assert shown["undated"] == 0


def test_a_groups_statement_has_everybodys(client: Client) -> None:
    found = listed(client, path=f"{API}groups/1/statement/")
    assert found == [("contribution", 10), ("contribution", 15), ("payout", 20)]
    assert client.get(f"{API}groups/99/statement/").status_code == 404


@pytest.mark.parametrize(
    ("query", "ledgers"),
    [
        ("?from=2026-01-01T00:01:40Z", [20, 30, 40]),
        ("?from=2026-01-01T00:01:41Z", [30, 40]),
        ("?to=2026-01-01T00:01:40Z", [10]),
        ("?from=2026-01-01T00:01:40Z&to=2026-01-01T00:03:20Z", [20, 30]),
        ("?from=2026-01-01&to=2026-01-02", [10, 20, 30, 40]),
        ("?from=2026-01-02", []),
        ("?to=2026-01-01", []),
    ],
)
def test_a_period_includes_its_beginning_and_not_its_end(client: Client, query: str, ledgers: list[int]) -> None:
    assert [ledger for _, ledger in listed(client, query)] == ledgers
    assert json.loads(text(client, PATH + query))["undated"] == 1


def test_a_refund_that_was_recovered_has_a_time_and_is_in_its_period(client: Client) -> None:
    make_row(Refund, 3, 1, 1, None, created_at=START + timedelta(days=3))
    assert listed(client, "?from=2026-01-04&to=2026-01-05") == [("refund", None)]
    assert listed(client, "?from=2026-01-05") == []


def table(client: Client, path: str = f"{PATH}?format=csv", **headers: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text(client, path, **headers))))


def test_as_csv_it_has_the_same_rows_and_no_formula(client: Client) -> None:
    rows = table(client)
    assert table(client, PATH, Accept="text/csv") == rows
    assert [row["ledger"] for row in rows] == ["", "10", "20", "30", "40"]
    assert rows[1]["group_name"] == "'=HYPERLINK(1)"
    assert (rows[3]["symbol"], rows[3]["decimal_amount"], rows[3]["amount"]) == ("'@x", "1.05", "105")
    assert rows[2]["decimal_amount"] == "17014118346046923173168730371588.4105727"
    assert (rows[0]["decimal_amount"], rows[0]["token_address"]) == ("", "")
    response = client.get(f"{PATH}?format=csv")
    assert response["Content-Type"].startswith("text/csv; charset=utf-8")
    assert response["Content-Disposition"] == f'attachment; filename="statement-{account(1)}.csv"'
    assert response["Cache-Control"] == "no-store"
    response.getvalue()


@pytest.mark.parametrize("word", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", " =1"])
def test_a_strangers_word_is_never_a_formula(word: str) -> None:
    assert plain_cell(word) == f"'{word}"
    assert plain_cell("Amina = Ade") == "Amina = Ade"


def test_without_a_row_it_is_a_header_or_an_empty_list(client: Client) -> None:
    assert json.loads(text(client, f"{PATH}?from=2027-01-01"))["totals"] == []
    assert text(client, f"{PATH}?from=2027-01-01&format=csv").startswith("created_at,kind,group,group_name,")


def test_a_batch_at_a_time_is_in_memory(
    client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """Breaks if all rows were read first: then no batch would be asked for after the first part was sent."""
    monkeypatch.setattr(statements, "BATCH", 2)
    monkeypatch.setattr("ajo.api.downloads.CHUNK_SIZE", 1)
    for number in range(2, 30):
        make_row(Contribution, 1, 1, number, 100 + number)
    response: Any = client.get(PATH)
    parts = iter(response.streaming_content)
    with django_assert_max_num_queries(0):
        next(parts)
    with django_assert_max_num_queries(100) as asked:
        rest = list(parts)
    assert len(rest) >= 32
    assert len(asked.captured_queries) >= 12
    assert len(json.loads(text(client, PATH))["results"]) == 33


def test_half_a_statement_never_looks_like_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a CSV just ended where the database failed: granian ends such an answer as it ends any other."""
    statement = Statement({"group_id": 1}, Period())

    def rows() -> Iterator[Any]:
        yield from Contribution.objects.select_related("group__token", "user").filter(group_id=1)[:1]
        raise OperationalError("gone")

    monkeypatch.setattr(Statement, "rows", lambda self: rows())
    with pytest.raises(OperationalError):  # nothing is sent yet: it is a 503
        next(in_chunks(as_csv(statement), BROKEN_OFF))
    monkeypatch.setattr("ajo.api.downloads.CHUNK_SIZE", 1)
    parts = in_chunks(as_csv(statement), BROKEN_OFF)
    assert next(parts).startswith(b"created_at,")
    assert next(parts) == BROKEN_OFF
    with pytest.raises(OperationalError):
        next(parts)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("?from=yesterday", "from"), ("?to=2026-13-01", "to"), ("?from=2026-01-02&to=2026-01-02", "to"),
        ("?format=xml", "format"), ("?limit=1", "limit"), ("?from=2026-01-01&from=2026-01-02", "from"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("accept", ["*/*", "text/csv"])
def test_what_is_no_period_is_refused_by_name_in_json(client: Client, query: str, name: str, accept: str) -> None:
    answer = client.get(PATH + query, headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert list(answer.json()["errors"]) == [name]


def test_a_client_is_sent_one_at_a_time_and_some_threads_are_left(client: Client, settings: Settings) -> None:
    settings.WEB_THREADS = 2
    sent = client.get(PATH)
    for address in ("127.0.0.1", "192.0.2.9"):
        refused = client.get(PATH, REMOTE_ADDR=address)
        assert (refused.status_code, refused["Retry-After"]) == (503, str(downloads.RETRY_AFTER))
    sent.getvalue()
    assert listed(client) == listed(client)


def test_head_reads_nothing(client: Client) -> None:
    answer = client.head(f"{PATH}?format=csv")
    assert (answer.status_code, answer.getvalue()) == (200, b"")
    assert answer["Content-Type"].startswith("text/csv")
