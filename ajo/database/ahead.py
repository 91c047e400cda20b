"""A statement that PostgreSQL works on while its caller waits for something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import select

import psycopg
from django.db import connection
from psycopg.pq import ExecStatus

Rows = list[list[bytes | None]]


@contextmanager
def asked_ahead(statement: str, parameter: str) -> Iterator[Callable[[], Rows]]:
    """Send a statement with one parameter ($1); what is given waits for its rows, each value as PostgreSQL writes it.

    Until then nothing else may be asked of the connection. Raises django.db.Error.
    """
    with connection.wrap_database_errors, connection.cursor() as cursor:
        libpq = cursor.connection.pgconn
        libpq.send_query_params(statement.encode(), [parameter.encode()])

        def rows() -> Rows:
            select([libpq.socket], [], [])  # libpq itself would let neither a signal nor another thread in meanwhile
            found = libpq.get_result()
            if found is None or found.status != ExecStatus.TUPLES_OK:
                raise psycopg.OperationalError(found.error_message.decode(errors="replace") if found else "no answer")
            columns = range(found.nfields)
            return [[found.get_value(row, column) for column in columns] for row in range(found.ntuples)]

        try:
            yield rows
        finally:
            while libpq.get_result():  # what is left over would be the next statement's
                pass
