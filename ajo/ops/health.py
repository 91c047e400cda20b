"""Liveness and readiness. Problems are described in words, without hosts, addresses or keys.

Ready means that reads are answered. A silent chain or a missing Redis makes answers stale or slow, not wrong: they are
reported as `degraded`, which leaves the service in its balancer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ajo.conf.reachability import why_not_redis
from ajo.ops.access import has_token, is_local
from ajo.ops.facts import last_run, node_states, seconds_without_a_pass, sync_position
from ajo.ops.heartbeats import process_problems, processes, work_words
from ajo.soroban.models import Checkpoint, SyncRun

MAX_AGE = 1.0  # seconds for which a result is fresh
MAX_STALE_AGE = 15.0  # seconds for which a stale result is served while another request checks again


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200. Neither PostgreSQL nor Redis is asked."""
    return JsonResponse({"status": "live"})


@dataclass(frozen=True, slots=True)
class Readiness:
    """The result of one check. `checked_at`: by time.monotonic."""

    status: str
    problems: list[str]
    checked_at: float


class ReadinessCache:
    """Readiness, checked at most once in MAX_AGE, as a single flight: other requests get the stale result meanwhile.

    Without a result that is younger than MAX_STALE_AGE they wait for the check.
    """

    def __init__(self, check: Callable[[], Readiness]) -> None:
        self._check = check
        self._cached: Readiness | None = None
        self._checking = threading.Lock()

    def get(self) -> Readiness:
        """Return the fresh or stale result, or check."""
        cached = self._cached
        if cached and time.monotonic() < cached.checked_at + MAX_AGE:
            return cached
        may_serve_stale = cached is not None and time.monotonic() < cached.checked_at + MAX_STALE_AGE
        if not self._checking.acquire(blocking=not may_serve_stale):
            return cached  # type: ignore[return-value]  # not None: it may be served stale
        try:
            if self._cached is cached:  # no other request has checked while this one waited
                self._cached = self._check()
            return self._cached  # type: ignore[return-value]  # not None after a check
        finally:
            self._checking.release()

    def clear(self) -> None:
        """Forget the result, so that the next request checks."""
        self._cached = None


def check() -> Readiness:
    """Check all that readiness depends on."""
    failing = database_problems()
    degraded = redis_problems() if failing else redis_problems() + chain_problems()
    status = "unavailable" if failing else "degraded" if degraded else "ready"
    return Readiness(status, failing + degraded, time.monotonic())


readiness = ReadinessCache(check)


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 with `ready` or `degraded`, 503 with `unavailable`. Operators alone get `problems`, the reasons."""
    result = readiness.get()
    body: dict[str, object] = {"status": result.status}
    if is_local(request) or (settings.METRICS_TOKEN and has_token(request)):
        body["problems"] = result.problems
    return JsonResponse(body, status=503 if result.status == "unavailable" else 200)


def database_problems() -> list[str]:
    """Return what makes every read fail: no database, other tables than this version's, or a halted sync."""
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if pending:
            return [f"database: {len(pending)} migrations have not been applied"]
        checkpoint = Checkpoint.objects.current()
    except (OperationalError, InterfaceError):
        return ["database: does not answer"]
    except DatabaseError:
        return ["database: its tables do not fit this version"]
    if checkpoint is not None and checkpoint.halt_reason:
        return [f"sync: stopped: {checkpoint.halt_reason}"]
    return []


def redis_problems() -> list[str]:
    """Return which Redis does not answer. Without the cache reads are slower; without the broker nothing is synced."""
    parts = {"redis": settings.REDIS_URL, "broker": settings.CELERY_BROKER_URL}
    return [f"{part}: does not answer" for part, address in parts.items() if not redis_answers(address)]


def redis_answers(address: str) -> bool:
    """Return whether the Redis at this URL answers PING within REDIS_TIMEOUT."""
    return not why_not_redis(address, settings.REDIS_TIMEOUT)


def chain_problems() -> list[str]:
    """Return what delays the tables: silent processes, failing nodes, a lag, or a chain that was not heard from.

    While worker or beat are silent the chain is not blamed for its silence.
    """
    try:
        position = sync_position()
        is_every_node_failing = all(node.is_backing_off for node in node_states())
        last_pass = last_run(SyncRun.Kind.SYNC)
        known_processes = processes()
        idle = seconds_without_a_pass() if known_processes else None
    except Error:
        return ["database: does not answer"]
    own = process_problems(known_processes)
    problems = own + ["chain: every RPC node fails"] * is_every_node_failing
    silence = None if position is None else position.chain_silence
    if position is None or silence is None:
        return [*problems, "chain: not heard from yet"] if own else ["chain: not heard from yet", *problems]
    behind = position.ledgers_behind
    problems += [f"sync: {behind} ledgers behind the chain"] * (behind > settings.RPC_MAX_LAG)
    if silence <= settings.STALE_AFTER or own:
        return problems
    if idle is not None and idle > settings.STALE_AFTER + settings.SYNC_INTERVAL:
        return [f"worker: runs, and has begun no pass for {idle:.0f} s{work_words(known_processes)}", *problems]
    if last_pass and last_pass.outcome == SyncRun.Outcome.FAILED:
        problems.append("sync: the last pass failed; the admin's sync runs say why")
    return [f"chain: not heard from for {silence:.0f} seconds", *problems]
