"""Prepared statements: planned once, known to each session, and errors as Django's."""

from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction
from psycopg.pq import Trace

from ajo.database.prepared import Prepared
from ajo.indexer.verify import sweep_groups
from ajo.soroban.models import SyncRun
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.following import catch_up, make_groups

pytestmark = pytest.mark.django_db(transaction=True)
ECHO = Prepared("SELECT $1::text, NULL, 7")
NOWHERE = Prepared("SELECT * FROM nowhere WHERE $1 = ''")


def test_a_statement_that_fails_is_a_database_error_of_django() -> None:
    for _ in range(2):
        with pytest.raises(DatabaseError, match="nowhere"), NOWHERE.execute_async("") as rows:
            rows()
        with ECHO.execute_async("Ẹ") as rows:
            assert rows() == [("Ẹ", None, 7)]


def test_a_statement_is_planned_once_and_taught_to_a_session_that_does_not_know_it() -> None:
    """Behind a pooler the next session is another: breaks where the statement is not prepared again."""

    def known() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1%%7'")
            return int(cursor.fetchone()[0])

    for known_before in (0, 1, 0):
        if not known_before:
            connection.cursor().execute("DEALLOCATE ALL")
        assert known() == known_before
        with ECHO.execute_async("a") as rows:
            assert rows() == [("a", None, 7)]
        assert known() == 1
    connection.cursor().execute("DEALLOCATE ALL")
    with transaction.atomic():  # which a statement that is not known would end
        with ECHO.execute_async("b") as rows:
            assert rows() == [("b", None, 7)]
        assert Group.objects.count() == 0


def test_a_session_is_taught_a_statement_before_it_is_asked(tmp_path: Path) -> None:
    """PgBouncer's `max_prepared_statements` ends a client that asks for what it has not prepared. Breaks if only the
    server's complaint led to it.
    """
    new = Prepared("SELECT $1::text, 'new'")
    connection.ensure_connection()
    libpq = connection.connection.pgconn
    with (tmp_path / "trace").open("w+") as trace:
        libpq.trace(trace.fileno())
        libpq.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        for _ in range(2):
            with new.execute_async("a") as answer:
                assert answer() == [("a", "new")]
        libpq.untrace()
        trace.seek(0)
        messages = [line.split("\t")[2] for line in trace.read().splitlines()]
    assert [each for each in messages if each in ("Parse", "Bind", "ErrorResponse")] == ["Parse", "Bind", "Bind"]


def test_columns_that_have_other_types_since_are_planned_anew(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Types change, as after a migration. Breaks without the look at 0A000: no sweep of that session would succeed any
    more.
    """
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    list(sweep_groups(lambda read: read(client_of_chain)))
    change = "ALTER TABLE groups_group ALTER COLUMN metadata_xdr TYPE"
    with connection.cursor() as cursor:
        cursor.execute(f"{change} varchar(100000)")
        try:
            list(sweep_groups(lambda read: read(client_of_chain)))
        finally:
            cursor.execute(f"{change} text")
    swept = SyncRun.objects.filter(kind=SyncRun.Kind.SWEEP).values_list("outcome", "counts__groups")
    assert list(swept) == [(SyncRun.Outcome.OK, 1)] * 2
