"""/metrics: what the processes counted, and what PostgreSQL and Redis hold at this moment.

A part that is down is left out, and `ajo_up` says so. The rest is still answered.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import RedisError

from ajo import __version__
from ajo.counts import CountFiles
from ajo.ops.access import has_token, is_local
from ajo.ops.facts import SyncPosition, node_states, sync_position, waiting_tasks
from ajo.ops.health import redis_answers
from ajo.ops.heartbeats import processes
from ajo.ops.process_metrics import process_metrics
from ajo.soroban.archival import archived, expiring_soon
from ajo.soroban.models import Checkpoint, HistoryGap, UndecodedEntry
from groups.models import Group, Token

log = logging.getLogger(__name__)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer in Prometheus' text format; 401 without METRICS_TOKEN; where none is set, 403 to all but local clients."""
    if not settings.METRICS_TOKEN:
        if not is_local(request):
            return HttpResponse("Set METRICS_TOKEN to ask from elsewhere.\n", status=403, content_type="text/plain")
    elif not has_token(request):
        headers = {"WWW-Authenticate": "Bearer"}
        return HttpResponse("A token is needed.\n", status=401, content_type="text/plain", headers=headers)
    return HttpResponse(_counts() + generate_latest(_SharedMetrics()), content_type=CONTENT_TYPE_LATEST)


def _counts() -> bytes:
    """Return the counts of all processes, past ones included, that share PROMETHEUS_MULTIPROC_DIR.

    Empty, with a warning in the log, where a file cannot be read now.
    """
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    try:
        CountFiles(registry)  # type: ignore[no-untyped-call]  # as the library has it
        return generate_latest(registry)
    except (OSError, ValueError, RuntimeError, struct.error) as failure:
        # A starting process has created a file and not filled it yet. The next scrape reads it.
        log.warning("the processes' counts cannot be read now: %s", type(failure).__name__)
        return b""


class _SharedMetrics(Collector):
    """Collects what is read at each scrape, and is the same from every process and machine."""

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("ajo_build", "The version that answers.", {"version": __version__})
        yield from process_metrics()
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
    yield from _node_metrics()
    yield from _heartbeat_metrics()
    position = sync_position()
    if position is not None:
        yield from _chain_metrics(position)


def _heartbeat_metrics() -> Iterator[Metric]:
    age = GaugeMetricFamily("ajo_heartbeat_age_seconds", "Since it last said that it runs.", labels=["part", "name"])
    text = "For how long a worker has run this task; how long ago beat sent it."
    task_age = GaugeMetricFamily("ajo_task_seconds", text, labels=["part", "name", "task"])
    for each in processes():
        age.add_metric([each.part, each.name], each.age)
        # Of tasks of one name the one that runs longest: they are ordered so.
        for name, seconds in {task.name: task.seconds for task in reversed(each.tasks)}.items():
            task_age.add_metric([each.part, each.name, name], seconds)
    yield from (age, task_age)


def _chain_metrics(position: SyncPosition) -> Iterator[Metric]:
    checkpoint = position.checkpoint
    yield GaugeMetricFamily("ajo_ledger", "The tables hold everything announced up to it.", checkpoint.ledger)
    yield GaugeMetricFamily("ajo_chain_ledger", "The network's newest, as last heard.", checkpoint.chain_ledger)
    yield GaugeMetricFamily("ajo_lag_ledgers", "Their difference.", position.ledgers_behind)
    for name, seconds, text in (
        ("ajo_lag_seconds", position.close_lag, "Since the newest ledger heard of closed."),
        ("ajo_chain_silence_seconds", position.chain_silence, "Since the chain was heard from."),
    ):
        if seconds is not None:
            yield GaugeMetricFamily(name, text, seconds)
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
        gauge.add_metric(["groups"], which(Group.objects.all(), checkpoint.chain_ledger).count())
        gauge.add_metric(["contract"], which(Checkpoint.objects.all(), checkpoint.chain_ledger).count())
        yield gauge


def _node_metrics() -> Iterator[Metric]:
    up = GaugeMetricFamily("ajo_rpc_node_up", "0: it failed, and is left alone for a while.", labels=["node"])
    failures = GaugeMetricFamily("ajo_rpc_node_failures", "Failures in a row.", labels=["node"])
    for node in node_states():
        up.add_metric([node.name], not node.is_backing_off)
        failures.add_metric([node.name], node.failures)
    yield from (up, failures)


def _from_broker() -> Iterator[Metric]:
    yield GaugeMetricFamily("ajo_queue_length", "Tasks that wait for a worker.", waiting_tasks())
