"""Every filter with every ordering that is promised is served by an index: asserted from what PostgreSQL did read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from ajo.soroban.contract.keys import Key
from tests.support.factories import API, event_id

# columns that no list looks at need no mention in the statements
DEFAULTS = """DO $$ DECLARE c record; BEGIN
  FOR c IN SELECT table_name, column_name FROM information_schema.columns
    WHERE table_name ~ '^(groups|contributions|soroban)_' AND is_nullable = 'NO' AND column_default IS NULL
      AND identity_generation IS NULL AND is_generated = 'NEVER' AND data_type IN ('bigint', 'numeric')
  LOOP EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT 0', c.table_name, c.column_name); END LOOP;
END $$"""
LIMIT = 20
PARTS = 8  # rows that one row of a list may cost: itself, its wallet, its token, its next recipient, and those probed
SMALL = {"soroban_checkpoint", "groups_token"}  # tables of a page or two, for which no index is worth its reading
ORDERINGS = ("id", "-id", "contribution_amount", "-contribution_amount", "member_count", "-member_count")
GROUP_FILTERS = {
    "": LIMIT,
    "status=active": LIMIT, "status=completed": LIMIT, "status=cancelled": LIMIT,
    "creator=W1": LIMIT, "creator=W8": 6, "creator=W9999": 0,
    "member=W9999": 0,
    "token=T4": 10, "token=T1": LIMIT, "token=T9": 0,
    "joinable=true": LIMIT, "joinable=false": LIMIT,
    "amount_min=59990000": 11, "amount_max=10000": 10, "amount_min=30000000": LIMIT, "amount_max=30000000": LIMIT,
    "amount_min=99999999999": 0, "amount_min=30000000&amount_max=30005000": 6,
    "search=rarely": 3, "search=nothing": 0, "search=CIRCLE": LIMIT,
}  # fmt: skip
HISTORY_FILTERS = {
    "": LIMIT,
    "group=5": LIMIT, "group=999999": 0,
    "user=W9": 11, "user=W9999": 0,
    "round=77": 2, "round=1": LIMIT, "round=99": 0,
    f"tx_hash={5000 // 3:064x}": 3, f"tx_hash={'f' * 64}": 0,
    "created_after=2026-01-04T11:19:00Z": 12, "created_after=2027-01-01T00:00:00Z": 0,
    "created_before=2026-01-01T02:47:35Z": 10, "created_before=2026-01-02T00:00:00Z": LIMIT,
    "created_before=2025-01-01T00:00:00Z": 0,
    "created_after=2026-01-02T00:00:00Z&created_before=2026-01-02T00:01:00Z": 11,
    "round=1&created_before=2026-01-01T03:00:00Z": LIMIT,
}  # fmt: skip


@pytest.fixture(scope="module")
def _many_rows(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")  # it may be a web process's, and the machine busy
            cursor.execute(DEFAULTS)
            cursor.execute((Path(__file__).parents[1] / "support" / "many_rows.sql").read_text())
        yield
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _made_up_wallets(_many_rows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses here are W1 or T1 for short: what a strkey is, other tests ask."""
    monkeypatch.setattr("ajo.api.filters.AddressFilter.field_class.parse", staticmethod(strkey))
    monkeypatch.setattr("ajo.api.params.parse_address", strkey)
    monkeypatch.setattr(Key, "to_xdr", lambda self, contract: "")


def strkey(text: str) -> str:
    return f"{'GC'['WT'.index(text[0])]}{text[1:]:A>55}"


