"""Search and filters of the admin on tables of 60,000 rows: each is one index look-up, asserted from the plan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from ajo.database.keyset import Cursor
from ajo.soroban.models import ChainTransaction, ContractEvent, SyncRun, UndecodedEntry
from contributions.models import Contribution, Payout, Refund
from groups.models import Group, GroupMember, RefundRequest, Token, User
from tests.support import admin_pages

MANY = 60_000
OLDEST = "CASE WHEN n <= 300 THEN 5 ELSE n END"
COPIES = (
    (Token, "id, address, symbol, decimals, name, is_asset_contract, verified, read_ledger",
     "n, 'C' || lpad(upper(translate(n::text, '0189', 'ABCD')), 55, 'A'), 'T', 7, '', false, false, 1"),
    (User, "id, wallet_address", "n, 'G' || lpad(upper(translate(n::text, '0189', 'ABCD')), 55, 'A')"),
    (
        Group,
        "id, name, description, rules, creator_id, token_address, contribution_amount, cycle_duration, max_members, "
        "member_count, current_round, payout_index, contributions_received, status, entry_xdr, metadata_xdr, "
        "modified_ledger, synced_ledger, revision, drifted_at",
        "n, 'Circle ' || md5(n::text), '', '', n,"
        " 'C' || lpad(upper(translate((n % 3000 + 1)::text, '0189', 'ABCD')), 55, 'A'), 1, 1, 10, 2, 1, 0, 0,"
        " (ARRAY['active', 'completed'])[1 + n % 2], '', '',"
        " 1, 1, 1, CASE WHEN n < 4000 AND n % 100 = 0 THEN now() END",
    ),
    (GroupMember, "id, group_id, user_id, position, has_contributed", f"n, n, {OLDEST}, 0, true"),
    (
        RefundRequest,
        "group_id, requester_id, votes_for, votes_against, executed, approved, entry_xdr",
        "n, n, 0, 0, false, false, ''",
    ),
    *(
        (table, f"id, group_id, user_id, round, amount, tx_hash, event_id{extra}",
         f"n, n, {OLDEST}, 1, 5, CASE WHEN n % 3 > 0 THEN md5(n::text) || md5(n::text) END,"
         f" CASE WHEN n % 3 > 0 THEN lpad(n::text, 19, '0') || '-0000000000' END{', 0' if extra else ''}")
        for table, extra in ((Contribution, ""), (Payout, ""), (Refund, ", reason"))
    ),
    (
        ContractEvent,
        "id, type, is_system, group_id, topics, value, tx_hash, ledger, created_at",
        f"lpad(n::text, 19, '0') || '-0000000000', 'contrib', false, {OLDEST}, '[]', '', md5(n::text) || md5(n::text),"
        " 1, now()",
    ),
    (
        SyncRun, "id, kind, outcome, reason, counts",
        "n, CASE WHEN n % 100 = 0 THEN 'sweep' ELSE 'sync' END, CASE WHEN n < 10 THEN 'failed' ELSE 'ok' END, '', '{}'",
    ),
    (UndecodedEntry, "id, key, group_id, xdr, error, ledger", "n, md5(n::text) || 'XDR', n, '', '', 1"),
    (
        ChainTransaction,
        "hash, status, xdr, submitted_ledger, ledger, next_attempt_at, "
        "function, source, group_id, sequence, max_time, max_fee, code, detail, attempts, last_answer",
        "md5(n::text) || md5(n::text), (ARRAY['success', 'pending'])[1 + (n % 2)], '', 1, 1, now(), "
        "'contribute', 'G' || lpad(upper(translate(n::text, '0189', 'ABCD')), 55, 'A'), n, n, 0, 100, '', '', 1, ''",
    ),
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the totals under a narrowed list: they read what they add up, MAX_TOTALLED rows at most."""
    monkeypatch.setattr("contributions.admin.list_totals", lambda rows: None)


