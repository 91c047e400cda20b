"""Examines PostgreSQL: is it there, is it the right one, and does it have room for our connections?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from psycopg.errors import InsufficientPrivilege

from ajo.conf.reachability import why_not_postgresql
from ajo.database.limits import Limits, limited
from ajo.ops.doctor.finding import Finding, error, ok, warning

LIMITS: Final = Limits(5, 5, 10)  # of each thing that the doctor asks
# Beside the web: three children of a worker, and a heartbeat each of worker and beat.
BACKGROUND_CONNECTIONS = 5
_ABOUT: Final = """
SELECT current_setting('server_version') AS version,
  current_setting('server_version_num')::int / 10000 AS major,
  current_setting('server_encoding') AS encoding,
  pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS is_read_only,
  EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') AS has_trigrams,
  pg_backend_pid() AS backend_pid,
  least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
  ) AS connection_limit,
  (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections,
  pg_database_size(current_database()) AS size
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What PostgreSQL says of itself. `connection_limit`: for us; `connections`: of everybody; `size`: in bytes."""

    version: str
    major: int
    encoding: str
    is_read_only: bool
    has_trigrams: bool
    backend_pid: int
    connection_limit: int
    connections: int
    size: int


def database_findings() -> Iterator[Finding]:
    """Yield what is known of PostgreSQL. Waits ten seconds at most for one that is silent."""
    why = why_not_postgresql(settings.DATABASES["default"])
    if why:
        yield error("database", why, "start PostgreSQL, or correct DATABASE_URL")
        return
    try:
        with limited(LIMITS):
            yield from _server_findings(_ask())
            yield _migrations()
    except Error as failure:
        yield _refusal(failure.__cause__ or failure)


def _refusal(why: BaseException) -> Finding:
    advice = "see PostgreSQL's own log of this moment"
    if isinstance(why, InsufficientPrivilege):
        advice = "give the user of DATABASE_URL the rights of the tables' owner"
    return error("database", f"it refuses what every command asks ({type(why).__name__})", advice)


def _ask() -> Server:
    with connection.cursor() as cursor:
        cursor.execute(_ABOUT)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101  # a SELECT of constants
    return Server(**dict(zip((field.name for field in fields(Server)), row, strict=True)))


def _server_findings(server: Server) -> Iterator[Finding]:
    is_pooled = connection.connection.info.backend_pid != server.backend_pid
    place = ", behind a pooler" if is_pooled else ""
    yield ok("database", f"PostgreSQL {server.version}{place}; the tables and their indexes take {_size(server.size)}")
    least = connection.features.minimum_database_version
    if least and server.major < least[0]:
        yield error("database", f"version {server.major} is too old", f"upgrade PostgreSQL to {least[0]} or newer")
    if server.encoding != "UTF8":
        advice = "make a database with ENCODING 'UTF8' TEMPLATE template0, and restore into it"
        yield error("database", f"its encoding is {server.encoding}", advice)
    if server.is_read_only:
        yield error("database", "it takes no writes", "let DATABASE_URL lead to the primary, not to a replica")
    if not server.has_trigrams:
        advice = "run CREATE EXTENSION pg_trgm as a user who may, then manage.py migrate"
        yield error("database", "the extension pg_trgm is missing", advice)
    yield from _connections(server, is_pooled)


def _connections(server: Server, is_pooled: bool) -> Iterator[Finding]:
    web = settings.WEB_WORKERS * (settings.DATABASE_POOL_SIZE + settings.WEB_THREADS)
    needed = web + BACKGROUND_CONNECTIONS
    if is_pooled:
        advice = f"let the pooler take {needed} clients for each machine that serves"
        yield ok("database", f"connections are the pooler's: {advice}")
    elif needed > server.connection_limit:
        what = f"one machine's processes take up to {needed} connections, {server.connection_limit} are allowed"
        yield warning("database", what, "lower WEB_WORKERS or DATABASE_POOL_SIZE, or raise max_connections")
    else:
        what = f"{server.connections} connections are open, {server.connection_limit} are allowed"
        yield ok("database", f"{what}; one machine's processes take up to {needed}")


def _migrations() -> Finding:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if pending:
        return error("database", f"{len(pending)} migrations have not been applied", "run manage.py migrate")
    unknown = set(executor.loader.applied_migrations) - set(executor.loader.graph.nodes)
    ours = sorted(".".join(name) for name in unknown if name[0] in executor.loader.migrated_apps)
    if ours:
        advice = "run that version, or restore a backup from before it (docs/operations.md, Rollback)"
        return warning("database", f"its tables are of a later version than this one: {', '.join(ours)}", advice)
    return ok("database", "every migration has been applied")


def _size(number: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"
