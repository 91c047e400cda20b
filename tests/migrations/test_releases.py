"""Databases of earlier releases, with rows in them, become what a new one is, and keep what people wrote.

tests/data/releases has one for each commit that changed the tables, made by tests/migrations/dump.py. Keep it so: before
a migration is added, dump the newest commit. `A-then-B` was made by A, and `migrate` of B was run on it, to its end or
to its traceback.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.databases import manage, use_database
from tests.support.dump import RELEASES, TABLES, TOKEN, WALLET

SCHEMA = {
    "columns": """
        SELECT table_name, column_name, data_type, character_maximum_length, numeric_precision, is_nullable,
          column_default, collation_name, is_identity, generation_expression
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "invalid indexes": "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid",
    "functions": """
        SELECT proname, prosrc, provolatile FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND proname !~ '^(gin|gtrgm|set_limit|show_|similarity|strict_word|word_sim)'""",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "sequences": "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'",
    "migrations": "SELECT app, name FROM django_migrations",
}
CASTS = re.compile(r"::[a-z ]+(\[\])?|[()]")
DUMPS = sorted(RELEASES.glob("*.sql.gz"))
GONE = {  # recorded by releases whose migrations are no more
    ("groups", "0002_order_filtered_lists"), ("groups", "0003_token_solvency"), ("groups", "0004_live_until"),
    ("groups", "0004_first_end"), ("contributions", "0002_order_filtered_lists"), ("soroban", "0002_staff_indexes"),
    ("soroban", "0004_first_end"),
}  # fmt: skip


def schema(address: str) -> dict[str, set[tuple[object, ...]]]:
    with psycopg.connect(address) as session:
        found = {what: set(session.execute(query.encode()).fetchall()) for what, query in SCHEMA.items()}
    found["migrations"] -= GONE
    # a dump that is read writes the same condition with other casts
    found["constraints"] = {(*row[:2], CASTS.sub("", str(row[2])), row[3]) for row in found["constraints"]}
    return found


@pytest.fixture(scope="module")
def fresh() -> Iterator[dict[str, set[tuple[object, ...]]]]:
    """What a new database has."""
    with use_database("ajo_fresh") as address:
        done = manage(address, "migrate", "-v", "0")
        assert done.returncode == 0, done.stderr
        yield schema(address)


def load(address: str, dump: Path) -> None:
    with psycopg.connect(address, autocommit=True) as session:
        session.execute(gzip.decompress(dump.read_bytes()))


def counts(session: psycopg.Connection) -> dict[str, int]:
    found = {}
    for table in TABLES:
        if session.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,):
            found[table] = int(session.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0])
    return found


@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.name.removesuffix(".sql.gz"))
def test_a_release_becomes_what_a_new_database_is_and_keeps_its_rows(
    fresh: dict[str, set[tuple[object, ...]]], dump: Path
) -> None:
    with use_database("ajo_release") as address:
        load(address, dump)
        with psycopg.connect(address) as session:
            before = counts(session)
            assert sum(before.values()) >= 14
        done = manage(address, "migrate", "-v", "0")
        assert (done.returncode, done.stderr) == (0, "")
        after = schema(address)
        for what, expected in fresh.items():
            assert after[what] == expected, what
        with psycopg.connect(address) as session:
            assert counts(session) == before | {name: 0 for name in TABLES if name not in before}
            people = "SELECT username, email, is_superuser, is_staff, is_active FROM auth_user"
            assert session.execute(people.encode()).fetchall() == [("amina", "amina@example.org", True, True, True)]
            assert session.execute("SELECT object_repr FROM django_admin_log").fetchall() == [("Treasurer",)]
            labels = "SELECT address, label, note, search_key FROM groups_walletlabel ORDER BY id"
            assert session.execute(labels.encode()).fetchall() == [
                (WALLET, "Treasurer Adébáyọ̀", "Called on Monday", "treasurerwadebayo=treasurer adebayo"),
                (TOKEN, "Éclair", "", "eclair=eclair"),
            ]
            keys = "SELECT name, search_key FROM groups_group"
            assert session.execute(keys.encode()).fetchall() == [("Ọjọ́ circle", "ojowcircle=ojo circle")]


def test_filling_goes_on_where_it_was_interrupted_and_reaches_every_row(
    fresh: dict[str, set[tuple[object, ...]]],
) -> None:
    with use_database("ajo_release") as address:
        load(address, RELEASES / "8d92b22.sql.gz")
        with psycopg.connect(address) as session:
            columns = session.execute(
                "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_name = 'groups_group'"
                " AND is_generated = 'NEVER' AND column_name NOT IN ('id', 'name')"
            ).fetchall()[0][0]
            copies = f"""INSERT INTO groups_group (id, name, {columns})
                SELECT n, 'Ομάδα ' || n, {columns} FROM groups_group, generate_series(2, 1300) n"""
            session.execute(copies.encode())
        assert manage(address, "migrate", "groups", "0006_search_key", "-v", "0").returncode == 0
        with psycopg.connect(address) as session:
            # as if the process had been killed in the second batch, and another while it made the index
            session.execute("UPDATE groups_group SET search_key = ajo_search_key(name) WHERE id < 700")
            session.execute("CREATE INDEX grp_search_key ON groups_group (id)")
        done = manage(address, "migrate", "-v", "0")
        assert (done.returncode, done.stderr) == (0, "")
        assert schema(address)["indexes"] == fresh["indexes"]
        with psycopg.connect(address) as session:
            wrong = "SELECT count(*) FROM groups_group WHERE search_key IS DISTINCT FROM ajo_search_key(name)"
            found = "SELECT count(*) FROM groups_group WHERE search_key LIKE ajo_search_pattern('ΟΜΑΔΑ')"
            assert session.execute(wrong.encode()).fetchall() == [(0,)]
            assert session.execute(found.encode()).fetchall() == [(1299,)]