@pytest.fixture(scope="module", autouse=True)
def many_rows(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The tables filled once for this module, by INSERT … SELECT, and emptied after it."""
    names = ", ".join(f'"{model._meta.db_table}"' for model, _, _ in COPIES)
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for model, columns, values in COPIES:
            table = model._meta.db_table
            plain = {field.column: field.get_default() for field in model._meta.concrete_fields if field.has_default()}
            rest = {str(column): value for column, value in plain.items() if column not in columns.split(", ")}
            into = ", ".join([columns, *rest])
            what = ", ".join([values.replace("%", "%%"), *["%s"] * len(rest)])
            source = f"FROM generate_series(1, {MANY}) n"
            cursor.execute(f'INSERT INTO "{table}" ({into}) SELECT {what} {source}', list(rest.values()))
        cursor.execute("ANALYZE")
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")


def plan(sql: str) -> list[dict[str, Any]]:
    """The scans of a query as it was really run: kind, table, and rows read."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        found = cursor.fetchone()
    scans: list[dict[str, Any]] = []
    nodes = [found[0][0]["Plan"]] if found else []
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if "Relation Name" in node or "Index Name" in node:
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            read = (node["Actual Rows"] + removed) * node["Actual Loops"]
            scans.append({"kind": node["Node Type"], "of": node.get("Relation Name", ""), "read": read})
    return scans


def rows_read(client: Client, address: str, expected: int) -> float:
    """Rows that all queries of a page read from tables of ours; the page shows `expected` rows."""
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(address)
    assert answer.status_code == 200
    assert len(answer.context["cl"].result_list) == expected
    queries = [query["sql"] for query in captured.captured_queries if query["sql"].startswith("SELECT")]
    ours = [sql for sql in queries if any(f'FROM "{model._meta.db_table}"' in sql for model, _, _ in COPIES)]
    assert ours
    assert not [sql for sql in ours if "COUNT(" in sql.upper()]
    return sum(float(scan["read"]) for sql in ours for scan in plan(sql))


def wallet(number: int, kind: str = "G") -> str:
    return kind + str(number).translate(str.maketrans("0189", "ABCD")).rjust(55, "A")


def digest(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest() * 2


EVENT = f"{59_999:019d}-0000000000"  # recovered rows have none: every third
CONTRIB = f"{59_998:019d}-0000000000"
# Wallet 5 has the oldest 300 of everything, group 5 the oldest events: a walk from the newest on would find them last.
FOUND = (
    *((table, {"q": wallet(5)}, 50) for table in (Contribution, Payout, Refund, GroupMember, Group)),
    *((table, {"user": 5}, 50) for table in (Contribution, Payout, Refund, GroupMember)),
    *((ContractEvent, query, 50) for query in ({"q": "5"}, {"group_id": 5})),
    *(
        (table, {"q": term}, 1)
        for table in (Contribution, Payout, Refund)
        for term in ("59998", wallet(59_998), digest(59_998), digest(59_998).upper(), CONTRIB)
    ),
    (Group, {"q": "59998"}, 1),
    (Group, {"q": wallet(59_998)}, 1),
    (Group, {"q": wallet(7, "C")}, 20),
    (Group, {"q": digest(4321)[:32]}, 1),
    (Group, {"q": f"  {wallet(4321).lower()} "}, 1),
    (User, {"q": wallet(59_998)}, 1),
    (User, {"q": "77"}, 1),
    (Token, {"q": wallet(59_998, "C")}, 1),
    (GroupMember, {"q": "59998"}, 1),
    (GroupMember, {"q": wallet(59_998)}, 1),
    (RefundRequest, {"q": "59998"}, 1),
    (RefundRequest, {"q": wallet(59_998)}, 1),
    (ContractEvent, {"q": "59998"}, 1),
    (ContractEvent, {"q": digest(59_998)}, 1),
    (ContractEvent, {"q": EVENT}, 1),
    (SyncRun, {"q": "59998"}, 1),
    (UndecodedEntry, {"q": "59998"}, 1),
    (UndecodedEntry, {"q": digest(59_998)[:32] + "XDR"}, 1),
    (ChainTransaction, {"q": digest(59_998)}, 1),
    (ChainTransaction, {"q": wallet(59_998)}, 1),
    (ChainTransaction, {"q": "777"}, 1),
)
LISTED = (
    *((model, {}, 50) for model, _, _ in COPIES),
    *((table, {"source": source}, 50) for table in (Contribution, Payout, Refund) for source in ("event", "state")),
    *((table, {column: 777}, 1) for table in (Contribution, Payout, Refund) for column in ("group", "user")),
    (Contribution, {"tx_hash": digest(77)}, 1),
    *((Group, {"status": status}, 50) for status in ("active", "joinable", "completed")),
    (Group, {"status": "cancelled"}, 0),
    (Group, {"drift": "found"}, 39),
    (Group, {"creator": 777}, 1),
    (Group, {"token": wallet(7, "C")}, 20),
    (GroupMember, {"user": 777}, 1),
    (ContractEvent, {"type": "contrib"}, 50),
    (ContractEvent, {"type": "payout"}, 0),
    (ContractEvent, {"group_id": 777}, 1),
    *((SyncRun, {"runs": runs}, shown) for runs, shown in (("sync", 50), ("sweep", 50), ("failed", 9))),
    *((ChainTransaction, {"status": status}, shown) for status, shown in (("pending", 50), ("failed", 0))),
    *((ChainTransaction, {"function": name}, shown) for name, shown in (("contribute", 50), ("pause", 0))),
    (ChainTransaction, {"group_id": 777}, 1),
    (ChainTransaction, {"source": wallet(777)}, 1),
)


@pytest.mark.django_db
@pytest.mark.parametrize(("model", "query", "expected"), FOUND)
def test_a_search_for_an_id_is_one_look_up(
    staff: Client, model: type[Model], query: dict[str, object], expected: int
) -> None:
    assert rows_read(staff, admin_pages.table(model, **query), expected) <= max(12, 10 * expected)


@pytest.mark.django_db
@pytest.mark.parametrize(("model", "query", "expected"), LISTED)
def test_a_table_and_each_of_its_filters_reads_little_more_than_it_shows(
    staff: Client, model: type[Model], query: dict[str, object], expected: int
) -> None:
    assert rows_read(staff, admin_pages.table(model, **query), expected) <= 6 * (expected + 1)


@pytest.mark.django_db
@pytest.mark.parametrize("query", [{}, {"source": "state"}, {"source": "event"}])
def test_a_page_far_down_costs_what_the_first_costs(staff: Client, query: dict[str, object]) -> None:
    changelist = staff.get(admin_pages.table(Contribution, **query)).context["cl"]
    scope = f"{admin_pages.table(Contribution)}{changelist.get_query_string()}"
    place = ["", 50_001] if query.get("source") == "state" else [f"{5_000:019d}-0000000000", 5_000]
    far = admin_pages.table(Contribution, **query, p=Cursor(place).sign(scope))
    assert rows_read(staff, far, 50) <= 6 * 51


@pytest.mark.django_db
@pytest.mark.parametrize("term", ["ab", "x" * 56, "' OR 1=1 --", "%", "G" * 55, "99999999999999999999", "\\"])
def test_a_term_that_is_no_id_finds_nothing_and_reads_nothing(staff: Client, term: str) -> None:
    page = staff.get(admin_pages.table(Contribution, q=term))
    assert page.status_code == 200
    assert list(page.context["cl"].result_list) == []
