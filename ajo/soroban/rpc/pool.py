"""The RPC addresses in order of preference: one that fails, lags or serves another network is left for a growing while.

A read belongs to one node from beginning to end; another node begins it anew. What is known of a node's health is in
the database, shared by all processes and shown to staff, under a name without whatever secret its address may hold.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
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
from ajo.soroban.rpc.errors import ChainError, NeedsConsensus, NodeStalled, RpcRateLimited, RpcRejected, RpcUnavailable

log = logging.getLogger(__name__)

FIRST_BACKOFF = 2  # seconds that a node is left after its first failure in a row; doubled with each further one
# A node that has not answered for so long, or so often from the beginning, has no say in what the others agree on.
SILENT_FOR, SILENT_TIMES = timedelta(minutes=10), 20
CHECK_AFTER = 3600.0  # seconds
LEAST_SHARE = 1.0  # seconds: most answers of a public node come sooner
KNOWN_PROTOCOL = 28  # whose XDR the pinned stellar-sdk carries
T = TypeVar("T")


def node_name(place: int, url: str) -> str:
    parts = urlsplit(url)
    return f"{place}: {parts.hostname}" + (f":{parts.port}" if parts.port else "")


def node_names() -> list[str]:
    """The configured nodes, as RpcNode rows name them."""
    return [node_name(place, url) for place, url in enumerate(settings.SOROBAN_RPC_URL, 1)]


class Node:
    """One address. `name` tells it apart without its path and credentials, which may hold a key."""

    def __init__(self, place: int, url: str) -> None:
        self.name = node_name(place, url)
        self.client = SorobanClient(
            url, headers=settings.SOROBAN_RPC_HEADERS, timeout=settings.RPC_TIMEOUT, retries=settings.RPC_RETRIES
        )
        self._checked_at = -CHECK_AFTER

    def check_network(self, client: SorobanClient) -> None:
        """Once an hour in each process: a node of another network is as good as none."""
        if time.monotonic() - self._checked_at < CHECK_AFTER:
            return
        network = client.get_network()
        if network.passphrase != settings.STELLAR_NETWORK_PASSPHRASE:
            raise RpcUnavailable("it serves another network than STELLAR_NETWORK_PASSPHRASE names")
        self._checked_at = time.monotonic()
        if network.protocol_version > KNOWN_PROTOCOL:
            log.warning(
                "RPC node %s: protocol %d is newer than stellar-sdk's (%d): what it cannot read is set aside",
                self.name, network.protocol_version, KNOWN_PROTOCOL,
            )  # fmt: skip
        RpcNode.objects.bulk_create(
            [RpcNode(name=self.name, protocol_version=network.protocol_version)],
            update_conflicts=True,
            update_fields=["protocol_version"],
            unique_fields=["name"],
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """A node, and the first ledger whose events it has."""

    client: SorobanClient
    oldest_ledger: int


class Nodes:
    """The configured addresses."""

    def __init__(self, urls: list[str]) -> None:
        self._nodes = [Node(place, url) for place, url in enumerate(urls, 1)]

    def run(self, read: Callable[[SorobanClient], T], deadline: float | None = None) -> T:
        """`read` with the first node that manages it. Raises the last one's failure if none does.

        `deadline` (time.monotonic) is for all of them together: each gets its share of what is left.

        A node's own failure leads to the next, and so does a refusal: what is asked here any node of a release that
        we know would answer. A Verdict is raised only where every node says so: one may have been reset, or keep less.
        """
        failures: dict[str, ChainError] = {}
        order = self._in_order()
        for place, node in enumerate(order):
            client = node.client.until(_share(deadline, len(order) - place))
            try:
                node.check_network(client)
                result = read(client)
            except (RpcUnavailable, RpcRejected, NeedsConsensus) as failure:
                failures[node.name] = failure
                self._back_off(node, failure)
            else:
                self._mark_healthy(node)
                return result
        raise self._agreed(failures)

    def second_opinion(self, client: SorobanClient, read: Callable[[SorobanClient], T]) -> T:
        """`read` with another node than `client`'s that is not left alone and manages it, else with `client` again."""
        left = set(RpcNode.objects.backing_off().values_list("name", flat=True))
        for node in self._nodes:
            if node.client.url == client.url or node.name in left:
                continue
            # what is left of the client's time is for both askings
            second = node.client.like(client).until(_share(client.deadline, 2))
            try:
                node.check_network(second)
                return read(second)
            except RpcUnavailable as failure:
                self._back_off(node, failure)
        return read(client)

    def longest_memory(self) -> Memory | None:
        """The node that keeps the oldest events; None if none answers."""
        memories = []
        for node in self._in_order():
            try:
                node.check_network(node.client)
                memories.append(Memory(node.client, node.client.get_health().oldest_ledger))
            except (RpcUnavailable, RpcRejected) as failure:
                self._back_off(node, failure)
        return min(memories, key=lambda memory: memory.oldest_ledger, default=None)

    def _agreed(self, failures: dict[str, ChainError]) -> ChainError:
        """The nodes' verdict, unless one of them that is alive said something else."""
        verdicts = [failure for failure in failures.values() if isinstance(failure, NeedsConsensus)]
        others = {name: failure for name, failure in failures.items() if not isinstance(failure, NeedsConsensus)}
        awake = [name for name, failure in others.items() if not isinstance(failure, NodeStalled)]
        long_ago = Q(answered_at__lt=Now() - SILENT_FOR) | Q(answered_at=None, failures__gt=SILENT_TIMES)
        silent = RpcNode.objects.filter(long_ago, name__in=awake).count() if verdicts else 0
        if not verdicts or silent < len(awake):
            return list(others.values())[-1]
        return min(verdicts, key=lambda verdict: getattr(verdict, "oldest", 0))

    def _in_order(self) -> list[Node]:
        """By preference, those that are to be left alone last: none is so bad that not asking at all is better."""
        left = dict(RpcNode.objects.backing_off().values_list("name", "left_until"))
        return sorted(self._nodes, key=lambda node: left.get(node.name) or timezone.now() - timedelta(days=1))

    def _back_off(self, node: Node, failure: ChainError) -> None:
        log.warning("RPC node %s: %s", node.name, failure, extra={"node": node.name})
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

    def _mark_healthy(self, node: Node) -> None:
        if not RpcNode.objects.filter(name=node.name).update(failures=0, left_until=None, answered_at=Now()):
            RpcNode.objects.bulk_create([RpcNode(name=node.name, answered_at=Now())], ignore_conflicts=True)


def _share(deadline: float | None, nodes: int) -> float | None:
    """Until when the next of so many nodes may be asked. Raises RpcUnavailable when the time is over."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise RpcUnavailable("no node has answered in time")
    return time.monotonic() + min(left, max(left / nodes, LEAST_SHARE))


@lru_cache(maxsize=1)
def nodes() -> Nodes:
    """This process's nodes, made when they are first needed."""
    return Nodes(settings.SOROBAN_RPC_URL)
