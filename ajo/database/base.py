"""PostgreSQL that may be away or slow: not every thread waits for it, and no session for ever."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base

from ajo.database.limits import sessions

PATIENCE = 0.5  # seconds, more than a new connection takes


@lru_cache(maxsize=1)
def _places() -> threading.BoundedSemaphore:
    """For all threads of a web worker but one, which goes on answering what needs no table.

    The pool's own `max_waiting` counts those that gave up as well, and then asks the server no more.
    """
    return threading.BoundedSemaphore(max(1, settings.WEB_THREADS - 1))


class DatabaseWrapper(base.DatabaseWrapper):
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

    def _configure_connection(self, connection: Any) -> Any:
        """Each session that begins, in the pool or without one."""
        commit = super()._configure_connection(connection)  # type: ignore[misc]  # not in the stubs
        sessions.configure(connection)
        return commit
