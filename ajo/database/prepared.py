"""Statements that a session plans once, by libpq alone: for those whose planning and cursor take longer than they run.

A pooler may give another of its sessions each time. One that does not know the statement is taught it, and asked
without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import select
from typing import Any, Final

import psycopg
from django.db import connection
from psycopg.adapt import Transformer
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

NOT_PREPARED: Final = b"26000"  # SQLSTATE

Rows = list[tuple[Any, ...]]


class Prepared:
    """A statement with one parameter ($1)."""

    def __init__(self, statement: str) -> None:
        self._text = statement.encode()
        # it tells the text, so that no other statement can be meant
        self._name = f"ajo_{hashlib.sha256(self._text).hexdigest()[:24]}".encode()

    def prepare(self, session: psycopg.Connection) -> None:
        """Raises psycopg.Error."""
        session.pgconn.prepare(self._name, self._text)  # behind a pooler it may have been done for another

    def rows(self, session: psycopg.Connection, parameter: str) -> Rows:
        """Raises psycopg.Error."""
        return self._rows(session, parameter, session.pgconn.exec_prepared(self._name, [parameter.encode()]))

    @contextmanager
    def asked_ahead(self, parameter: str) -> Iterator[Callable[[], Rows]]:
        """Have PostgreSQL work on it, on Django's connection, while the block does something else.

        What is given waits for the rows; until then nothing else may be asked of the connection. Raises
        django.db.Error.
        """
        with connection.wrap_database_errors, connection.cursor() as cursor:
            session = cursor.connection
            libpq = session.pgconn
            if connection.in_atomic_block:  # a statement that is not known would end the transaction
                libpq.send_query_params(self._text, [parameter.encode()])
            else:
                libpq.send_query_prepared(self._name, [parameter.encode()])

            def rows() -> Rows:
                select([libpq.socket], [], [])  # libpq would let neither a signal nor another thread in meanwhile
                found = libpq.get_result()
                while libpq.get_result():
                    pass
                if found is None:
                    raise psycopg.OperationalError("PostgreSQL gave no answer")
                return self._rows(session, parameter, found)

            try:
                yield rows
            finally:
                while libpq.get_result():  # what is left over would be the next statement's
                    pass

    def _rows(self, session: psycopg.Connection, parameter: str, found: PGresult) -> Rows:
        if found.error_field(DiagnosticField.SQLSTATE) == NOT_PREPARED:
            self.prepare(session)
            found = session.pgconn.exec_params(self._text, [parameter.encode()])
        if found.status != ExecStatus.TUPLES_OK:
            raise psycopg.DatabaseError(found.error_message.decode(errors="replace"))
        transformer = Transformer(session)
        transformer.set_pgresult(found)
        return transformer.load_rows(0, found.ntuples, tuple)
