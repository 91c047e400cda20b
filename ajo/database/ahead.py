"""A statement that PostgreSQL works on while its caller waits for something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection
from psycopg.generators import execute
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

Rows = list[tuple[bytes | None, ...]]


@contextmanager
def asked_ahead(statement: str, parameter: str) -> Iterator[Callable[[], Rows]]:
    """Send a statement with one parameter ($1); what is given waits for its rows, each value as PostgreSQL writes it.

    Until then nothing else may be asked of the connection. Raises django.db.Error.
    """
    with connection.wrap_database_errors, connection.cursor() as cursor:
        session, libpq = cursor.connection, cursor.connection.pgconn
        libpq.send_query_params(statement.encode(), [parameter.encode()])
        fetched: list[PGresult] = []

        def rows() -> Rows:
            (found,) = fetched[:] = session.wait(execute(libpq))
            if found.status != ExecStatus.TUPLES_OK:
                raise psycopg.OperationalError(found.error_message.decode(errors="replace"))
            columns = range(found.nfields)
            return [tuple([found.get_value(row, column) for column in columns]) for row in range(found.ntuples)]

        try:
            yield rows
        finally:
            if not fetched:  # what is left over would be the next statement's
                session.wait(execute(libpq))
