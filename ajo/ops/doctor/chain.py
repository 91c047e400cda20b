"""Examines each RPC address, and how far the sync follows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import Error

from ajo.adminkit.words import duration
from ajo.conf.redaction import Secrets
from ajo.database.limits import limited
from ajo.ops.doctor.database import LIMITS
from ajo.ops.doctor.finding import Finding, error, ok, warning
from ajo.ops.facts import last_run, sync_position
from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import KNOWN_PROTOCOL, node_names

MAX_SECONDS = 10.0  # for all calls to one address
LEDGER_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Node:
    """What one address says, or why it says nothing. `closed_at`: of its newest ledger; `asked_at`: by this host."""

    name: str
    failure: str = ""
    passphrase: str = ""
    protocol: int = 0
    latest: int = 0
    oldest: int = 0
    has_contract: bool = False
    closed_at: datetime | None = None
    asked_at: float = 0.0


def ask_nodes() -> list[Node]:
    """Ask every configured address at the same time, in MAX_SECONDS at most."""
    addresses = list(zip(node_names(), settings.SOROBAN_RPC_URL, strict=True))
    with ThreadPoolExecutor(max_workers=max(1, len(addresses))) as pool:
        return list(pool.map(lambda each: _ask(*each), addresses))


def _ask(name: str, url: str) -> Node:
    timeout = min(settings.RPC_TIMEOUT, MAX_SECONDS)
    client = SorobanClient(url, headers=settings.SOROBAN_RPC_HEADERS, timeout=timeout, retries=0)
    client = client.until(time.monotonic() + MAX_SECONDS)
    contract = settings.AJO_CONTRACT_ID
    try:
        network, health = client.get_network(), client.get_health()
        key = InstanceKey().to_xdr(contract)
        has_contract = key in client.get_entries([key]).found
        page, asked_at = client.get_events(contract, start_ledger=health.latest_ledger, limit=1), time.time()
    except ChainError as failure:
        return Node(name, failure=Secrets().hide(str(failure)))
    finally:
        client.close()
    return Node(
        name,
        passphrase=network.passphrase,
        protocol=network.protocol_version,
        latest=health.latest_ledger,
        oldest=health.oldest_ledger,
        has_contract=has_contract,
        closed_at=page.latest_closed_at,
        asked_at=asked_at,
    )


def node_findings(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Yield what is known of each node. One that fails while another answers is a warning."""
    newest = max((node.latest for node in nodes), default=0)
    bad = error if all(node.failure for node in nodes) else warning
    for node in nodes:
        part = f"rpc {node.name}"
        if node.failure:
            yield bad(part, node.failure, "check SOROBAN_RPC_URL, SOROBAN_RPC_HEADERS and RPC_PROXY, or name another")
            continue
        kept = duration((node.latest - node.oldest + 1) * LEDGER_SECONDS)
        yield ok(part, f"ledger {node.latest}, protocol {node.protocol}, events of the last {kept}")
        yield from _node_problems(part, node, newest)


def _node_problems(part: str, node: Node, newest: int) -> Iterator[Finding]:
    if node.passphrase != settings.STELLAR_NETWORK_PASSPHRASE:
        advice = "correct STELLAR_NETWORK_PASSPHRASE, or name a server of that network in SOROBAN_RPC_URL"
        yield error(part, f"it serves the network “{node.passphrase}”", advice)
    elif not node.has_contract:
        yield error(part, "there is no such contract on its network", "correct AJO_CONTRACT_ID")
    if newest - node.latest > settings.RPC_MAX_LAG:
        yield warning(part, f"{newest - node.latest} ledgers behind another node", "ask its provider, or name another")
    if node.protocol > KNOWN_PROTOCOL:
        what = f"protocol {node.protocol} is newer than the {KNOWN_PROTOCOL} that this version knows"
        yield warning(part, what, "upgrade Ajo: what it cannot read is set aside meanwhile")


def sync_findings(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Yield how far the tables follow the chain. Raises django.db.Error where they cannot be read."""
    position = sync_position()
    if position is None:
        yield warning(
            "sync", "nothing has been read from the chain yet", "start worker and beat, or run manage.py sync"
        )
        return
    checkpoint = position.checkpoint
    if checkpoint.halt_reason:
        yield error("sync", f"stopped: {checkpoint.halt_reason}", "do that if it is what you want")
        return
    newest = max([checkpoint.chain_ledger, *(node.latest for node in nodes)])
    behind, silence = newest - checkpoint.ledger, position.chain_silence
    if behind > settings.RPC_MAX_LAG:
        yield warning("sync", f"the tables are {behind} ledgers behind the chain", _advice())
    elif silence is None or silence > settings.STALE_AFTER:
        since = "never heard from" if silence is None else f"not heard from for {silence:.0f} s"
        yield warning("sync", f"the chain was {since}", _advice())
    else:
        yield ok("sync", f"the tables are at ledger {checkpoint.ledger}, {max(0, behind)} behind the chain")
    yield from _retention(checkpoint, nodes)
    gaps = HistoryGap.objects.missing().count()
    if gaps:
        advice = "add an RPC that still has these events to SOROBAN_RPC_URL, in any place"
        yield warning("sync", f"{gaps} stretches of history are missing", advice)


def _advice() -> str:
    last = last_run(SyncRun.Kind.SYNC)
    if last and last.outcome == SyncRun.Outcome.FAILED:
        return f"the last pass failed: {last.reason[:200] or 'no reason given'}"
    return "see the lines on worker, beat and RPC"


def _retention(checkpoint: Checkpoint, nodes: Sequence[Node]) -> Iterator[Finding]:
    oldest = [node.oldest for node in nodes if not node.failure]
    if oldest and checkpoint.ledger and min(oldest) > checkpoint.ledger + 1:
        advice = "add an RPC with older events; without one the next pass records a gap and recovers it from entries"
        yield warning("sync", "no node has the events that come next any more", advice)


def sync_findings_or_none(nodes: Sequence[Node]) -> list[Finding]:
    """Return the same, or nothing where the tables cannot be read: the lines on the database say why."""
    try:
        with limited(LIMITS):
            return list(sync_findings(nodes))
    except Error:
        return []
