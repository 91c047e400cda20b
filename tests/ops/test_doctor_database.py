"""`manage.py doctor` asks the database: what is wrong, with what to do."""

from typing import Any

import psycopg
import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from psycopg.errors import InsufficientPrivilege, QueryCanceled

from ajo.ops.doctor import Level, diagnose
from ajo.ops.doctor.database import Server, _server_findings
from devtools.sandbox.sandbox import Sandbox
from tests.support.doctor import bad, network, only_bad, service

__all__ = ["network", "service"]


def test_pending_migrations_and_a_missing_extension_are_errors_with_the_command(service: Sandbox) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
        cursor.execute("DROP EXTENSION pg_trgm CASCADE")
    assert [(finding.part, finding.text, finding.level) for finding in bad()] == [
        ("database", "the extension pg_trgm is missing", Level.ERROR),
        ("database", "1 migrations have not been applied", Level.ERROR),
    ]


@pytest.mark.parametrize(
    ("failure", "text", "advice"),
    [
        (
            InsufficientPrivilege(),
            "it refuses what every command asks (InsufficientPrivilege)",
            "give the user of DATABASE_URL the rights of the tables' owner",
        ),
        (
            QueryCanceled(),
            "it refuses what every command asks (QueryCanceled)",
            "see PostgreSQL's own log of this moment",
        ),
        (
            psycopg.InterfaceError(),
            "it refuses what every command asks (InterfaceError)",
            "see PostgreSQL's own log of this moment",
        ),
    ],
)
def test_a_refused_statement_is_told_and_rights_are_asked_for_only_where_they_lack(
    service: Sandbox, failure: psycopg.Error, text: str, advice: str
) -> None:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if "server_version" in sql or "extract(epoch" in sql:
            with connection.wrap_database_errors:
                raise failure
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        found = [finding for finding in diagnose() if finding.level is not Level.OK]
    assert [(each.part, each.text, each.advice) for each in found] == [("database", text, advice)]


def test_what_it_asks_of_the_database_ends_soon_and_binds_nobody_afterwards(service: Sandbox) -> None:
    seen: set[tuple[str, str]] = set()

    def look(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if "set_config" not in sql and not sql.startswith(("SAVEPOINT", "RELEASE")):
            seen.add(limits_now())
        return execute(sql, params, many, context)

    before = limits_now()
    with transaction.atomic():  # its end is the tests' end of a transaction
        with connection.execute_wrapper(look):
            assert bad() == []
        transaction.set_rollback(True)
    assert seen == {("5s", "5s")}
    assert limits_now() == before


def limits_now() -> tuple[str, str]:
    """The limits of this session, asked beside the wrappers of its statements."""
    found = connection.connection.execute(
        "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
    ).fetchone()
    return (found[0], found[1])


def test_tables_of_a_later_version_are_told_with_what_can_be_done(service: Sandbox) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('groups', '9999_later', now())")
    found = only_bad()
    assert found.text == "its tables are of a later version than this one: groups.9999_later"
    assert "Rollback" in found.advice


def test_more_connections_than_the_server_allows_are_told(service: Sandbox, settings: LazySettings) -> None:
    settings.WEB_WORKERS, settings.DATABASE_POOL_SIZE, settings.WEB_THREADS = 64, 4, 4
    assert only_bad().text.startswith("one machine's processes take up to 517 connections, ")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"major": 13}, "version 13 is too old"),
        ({"encoding": "LATIN1"}, "its encoding is LATIN1"),
        ({"is_read_only": True}, "it takes no writes"),
    ],
)
@pytest.mark.django_db
def test_a_server_that_cannot_serve_is_an_error(wrong: dict[str, Any], text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    well: dict[str, Any] = {
        "version": "18.1", "major": 18, "encoding": "UTF8", "is_read_only": False, "has_trigrams": True,
        "backend_pid": pid, "connection_limit": 100, "connections": 3, "size": 10,
    }  # fmt: skip
    assert [finding.level for finding in _server_findings(Server(**well))] == [Level.OK, Level.OK]
    [about, connections] = _server_findings(Server(**well | {"backend_pid": pid + 1}))
    assert ", behind a pooler; " in about.text
    assert connections.text.startswith("connections are the pooler's: let the pooler take ")
    found = [finding for finding in _server_findings(Server(**well | wrong)) if finding.level is not Level.OK]
    assert [(finding.text, finding.level) for finding in found] == [(text, Level.ERROR)]
