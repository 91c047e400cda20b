"""Prepared statements by libpq alone, for those whose planning and cursor take longer than they run.

Each session prepares a statement before its first use: a pooler that tracks prepared statements (PgBouncer's
`max_prepared_statements`) disconnects a client that does not. A pooler that does not track them may give another
session each time; it is prepared when it answers that it does not know the statement.
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

# SQLSTATEs
NOT_PREPARED: Final = b"26000"  # the session does not know the statement
RESULT_TYPE_CHANGED: Final = b"0A000"  # a migration has changed its columns since
PREPARED_ALREADY: Final = b"42P05"

ROW_TIMEOUT = 5.0  # seconds for one row by its key; a pooler's session has no limits of its own

Rows = list[tuple[Any, ...]]


class Prepared:
    """A statement with one parameter ($1), prepared once in each session."""

    def __init__(self, statement: str) -> None:
        self._text = statement.encode()
        # a hash of the text, so that two releases behind one pooler cannot mean different statements by it
        self._name = f"ajo_{hashlib.sha256(self._text).hexdigest()[:24]}".encode()
        self._prepared: WeakSet[psycopg.Connection] = WeakSet()

    def _prepare(self, session: psycopg.Connection, timeout: float | None = None) -> None:
        """Prepare the statement. Do nothing if it is prepared. Raise psycopg.Error."""
        session.pgconn.send_prepare(self._name, self._text)
        found = _result(session.pgconn, timeout)
        sqlstate = found.error_field(DiagnosticField.SQLSTATE)
        if sqlstate and sqlstate != PREPARED_ALREADY:  # behind a pooler it may have been done for another
            raise psycopg.DatabaseError(found.error_message.decode(errors="replace"))
        self._prepared.add(session)

    def rows(self, session: psycopg.Connection, parameter: str) -> Rows:
        """Execute on this session and return all rows.

        Raise psycopg.Error, also where PostgreSQL has not answered after ROW_TIMEOUT seconds: then the session has to
        be closed.
        """
        if session not in self._prepared:
            self._prepare(session, ROW_TIMEOUT)
        session.pgconn.send_query_prepared(self._name, [parameter.encode()])
        return self._rows(session, parameter, _result(session.pgconn, ROW_TIMEOUT), ROW_TIMEOUT)

    @contextmanager
    def execute_async(self, parameter: str) -> Iterator[Callable[[], Rows]]:
        """Execute on Django's connection while the block does something else; yield a function that awaits the rows.

        Until then nothing else may be executed on the connection. Raise django.db.Error.
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

    def _rows(self, session: psycopg.Connection, parameter: str, found: PGresult, timeout: float | None = None) -> Rows:
        """Load a result's rows. Where it says that the statement is unknown or stale, prepare and execute again."""
        sqlstate = found.error_field(DiagnosticField.SQLSTATE)
        if sqlstate in (NOT_PREPARED, RESULT_TYPE_CHANGED):
            if sqlstate == RESULT_TYPE_CHANGED:
                session.pgconn.exec_(b"DEALLOCATE " + self._name)
            self._prepare(session, timeout)
            session.pgconn.send_query_params(self._text, [parameter.encode()])
            found = _result(session.pgconn, timeout)
        if found.status != ExecStatus.TUPLES_OK:
            raise psycopg.DatabaseError(found.error_message.decode(errors="replace"))
        transformer = Transformer(session)
        transformer.set_pgresult(found)
        return transformer.load_rows(0, found.ntuples, tuple)


def _result(libpq: PGconn, timeout: float | None) -> PGresult:
    """Return the result of what was sent. Raise psycopg.OperationalError after `timeout` seconds; None: never."""
    if timeout is not None:
        _wait(libpq, time.monotonic() + timeout)
    found = libpq.get_result()
    while libpq.get_result():
        pass
    if found is None:
        raise psycopg.OperationalError("PostgreSQL gave no answer")
    return found


def _wait(libpq: PGconn, deadline: float) -> None:
    """Wait until a whole result is there. Raise psycopg.OperationalError after `deadline` (time.monotonic)."""
    poller = poll()
    poller.register(libpq.socket, POLLIN)
    while libpq.is_busy():
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise psycopg.OperationalError("PostgreSQL has not answered in time")
        libpq.consume_input()
