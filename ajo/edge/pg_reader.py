"""Read groups from PostgreSQL, on sessions of the edge's own."""

from __future__ import annotations

import threading
import time

import psycopg

from ajo import cache
from ajo.database.limits import sessions
from ajo.database.sessions import begin_session, connect_apart
from groups.bodies import prepared_body

MAX_CONNECTION_AGE = 60.0  # seconds: after a failover the server that was the primary is asked no longer than that
COOLDOWN = 1.0  # seconds that a database that failed is left alone
MAX_DIGITS = 18  # of a group id: so many certainly fit a bigint

_Session = tuple[psycopg.Connection, float]  # with when it ends, by time.monotonic


class PgReader:
    """A pool of as many sessions as threads ask at once, opened as they are needed.

    A session is not checked before use, which would take as long as the statement. One that died with a restarted
    server fails once, and Django answers instead.
    """

    def __init__(self) -> None:
        self._idle: list[_Session] = []
        self._opening = threading.Lock()
        self._cooldown_until = 0.0

    def read(self, number: str) -> cache.Found | None:
        """Return a group's body.

        None where the tables do not have it, and silently where they cannot be asked: Django says which.
        """
        if len(number) > MAX_DIGITS or time.monotonic() < self._cooldown_until:
            return None
        session = None
        try:
            if (session := self.take_session()) is None:
                return None
            found = prepared_body(session[0], int(number))
        except psycopg.Error:
            self._cooldown_until = time.monotonic() + COOLDOWN
            if session:
                session[0].close()
            self.close()  # after a restart all of them are dead
            return None
        self._idle.append(session)
        return found

    def take_session(self) -> _Session | None:
        """Take an idle session or open one. Raise psycopg.Error.

        None while another thread opens one: a server that does not answer holds one thread, not all.
        """
        try:
            while time.monotonic() >= (session := self._idle.pop())[1]:
                session[0].close()
            return session
        except IndexError:
            pass
        if not self._opening.acquire(blocking=False):
            return None
        try:
            opened = connect_apart()
            begin_session(opened)
            sessions.configure(opened)
            return opened, time.monotonic() + MAX_CONNECTION_AGE
        finally:
            self._opening.release()

    def close(self) -> None:
        """Close the sessions that nobody uses now."""
        while self._idle:
            self._idle.pop()[0].close()
