"""Django's backend for a PostgreSQL that may be away or slow, or fail over to another server.

One web thread never waits for a connection, and no statement runs for ever (ajo/database/limits.py). A session that
takes no writes any more is closed: after a failover it may have stayed with the server that was the primary.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg.errors import ReadOnlySqlTransaction

from ajo.database.limits import sessions
from ajo.database.sessions import begin_session

WAITER_TIMEOUT = 0.5  # seconds that a thread waits to wait for a connection; opening one takes less


@lru_cache(maxsize=1)
def _waiters() -> threading.BoundedSemaphore:
    """Return a semaphore that lets all threads of a web worker but one wait for a connection.

    That one goes on answering what needs no table. The pool's own `max_waiting` counts threads that gave up too, and
    then connects no more.
    """
    return threading.BoundedSemaphore(max(1, settings.WEB_THREADS - 1))


class _ErrorWrapper(DatabaseErrorWrapper):
    """Django's translation of errors; it also drops the sessions of a server that takes no writes."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, ReadOnlySqlTransaction):
            self.wrapper.drop_sessions()  # type: ignore[attr-defined]  # the stubs do not say what it wraps
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection to PostgreSQL, one for each thread."""

    @cached_property
    def wrap_database_errors(self) -> _ErrorWrapper:
        return _ErrorWrapper(self)

    def drop_sessions(self) -> None:
        """Close this session and the pool's others: the next ones connect to whatever server the address names now."""
        if self.connection is not None:
            self.connection.close()
        if self.pool:
            self.pool.drain()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Take a connection from the pool. Raise OperationalError where too many threads wait for one already."""
        if not _waiters().acquire(timeout=WAITER_TIMEOUT):
            raise self.Database.OperationalError("The other threads wait for the database already.")
        try:
            return super().get_new_connection(conn_params)
        finally:
            _waiters().release()

    def init_connection_state(self) -> None:
        """Prepare a session that Django begins to use, which may be another with each request."""
        super().init_connection_state()
        wrappers, own = self.execute_wrappers, sessions.execute_limited
        if own in wrappers:
            wrappers.remove(own)
        if sessions.limits_transactions(self.connection):
            wrappers.append(own)

    def _configure_connection(self, connection: Any) -> bool:
        """Prepare a session once, when it begins, in the pool or without one. Return whether it has to be committed."""
        begin_session(connection)
        super()._configure_connection(connection)  # type: ignore[misc]  # the stubs know of no pools
        sessions.configure(connection)
        return True
