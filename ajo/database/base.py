"""PostgreSQL that may be away or slow, begin sessions in another way, or hand over to another server.

Not every thread waits for it, and no session for ever. A session that takes no writes any more is not used again: after
a failover it may have stayed with the server that was the primary.
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

PATIENCE = 0.5  # seconds, more than a new connection takes


@lru_cache(maxsize=1)
def _places() -> threading.BoundedSemaphore:
    """For all threads of a web worker but one, which goes on answering what needs no table.

    The pool's own `max_waiting` counts those that gave up as well, and then asks the server no more.
    """
    return threading.BoundedSemaphore(max(1, settings.WEB_THREADS - 1))


class _ErrorWrapper(DatabaseErrorWrapper):
    """Django's translation of errors, which ends the sessions of a server that takes no writes."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, ReadOnlySqlTransaction):
            self.wrapper.leave_server()  # type: ignore[attr-defined]  # the stubs do not say what it wraps
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    @cached_property
    def wrap_database_errors(self) -> _ErrorWrapper:
        return _ErrorWrapper(self)

    def leave_server(self) -> None:
        """End this session and the pool's others: the next ones ask anew which server it is."""
        if self.connection is not None:
            self.connection.close()
        if self.pool:
            self.pool.drain()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """From the pool. Raises OperationalError where the others have been waiting for theirs for a while."""
        if not _places().acquire(timeout=PATIENCE):
            raise self.Database.OperationalError("The other threads wait for the database already.")
        try:
            return super().get_new_connection(conn_params)
        finally:
            _places().release()

    def init_connection_state(self) -> None:
        """A session that Django begins to use, which is another with each request."""
        super().init_connection_state()
        wrappers, own = self.execute_wrappers, sessions.execute_limited
        if own in wrappers:
            wrappers.remove(own)
        if sessions.limits_transactions(self.connection):
            wrappers.append(own)

    def _configure_connection(self, connection: Any) -> bool:
        """Prepare each session that begins, in the pool or without one."""
        begin_session(connection)
        super()._configure_connection(connection)  # type: ignore[misc]  # the stubs know of no pools
        sessions.configure(connection)
        return True
