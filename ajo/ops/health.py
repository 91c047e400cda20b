"""Is the process alive, and can it serve? Answers are in words, without hosts, addresses or keys.

Ready means that reads are answered: a silent chain or a missing Redis makes answers stale or slow, not wrong, so they
are told and leave the service in its balancer.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis, RedisError

from ajo.ops.asker import has_token, is_inside
from ajo.ops.heartbeats import processes, silences
from ajo.soroban.models import Checkpoint, Lease, RpcNode, SyncRun
from ajo.soroban.rpc.pool import node_names

KEPT_FOR, KEPT_AT_MOST = 1.0, 15.0  # seconds, the second for those who ask while it is being found out


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all; asks nothing of others."""
    return JsonResponse({"status": "live"})


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found out, at a time of time.monotonic."""

    status: str
    problems: list[str]
    found_at: float


class Probe:
    """Readiness, found out once in KEPT_FOR at most, by one request: the others get what was known."""

    def __init__(self) -> None:
        self._known: Readiness | None = None
        self._finding_out = threading.Lock()

    def ask(self) -> Readiness:
        known = self._known
        if known and time.monotonic() < known.found_at + KEPT_FOR:
            return known
        is_kept = known is not None and time.monotonic() < known.found_at + KEPT_AT_MOST
        if not self._finding_out.acquire(blocking=not is_kept):
            return known  # type: ignore[return-value]  # it is kept
        try:
            if self._known is known:  # nobody found it out while this one waited
                self._known = _find_out()
            return self._known  # type: ignore[return-value]  # it has just been found out
        finally:
            self._finding_out.release()

    def forget(self) -> None:
        """Ask again at once."""
        self._known = None


probe = Probe()


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 with status `ready` or `degraded`, 503 with `unavailable`; `problems` says why, to operators alone."""
    found = probe.ask()
    said: dict[str, object] = {"status": found.status}
    if is_inside(request) or (settings.METRICS_TOKEN and has_token(request)):
        said["problems"] = found.problems
    return JsonResponse(said, status=503 if found.status == "unavailable" else 200)


def _find_out() -> Readiness:
    failing = database_problems()
    degraded = redis_problems() if failing else redis_problems() + chain_problems()
    status = "unavailable" if failing else "degraded" if degraded else "ready"
    return Readiness(status, failing + degraded, time.monotonic())


def database_problems() -> list[str]:
    """What keeps every read from being answered."""
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
    """Without the cache answers come slower; without the broker, which may be another one, nothing new is synced."""
    parts = {"redis": settings.REDIS_URL, "broker": settings.CELERY_BROKER_URL}
    return [f"{part}: does not answer" for part, address in parts.items() if not redis_answers(address)]


def redis_answers(address: str) -> bool:
    timeout = settings.REDIS_TIMEOUT
    try:
        with Redis.from_url(address, socket_timeout=timeout, socket_connect_timeout=timeout) as client:
            return bool(client.ping())
    except RedisError:
        return False


def chain_problems() -> list[str]:
    """How long the chain has been silent, by the database's clock, whether anybody is left to ask, and our own lag.

    The chain is not blamed for what our own worker or beat does not do.
    """
    silence = ExpressionWrapper(Now() - F("heard_at"), output_field=DurationField())
    try:
        known = Checkpoint.objects.order_by("id").annotate(silence=silence)
        row = known.values_list("silence", "ledger", "chain_ledger").first()
        left = RpcNode.objects.filter(name__in=node_names()).backing_off().count()
        failed = SyncRun.objects.filter(kind=SyncRun.Kind.SYNC).ended().values_list("outcome", flat=True).first()
        known_processes = processes()
        idle = seconds_without_a_pass() if known_processes else None
    except DatabaseError:
        return ["database: does not answer"]
    ours = silences(known_processes)
    problems = ours + ["chain: every RPC node fails"] * (left == len(settings.SOROBAN_RPC_URL))
    if row is None or row[0] is None:
        return [*problems, "chain: not heard from yet"] if ours else ["chain: not heard from yet", *problems]
    seconds, behind = row[0].total_seconds(), row[2] - row[1]
    problems += [f"sync: {behind} ledgers behind the chain"] * (behind > settings.RPC_MAX_LAG)
    if seconds <= settings.STALE_AFTER or ours:
        return problems
    if idle is not None and idle > settings.STALE_AFTER + settings.SYNC_INTERVAL:
        return [f"worker: runs, and has begun no pass for {idle:.0f} s", *problems]
    if failed == SyncRun.Outcome.FAILED:
        problems.append("sync: the last pass failed; the admin's sync runs say why")
    return [f"chain: not heard from for {seconds:.0f} seconds", *problems]


def seconds_without_a_pass() -> float | None:
    """Since the newest pass of the sync began, by the database's clock; None before the first, or while one goes on."""
    if Lease.objects.filter(name=SyncRun.Kind.SYNC, until__gt=Now()).exists():
        return None
    since = ExpressionWrapper(Now() - F("started_at"), output_field=DurationField())
    passes = SyncRun.objects.filter(kind=SyncRun.Kind.SYNC).order_by("-id").annotate(since=since)
    newest = passes.values_list("since", flat=True).first()
    return None if newest is None else newest.total_seconds()
