"""How long PostgreSQL works, waits for a lock, or keeps a transaction that does nothing, by what a process is for.

A session of our own is told once, when it begins. One that belongs to a pooler's client (PgBouncer in transaction mode)
is another's a moment later: there a web process tells each transaction, and has no statement outside of one. What such
a pooler lets workers and commands do is the role's or the pooler's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakSet

import psycopg
from django.db import transaction
from psycopg.pq import TransactionStatus

_SET: Final = """
SELECT set_config('statement_timeout', %s, %s), set_config('lock_timeout', %s, %s),
  set_config('idle_in_transaction_session_timeout', %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds; 0 is none."""

    statement: int
    lock: int
    idle_in_transaction: int

    def parameters(self, *, local: bool) -> list[str | bool]:
        limits = (self.statement, self.lock, self.idle_in_transaction)
        return [word for limit in limits for word in (f"{limit}s", local)]


COMMANDS: Final = Limits(0, 60, 900)  # a migration may build an index for as long as it takes
WORKERS: Final = Limits(900, 60, 900)  # as long as Celery lets a task run
WEB: Final = Limits(10, 2, 10)  # somebody waits for the answer


class Sessions:
    """The limits of this process's sessions, and which sessions have them."""

    def __init__(self) -> None:
        self._limits = COMMANDS
        self._own: WeakSet[psycopg.Connection] = WeakSet()

    def limit(self, limits: Limits) -> None:
        """Sessions that begin from now on have these limits."""
        self._limits = limits

    def configure(self, session: psycopg.Connection) -> None:
        """Set the limits for a session that begins. A pooler has given the client a process id of its own making."""
        parameters = [*self._limits.parameters(local=False), session.info.backend_pid]
        if session.execute(f"{_SET} WHERE pg_backend_pid() = %s", parameters).fetchone():
            self._own.add(session)

    def execute_limited(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """One of Django's `execute_wrappers`, for a pooler's session: the limits, for this transaction."""
        wrapper = context["connection"]
        if wrapper.in_atomic_block:
            self._begin(wrapper.connection)
            return execute(sql, params, many, context)
        with transaction.atomic(using=wrapper.alias):
            self._begin(wrapper.connection)
            return execute(sql, params, many, context)

    def _begin(self, session: psycopg.Connection) -> None:
        if session.info.transaction_status == TransactionStatus.IDLE:
            session.execute(_SET, self._limits.parameters(local=True))

    def limits_transactions(self, session: psycopg.Connection) -> bool:
        """Whether each of the session's transactions has to be told."""
        return self._limits is WEB and session not in self._own


sessions = Sessions()
