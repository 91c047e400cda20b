"""/metrics: what the processes counted, and what PostgreSQL and Redis know at this moment.

Whatever is down is left out and told by `ajo_up`; the rest is still answered.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis, RedisError

from ajo.counts import CountFiles
from ajo.ops.asker import has_token, is_inside
from ajo.ops.health import redis_answers
from ajo.ops.heartbeats import processes
from ajo.soroban.archival import archived, expiring_soon
from ajo.soroban.models import Checkpoint, HistoryGap, RpcNode, UndecodedEntry
from ajo.soroban.rpc.pool import node_names
from groups.models import Group, Token

log = logging.getLogger(__name__)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The text format of Prometheus; 401 without METRICS_TOKEN, or where none is set 403 unless asked from inside."""
    if not settings.METRICS_TOKEN:
        if not is_inside(request):
            return HttpResponse("Set METRICS_TOKEN to ask from elsewhere.\n", status=403, content_type="text/plain")
    elif not has_token(request):
        headers = {"WWW-Authenticate": "Bearer"}
        return HttpResponse("A token is needed.\n", status=401, content_type="text/plain", headers=headers)
    return HttpResponse(_counted() + generate_latest(_Stored()), content_type=CONTENT_TYPE_LATEST)


def _counted() -> bytes:
    """What the processes that share PROMETHEUS_MULTIPROC_DIR counted, those that ended included."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    try:
        CountFiles(registry)  # type: ignore[no-untyped-call]  # as the library has it
        return generate_latest(registry)
    except (OSError, ValueError, RuntimeError, struct.error) as failure:
        # a file that a starting process has made and not yet filled; the next scrape reads it
        log.warning("the processes' counts cannot be read now: %s", type(failure).__name__)
        return b""


class _Stored(Collector):
    """What is read when asked: the same from every process and machine."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("ajo_up", "Whether this part answers.", labels=["part"])
        reads: dict[str, Callable[[], Iterable[Metric]]] = {"postgresql": _from_database, "broker": _from_broker}
        for part, read in reads.items():
            try:
                found = list(read())
            except (DatabaseFailure, RedisError):
                up.add_metric([part], 0)
            else:
                up.add_metric([part], 1)
                yield from found
        up.add_metric(["cache"], redis_answers(settings.REDIS_URL))
        yield up


def _from_database() -> Iterator[Metric]:
    yield GaugeMetricFamily("ajo_gaps", "Stretches of history that are missing.", HistoryGap.objects.missing().count())
    yield GaugeMetricFamily("ajo_undecoded_entries", "Entries set aside.", UndecodedEntry.objects.count())
    short = Token.objects.short().count()
    text = "Tokens of which the contract owes more than it holds, by more than the premiums that it only booked."
    yield GaugeMetricFamily("ajo_short_tokens", text, short)
    unconfirmed = Group.objects.unconfirmed().count()
    yield GaugeMetricFamily("ajo_unproven_groups", "Groups with rows that no entry proves.", unconfirmed)
    yield from _nodes()
    age = GaugeMetricFamily("ajo_heartbeat_age_seconds", "Since it last said that it runs.", labels=["part", "name"])
    for each in processes():
        age.add_metric([each.part, each.name], each.age)
    yield age
    checkpoint = Checkpoint.objects.current()
    if checkpoint is None:
        return
    known = checkpoint.chain_ledger
    now = Checkpoint.objects.values_list(Now(), flat=True)[0]  # by the database's clock, as heard_at is
    yield GaugeMetricFamily("ajo_ledger", "The tables hold everything announced up to it.", checkpoint.ledger)
    yield GaugeMetricFamily("ajo_chain_ledger", "The network's newest, as last heard.", known)
    yield GaugeMetricFamily("ajo_lag_ledgers", "Their difference.", max(0, known - checkpoint.ledger))
    for name, since, text in (
        ("ajo_lag_seconds", checkpoint.chain_closed_at, "Since the newest ledger heard of closed."),
        ("ajo_chain_silence_seconds", checkpoint.heard_at, "Since the chain was heard from."),
    ):
        if since is not None:
            yield GaugeMetricFamily(name, text, max(0.0, (now - since).total_seconds()))
    drift = CounterMetricFamily("ajo_drift", "Differences that no event announced.", labels=["kind"])
    for kind, number in checkpoint.drift.items():
        drift.add_metric([kind], number)
    yield drift
    yield GaugeMetricFamily("ajo_halted", "Whether the sync waits for a person.", bool(checkpoint.halt_reason))
    yield GaugeMetricFamily("ajo_groups", "Groups that the contract has made.", checkpoint.group_count)
    for name, which, text in (
        ("near_end", expiring_soon, "With an entry that is archived within a week unless somebody extends its life."),
        ("archived", archived, "With an entry that is archived, or whose end the node does not know."),
    ):
        gauge = GaugeMetricFamily(f"ajo_{name}", text, labels=["of"])
        gauge.add_metric(["groups"], which(Group.objects.all(), known).count())
        gauge.add_metric(["contract"], which(Checkpoint.objects.all(), known).count())
        yield gauge


def _nodes() -> Iterator[Metric]:
    known = dict(RpcNode.objects.values_list("name", "failures"))
    left = set(RpcNode.objects.backing_off().values_list("name", flat=True))
    up = GaugeMetricFamily("ajo_rpc_node_up", "0: it failed, and is left alone for a while.", labels=["node"])
    failures = GaugeMetricFamily("ajo_rpc_node_failures", "Failures in a row.", labels=["node"])
    for name in node_names():
        up.add_metric([name], name not in left)
        failures.add_metric([name], known.get(name, 0))
    yield from (up, failures)


def _from_broker() -> Iterator[Metric]:
    timeout = settings.REDIS_TIMEOUT
    with Redis.from_url(settings.CELERY_BROKER_URL, socket_timeout=timeout, socket_connect_timeout=timeout) as broker:
        prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
        length = broker.llen(f"{prefix}{settings.CELERY_TASK_DEFAULT_QUEUE}")
    yield GaugeMetricFamily("ajo_queue_length", "Tasks that wait for a worker.", length)
