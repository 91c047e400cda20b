"""The pool of RPC nodes, in order of preference: a node that fails, lags or serves another network backs off.

One node answers a whole read; failover begins the read anew. The nodes' health is in the database, shared by all
processes and shown to staff, under names without the secrets that addresses may hold.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from ajo.conf.redaction import Secrets
from ajo.soroban.models import MAX_BACKOFF, RpcNode
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import (
    ChainError,
    NeedsConsensus,
    NodeLagging,
    NodeStalled,
    RpcRateLimited,
    RpcRejected,
    RpcUnavailable,
)

log = logging.getLogger(__name__)

FIRST_BACKOFF = 2  # seconds after the first failure in a row; doubled with each further one
# A node that has not answered for so long, or so often from the beginning, does not count in a consensus.
SILENT_FOR, SILENT_TIMES = timedelta(minutes=10), 20
NETWORK_CHECK_INTERVAL = 3600.0  # seconds
# Seconds for which a process does not write again that a node answers, nor reads again that none is in backoff. Both
# statements would else be a good part of what a short request costs, and all processes would update the same row.
ANSWER_INTERVAL, ORDER_TTL = 5.0, 1.0
MIN_SHARE = 1.0  # seconds of a deadline for one node: most answers of a public node come sooner
KNOWN_PROTOCOL = 28  # the newest protocol whose XDR the pinned stellar-sdk has
T = TypeVar("T")


def node_name(place: int, url: str) -> str:
    """Return a name of an address by its place in the list, without path and credentials."""
    parts = urlsplit(url)
    return f"{place}: {parts.hostname}" + (f":{parts.port}" if parts.port else "")


def node_names() -> list[str]:
    """Return the names of the configured nodes, as in RpcNode."""
    return [node_name(place, url) for place, url in enumerate(settings.SOROBAN_RPC_URL, 1)]


class Node:
    """One address. `name` identifies it without its path and credentials, which may hold a key."""

    def __init__(self, place: int, url: str) -> None:
        self.name = node_name(place, url)
        self.client = SorobanClient(
            url, headers=settings.SOROBAN_RPC_HEADERS, timeout=settings.RPC_TIMEOUT, retries=settings.RPC_RETRIES
        )
        self._checked_at = -NETWORK_CHECK_INTERVAL
        self.recorded_at = -ANSWER_INTERVAL  # when this process last wrote that it answers, by time.monotonic

    def check_network(self, client: SorobanClient) -> None:
        """Check the node's passphrase, and record its protocol, once an hour in each process.

        Does nothing in between. Raises RpcUnavailable for a node of another network.
        """
        if time.monotonic() - self._checked_at < NETWORK_CHECK_INTERVAL:
            return
        network = client.get_network()
        if network.passphrase != settings.STELLAR_NETWORK_PASSPHRASE:
            raise RpcUnavailable("it serves another network than STELLAR_NETWORK_PASSPHRASE names")
        self._checked_at = time.monotonic()
        if network.protocol_version > KNOWN_PROTOCOL:
            log.warning(
                "RPC node %s: protocol %d is newer than stellar-sdk's (%d): what it cannot read is stored undecoded",
                self.name, network.protocol_version, KNOWN_PROTOCOL,
            )  # fmt: skip
        RpcNode.objects.bulk_create(
            [RpcNode(name=self.name, protocol_version=network.protocol_version)],
            update_conflicts=True,
            update_fields=["protocol_version"],
            unique_fields=["name"],
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """A node and the first ledger whose events it has."""

    client: SorobanClient
    oldest_ledger: int


class Nodes:
    """The configured nodes, in order of preference."""

    def __init__(self, urls: list[str]) -> None:
        self._nodes = [Node(place, url) for place, url in enumerate(urls, 1)]
        self._none_left_until = 0.0  # by time.monotonic: no node was in backoff a moment ago

    def run(self, read: Callable[[SorobanClient], T], deadline: float | None = None) -> T:
        """Return the result of `read` with the first node that answers it. Raises the last failure if none does.

        `deadline` (time.monotonic) is for all nodes together: each gets its share of what is left.

        A node's failure leads to failover, and so does a refusal: any node of a known release answers these requests.
        NeedsConsensus is raised only where every node raises it: one node may have been reset, or keep less history.
        """
        failures: dict[str, ChainError] = {}
        left = self._backing_off()
        order = self._in_order(left)
        for place, node in enumerate(order):
            client = node.client.until(_share(deadline, len(order) - place))
            try:
                node.check_network(client)
                result = read(client)
            except (RpcUnavailable, RpcRejected, NeedsConsensus) as failure:
                failures[node.name] = failure
                self._back_off(node, failure)
            else:
                self._mark_healthy(node, was_left=node.name in left)
                return result
        raise self._consensus(failures)

    def run_confirmed(self, read: Callable[[SorobanClient, NeedsConsensus | None], T]) -> T:
        """Return what `run` returns of `read`. What needs the nodes' consensus is believed if they agree on it twice.

        `read` gets the client, and what the nodes agreed on the first time. If they do so again, that is raised.
        """
        try:
            return self.run(lambda client: read(client, None))
        except NeedsConsensus as failure:
            agreed = failure
        log.warning("every node says: %s: asking once more", agreed)
        return self.run(lambda client: read(client, agreed))

    def second_opinion(
        self, client: SorobanClient, read: Callable[[SorobanClient], T], *, other_only: bool = False
    ) -> T:
        """Return `read` of another node than `client`'s that is not in backoff and answers, else of `client` again.

        `other_only`: where several addresses are configured, another node has to answer. Raises NodeLagging if none
        does.
        """
        left = self._backing_off()
        for node in self._nodes:
            if node.client.url == client.url or node.name in left:
                continue
            # the client's remaining time is for both requests
            second = node.client.like(client).until(_share(client.deadline, 2))
            try:
                node.check_network(second)
                result = read(second)
            except (RpcUnavailable, RpcRejected) as failure:
                self._back_off(node, failure)
            else:
                self._mark_healthy(node, was_left=False)
                return result
        if other_only and len(self._nodes) > 1:
            raise NodeLagging("no other node can confirm what this one says")
        return read(client)

    def longest_retention(self) -> Retention | None:
        """Return the node that has the oldest events; None if none answers."""
        found = []
        for node in self._in_order(self._backing_off()):
            try:
                node.check_network(node.client)
                found.append(Retention(node.client, node.client.get_health().oldest_ledger))
            except (RpcUnavailable, RpcRejected) as failure:
                self._back_off(node, failure)
        return min(found, key=lambda retention: retention.oldest_ledger, default=None)

    def _consensus(self, failures: dict[str, ChainError]) -> ChainError:
        """Return the error that all nodes agree on, else the last node's own failure."""
        agreeing = [failure for failure in failures.values() if isinstance(failure, NeedsConsensus)]
        others = {name: failure for name, failure in failures.items() if not isinstance(failure, NeedsConsensus)}
        awake = [name for name, failure in others.items() if not isinstance(failure, NodeStalled)]
        long_ago = Q(answered_at__lt=Now() - SILENT_FOR) | Q(answered_at=None, failures__gt=SILENT_TIMES)
        silent = RpcNode.objects.filter(long_ago, name__in=awake).count() if agreeing else 0
        if not agreeing or silent < len(awake):
            return list(others.values())[-1]
        return min(agreeing, key=lambda failure: getattr(failure, "oldest", 0))

    def _backing_off(self) -> dict[str, datetime]:
        """Return until when which nodes are left, as all processes know it.

        One node alone is asked whatever is known of it. That none is left is believed for ORDER_TTL seconds; as soon
        as one is, each request reads it anew.
        """
        if len(self._nodes) == 1 or time.monotonic() < self._none_left_until:
            return {}
        left = dict(RpcNode.objects.backing_off().values_list("name", "left_until"))
        if not left:
            self._none_left_until = time.monotonic() + ORDER_TTL
        return {name: until for name, until in left.items() if until is not None}

    def _in_order(self, left: dict[str, datetime]) -> list[Node]:
        """Return the nodes by preference, those in backoff last: they are still better than none."""
        return sorted(self._nodes, key=lambda node: left.get(node.name) or timezone.now() - timedelta(days=1))

    def _back_off(self, node: Node, failure: ChainError) -> None:
        """Leave the node for a while, if the failure is of the kind that `backs_off`."""
        log.warning("RPC node %s: %s", node.name, failure, extra={"node": node.name})
        if not failure.backs_off:
            return
        self._none_left_until, node.recorded_at = 0.0, -ANSWER_INTERVAL
        row, _ = RpcNode.objects.get_or_create(name=node.name)
        seconds: float = FIRST_BACKOFF * 2 ** min(row.failures, 10)
        if isinstance(failure, RpcRateLimited):
            seconds = max(seconds, min(failure.retry_after, MAX_BACKOFF.total_seconds()))
        RpcNode.objects.filter(name=node.name).update(
            failures=F("failures") + 1,
            left_until=Now() + min(timedelta(seconds=seconds), MAX_BACKOFF),
            last_error=Secrets().hide(str(failure))[:500],  # a provider may repeat the key that it was given
            failed_at=Now(),
        )

    def _mark_healthy(self, node: Node, *, was_left: bool) -> None:
        """Write that a node answers: at once after a failure, else every ANSWER_INTERVAL seconds."""
        if not was_left and time.monotonic() - node.recorded_at < ANSWER_INTERVAL:
            return
        node.recorded_at = time.monotonic()
        if not RpcNode.objects.filter(name=node.name).update(failures=0, left_until=None, answered_at=Now()):
            RpcNode.objects.bulk_create([RpcNode(name=node.name, answered_at=Now())], ignore_conflicts=True)


def _share(deadline: float | None, nodes: int) -> float | None:
    """Return the deadline of the next of so many nodes. Raises RpcUnavailable when the time is over."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise RpcUnavailable("no node has answered in time")
    return time.monotonic() + min(left, max(left / nodes, MIN_SHARE))


@lru_cache(maxsize=1)
def nodes() -> Nodes:
    """Return this process's nodes, made on first use."""
    return Nodes(settings.SOROBAN_RPC_URL)