def scans(sql: str) -> list[dict[str, Any]]:
    """The nodes of the statement's plan that read a table or an index, with what they did read."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        (answer,) = cursor.fetchone() or ("[]",)
    plan = json.loads(answer) if isinstance(answer, str) else answer
    found, waiting = [], [plan[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        if node["Node Type"].endswith("Scan") and ("Relation Name" in node or "Index Name" in node):
            found.append(node)
    return found


def rows_read(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def served_by_indexes(client: Client, url: str, of: int = 0) -> dict[str, Any]:
    """The answer, after asserting that none of its queries scanned a table, or read many rows for each it gave.

    `of`: how many rows had to be looked at, where they are more than those given.
    """
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    nodes = [node for query in queries if query["sql"].startswith("SELECT") for node in scans(query["sql"])]
    assert nodes
    scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} - SMALL
    assert not scanned, f"{url} scans {scanned}"
    read = sum(rows_read(node) for node in nodes)
    # The planner samples: a plan that reads some rows more is as good.
    allowed = PARTS * (max(len(body["results"]), of) + 1) + 60
    assert read <= allowed, f"{url} reads {read:.0f} rows for {len(body['results'])}"
    return body


def pages(client: Client, path: str, of: int = 0) -> list[int]:
    """How many rows the first page and the one after it give, both served by indexes."""
    first = served_by_indexes(client, API + path, of)
    counts = [len(first["results"])]
    if first["next"]:
        counts.append(len(served_by_indexes(client, first["next"], of)["results"]))
    return counts


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize(("query", "found"), GROUP_FILTERS.items())
def test_groups_by_every_filter_in_every_ordering(client: Client, query: str, found: int, ordering: str) -> None:
    assert pages(client, f"groups/?{query}&ordering={ordering}".replace("?&", "?"))[0] == found


# Rounds of group i end i seconds after this, and their grace an hour later.
FIRST_END = datetime(2026, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "seconds", "found"),
    [
        ("overdue=true", 7, 6), ("overdue=true", 10**9, LIMIT), ("overdue=true", 0, 0),
        ("payout_due=true", 3600 + 283, 3), ("payout_due=true", 10**9, LIMIT), ("payout_due=true", 3600, 0),
        ("overdue=true&ordering=-id", 7, 6), ("payout_due=true&ordering=id", 3600 + 283, 3),
        ("overdue=false", 7, LIMIT), ("payout_due=false", 10**9, LIMIT),
        ("ids=5,59000,7,999999", 0, 3), ("ids=5,59000,7&ordering=id", 0, 3),
    ],
)  # fmt: skip
def test_groups_by_what_time_makes_of_them(
    client: Client, monkeypatch: pytest.MonkeyPatch, query: str, seconds: int, found: int
) -> None:
    monkeypatch.setattr("groups.filters.chain_now", lambda: FIRST_END + timedelta(seconds=seconds))
    sorted_by_hand = 300 if "ordering" in query and "due" in query else 0  # all that are active
    body = served_by_indexes(client, f"{API}groups/?{query}", of=sorted_by_hand)
    assert len(body["results"]) == found
    if body["next"]:
        served_by_indexes(client, body["next"])


@pytest.mark.parametrize("kind", ["contributions", "payouts", "refunds"])
@pytest.mark.parametrize(("query", "found"), HISTORY_FILTERS.items())
@pytest.mark.parametrize("ordering", ["-id", "id"])
def test_history_by_every_filter_in_both_directions(
    client: Client, kind: str, query: str, found: int, ordering: str
) -> None:
    # every thirtieth refund was recovered: along the primary key that is as near as along their own index
    of = 100 if kind == "refunds" and not query else 0
    assert pages(client, f"{kind}/?{query}&ordering={ordering}".replace("?&", "?"), of)[0] == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type=cancel", 3), ("type=contrib", LIMIT), ("type=nothing", 0),
        ("group=5", LIMIT), ("group=999999", 0), ("user=W9", 11), ("user=W9999", 0),
        (f"user=W9&after={event_id(30_000)}", 6), ("group=5&type=cancel", 0), ("after=now", 0),
    ],
)  # fmt: skip
def test_events_by_every_filter(client: Client, query: str, found: int) -> None:
    of = 60 if "&type" in query else 0  # a group's own events
    assert len(served_by_indexes(client, f"{API}events/?{query}", of=of)["results"]) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", LIMIT), ("source=W5", 10), ("source=W9999", 0), ("group=5", LIMIT), ("group=999999", 0),
        ("status=pending", LIMIT), ("status=failed", 0), ("function=pause", 3), ("function=contribute", LIMIT),
        ("function=upgrade", 0), ("source=W5&status=success", 9), ("group=5&function=contribute", LIMIT),
    ],
)  # fmt: skip
def test_transactions_by_every_filter(client: Client, query: str, found: int) -> None:
    assert pages(client, f"transactions/?{query}")[0] == found


@pytest.mark.parametrize(
    "path",
    [
        "events/", f"events/?after={event_id(30_000)}", "users/", "groups/5/members/", "groups/5/events/",
        "groups/5/contributions/", "groups/5/contributions/?round=1",
        "groups/5/contributions/?ordering=id", "groups/5/payouts/?ordering=id", "groups/5/events/?ordering=id",
        "users/W5/contributions/?ordering=id", "users/W5/payouts/?ordering=id", "users/W5/refunds/?ordering=id",
        "groups/5/payouts/", "groups/5/refunds/", "users/W1/groups/", "users/W15/groups/",
        "users/W5/contributions/", "users/W5/payouts/", "users/W5/refunds/", "groups/?member=W1",
        "groups/?member=W1&ordering=id", "groups/?member=W5899", "groups/?member=W15&ordering=id",
    ],
)  # fmt: skip
def test_what_a_path_names_is_read_along_its_own_index(client: Client, path: str) -> None:
    assert pages(client, path)[0] >= 1


@pytest.mark.parametrize("path", ["groups/5/statement/", "users/W9/statement/", "users/W9/statement/?from=2026-01-03"])
def test_a_statement_reads_its_own_rows_alone(client: Client, path: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        body = json.loads(client.get(API + path).getvalue())
    nodes = [node for query in queries if query["sql"].startswith("SELECT") for node in scans(query["sql"])]
    assert {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} <= SMALL
    assert 10 <= len(body["results"]) <= sum(map(rows_read, nodes)) <= PARTS * len(body["results"]) + 60


def test_a_schedule_and_a_groups_entries_read_their_own_rows_alone(client: Client) -> None:
    assert len(served_by_indexes(client, f"{API}groups/5/schedule/")["results"]) == 3
    assert len(served_by_indexes(client, f"{API}contract/tokens/")["results"]) == 4


def test_a_members_payments_cost_no_more_than_the_groups(client: Client) -> None:
    whole = served_by_indexes(client, f"{API}groups/5/contributions/?limit=200")["results"]
    assert len(whole) == 60
    served_by_indexes(client, f"{API}groups/5/contributions/?user=W5", of=len(whole))


@pytest.mark.parametrize("ordering", ORDERINGS[2:])
def test_a_wallets_own_groups_are_all_that_is_read_to_sort_them(client: Client, ordering: str) -> None:
    own = served_by_indexes(client, f"{API}users/W15/groups/?limit=200")["results"]
    assert 30 <= len(own) <= 90
    served_by_indexes(client, f"{API}groups/?member=W15&ordering={ordering}", of=len(own))
    served_by_indexes(client, f"{API}groups/?member=W15&status=active", of=len(own))
    served_by_indexes(client, f"{API}users/W15/groups/?status=completed", of=len(own))
    served_by_indexes(client, f"{API}users/W15/dues/", of=len(own))


def test_a_page_in_the_middle_costs_what_the_first_costs(client: Client) -> None:
    url = f"{API}groups/?limit=200&status=completed"
    for _ in range(50):
        url = client.get(url).json()["next"]
    assert len(served_by_indexes(client, url)["results"]) == 200


def test_like_metacharacters_are_letters(client: Client) -> None:
    assert pages(client, f"groups/?search={quote('rarely 100%_')}")[0] == 3
    assert pages(client, f"groups/?search={quote('rarely%seen')}")[0] == 0
