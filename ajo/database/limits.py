"""Limit how long a statement runs, waits for a lock, or leaves a transaction idle, by what a process is for.

A session of our own gets its limits once, when it begins. A session behind a pooler (PgBouncer in transaction mode) is
another client's a moment later: there a web process sets them in each transaction, and runs no statement outside of
one. Behind a pooler workers and commands have the limits of the role or of the pooler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakSet

import psycopg
from django.db import connection, transaction
from psycopg.pq import TransactionStatus

_SET: Final = """
SELECT set_config('statement_timeout', %s, %s), set_config('lock_timeout', %s, %s),
  set_config('idle_in_transaction_session_timeout', %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """PostgreSQL's three timeouts in seconds; 0 is none."""

    statement: int
    lock: int
    idle_in_transaction: int

    def parameters(self, *, local: bool) -> list[str | bool]:
        """Return the parameters of _SET; `local` ones end with the transaction."""
        limits = (self.statement, self.lock, self.idle_in_transaction)
        return [word for limit in limits for word in (f"{limit}s", local)]


COMMANDS: Final = Limits(0, 60, 900)  # a migration may build an index for as long as it takes
WORKERS: Final = Limits(900, 60, 900)  # as long as Celery lets a task run
WEB: Final = Limits(10, 2, 10)  # somebody waits for the answer


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Run the block in a transaction of these limits. They end with it, behind a pooler too. Raise django.db.Error."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_SET, limits.parameters(local=True))
        yield


class Sessions:
    """Sets `limits` on the sessions of this process that begin, and knows which sessions have them already."""

    def __init__(self) -> None:
        self.limits = COMMANDS
        self._own: WeakSet[psycopg.Connection] = WeakSet()

    def limit(self, limits: Limits) -> None:
        """Give these limits to the sessions that begin from now on."""
        self.limits = limits

    def configure(self, session: psycopg.Connection) -> None:
        """Set the limits of a session that begins. Do nothing behind a pooler. Raise psycopg.Error.

        A pooler is recognized by the process id: it gives its clients one of its own making.
        """
        parameters = [*self.limits.parameters(local=False), session.info.backend_pid]
        if session.execute(f"{_SET} WHERE pg_backend_pid() = %s", parameters).fetchone():
            self._own.add(session)

    def execute_limited(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Set the limits in the transaction, then execute: one of Django's `execute_wrappers`, behind a pooler."""
        wrapper = context["connection"]
        if wrapper.in_atomic_block:
            self._begin(wrapper.connection)
            return execute(sql, params, many, context)
        with transaction.atomic(using=wrapper.alias):
            self._begin(wrapper.connection)
            return execute(sql, params, many, context)

    def _begin(self, session: psycopg.Connection) -> None:
        if session.info.transaction_status == TransactionStatus.IDLE:
            session.execute(_SET, self.limits.parameters(local=True))

    def limits_transactions(self, session: psycopg.Connection) -> bool:
        """Return whether the limits have to be set in each of the session's transactions."""
        return self.limits is WEB and session not in self._own


sessions = Sessions()
