"""Facts about the service, each queried in one place.

Health, status, metrics and the admin's front page are views of these. Every function queries when it is called, and
raises DatabaseError, or RedisError where it asks the broker. Times are by the database's clock: hosts' clocks differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from redis import Redis

from ajo.soroban.models import Checkpoint, Lease, RpcNode, SyncRun
from ajo.soroban.rpc.pool import node_names


@dataclass(frozen=True, slots=True)
class SyncPosition:
    """How far the tables follow the chain, at `read_at` of the database's clock."""

    checkpoint: Checkpoint
    read_at: datetime

    @property
    def ledgers_behind(self) -> int:
        """The ledgers between the network's newest, as last heard, and the tables."""
        return max(0, self.checkpoint.chain_ledger - self.checkpoint.ledger)

    @property
    def chain_silence(self) -> float | None:
        """Seconds since the chain was heard from; None: never."""
        return self._seconds_since(self.checkpoint.chain_advanced_at)

    @property
    def close_lag(self) -> float | None:
        """Seconds since the newest ledger that was heard of closed; None: unknown."""
        return self._seconds_since(self.checkpoint.chain_closed_at)

    def _seconds_since(self, time: datetime | None) -> float | None:
        return None if time is None else max(0.0, (self.read_at - time).total_seconds())


def sync_position() -> SyncPosition | None:
    """Return the position of the sync; None before its first pass."""
    checkpoint = Checkpoint.objects.order_by("id").annotate(read_at=Now()).first()
    if checkpoint is None:
        return None
    return SyncPosition(checkpoint, checkpoint.read_at)  # type: ignore[attr-defined]  # the annotation


def last_run(kind: SyncRun.Kind) -> SyncRun | None:
    """Return the newest run of this kind that ended."""
    return SyncRun.objects.filter(kind=kind).ended().first()


def seconds_without_a_pass() -> float | None:
    """Return the seconds since the newest pass of the sync began; None before the first, or while one is running."""
    if Lease.objects.filter(name=SyncRun.Kind.SYNC, until__gt=Now()).exists():
        return None
    since = ExpressionWrapper(Now() - F("started_at"), output_field=DurationField())
    passes = SyncRun.objects.filter(kind=SyncRun.Kind.SYNC).order_by("-id").annotate(since=since)
    newest = passes.values_list("since", flat=True).first()
    return None if newest is None else newest.total_seconds()


@dataclass(frozen=True, slots=True)
class NodeState:
    """One configured RPC node. `failures`: in a row. `is_backing_off`: it failed, and is not asked for a while."""

    name: str
    failures: int
    is_backing_off: bool


def node_states() -> Sequence[NodeState]:
    """Return the state of every node in SOROBAN_RPC_URL, in that order. A node without a row never failed."""
    failures = dict(RpcNode.objects.values_list("name", "failures"))
    backing_off = set(RpcNode.objects.backing_off().values_list("name", flat=True))
    return [NodeState(name, failures.get(name, 0), name in backing_off) for name in node_names()]


def waiting_tasks() -> int:
    """Return the number of tasks in the queue that no worker has taken yet. Raises RedisError."""
    timeout = settings.REDIS_TIMEOUT
    with Redis.from_url(settings.CELERY_BROKER_URL, socket_timeout=timeout, socket_connect_timeout=timeout) as broker:
        prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
        return int(broker.llen(f"{prefix}{settings.CELERY_TASK_DEFAULT_QUEUE}"))
