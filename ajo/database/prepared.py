"""Statements that a session plans once, by libpq alone: for those whose planning and cursor take longer than they run.

Each is prepared first by whoever asks: a pooler that follows that (PgBouncer's `max_prepared_statements`) ends a client
that did not. One that does not may give another of its sessions each time, which is taught the statement when it says
that it does not know it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import POLLIN, poll, select
from typing import Any, Final
from weakref import WeakSet

import psycopg
from django.db import connection
from psycopg.adapt import Transformer
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

# SQLSTATEs: the session does not know the statement, or since then its columns have other types
NOT_PREPARED: Final = b"26000"
OF_ANOTHER_SHAPE: Final = b"0A000"
PREPARED_ALREADY: Final = b"42P05"

PATIENCE = 5.0  # seconds that one row by its key is waited for; a pooler's session has no limits of its own

Rows = list[tuple[Any, ...]]


class Prepared:
    """A statement with one parameter ($1)."""

    def __init__(self, statement: str) -> None:
        self._text = statement.encode()
        # it tells the text, so that no other statement can be meant
        self._name = f"ajo_{hashlib.sha256(self._text).hexdigest()[:24]}".encode()
        self._prepared: WeakSet[psycopg.Connection] = WeakSet()

    def _prepare(self, session: psycopg.Connection, patience: float | None = None) -> None:
        session.pgconn.send_prepare(self._name, self._text)
        found = _result(session.pgconn, patience)
        wrong = found.error_field(DiagnosticField.SQLSTATE)
        if wrong and wrong != PREPARED_ALREADY:  # behind a pooler it may have been done for another
            raise psycopg.DatabaseError(found.error_message.decode(errors="replace"))
        self._prepared.add(session)

    def rows(self, session: psycopg.Connection, parameter: str) -> Rows:
        """Raises psycopg.Error, also where PostgreSQL has not answered after PATIENCE: the session has to be closed."""
        if session not in self._prepared:
            self._prepare(session, PATIENCE)
        session.pgconn.send_query_prepared(self._name, [parameter.encode()])
        return self._rows(session, parameter, _result(session.pgconn, PATIENCE), PATIENCE)

    @contextmanager
    def execute_async(self, parameter: str) -> Iterator[Callable[[], Rows]]:
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
                if session not in self._prepared:
                    self._prepare(session)
                libpq.send_query_prepared(self._name, [parameter.encode()])

            def rows() -> Rows:
                select([libpq.socket], [], [])  # libpq would let neither a signal nor another thread in meanwhile
                return self._rows(session, parameter, _result(libpq, None))

            try:
                yield rows
            finally:
                while libpq.get_result():  # what is left over would be the next statement's
                    pass

    def _rows(
        self, session: psycopg.Connection, parameter: str, found: PGresult, patience: float | None = None
    ) -> Rows:
        wrong = found.error_field(DiagnosticField.SQLSTATE)
        if wrong in (NOT_PREPARED, OF_ANOTHER_SHAPE):
            if wrong == OF_ANOTHER_SHAPE:
                session.pgconn.exec_(b"DEALLOCATE " + self._name)
            self._prepare(session, patience)
            session.pgconn.send_query_params(self._text, [parameter.encode()])
            found = _result(session.pgconn, patience)
        if found.status != ExecStatus.TUPLES_OK:
            raise psycopg.DatabaseError(found.error_message.decode(errors="replace"))
        transformer = Transformer(session)
        transformer.set_pgresult(found)
        return transformer.load_rows(0, found.ntuples, tuple)


def _result(libpq: PGconn, patience: float | None) -> PGresult:
    """What is answered to what was sent. Raises psycopg.OperationalError after `patience` seconds; None: never."""
    if patience is not None:
        _wait(libpq, time.monotonic() + patience)
    found = libpq.get_result()
    while libpq.get_result():
        pass
    if found is None:
        raise psycopg.OperationalError("PostgreSQL gave no answer")
    return found


def _wait(libpq: PGconn, deadline: float) -> None:
    """Until a whole result is there. Raises psycopg.OperationalError after `deadline` (time.monotonic)."""
    poller = poll()
    poller.register(libpq.socket, POLLIN)
    while libpq.is_busy():
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise psycopg.OperationalError("PostgreSQL has not answered in time")
        libpq.consume_input()
