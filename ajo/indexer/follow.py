"""One pass of the sync: a page of events → the groups they touch → their entries → one transaction → the cache.

Any step may die at any point. Rows, event log and cursor commit together, the cursor by compare-and-set, and what comes
after the commit is repeated by the next pass; so a second run changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Case, When
from django.db.models.functions import Greatest, Now
from structlog.contextvars import bind_contextvars

from ajo.indexer.backfill import recover_gaps
from ajo.indexer.gaps import fill_gaps, first_ledger, note_first_gap, note_gap
from ajo.indexer.guards import (
    check_group_count,
    check_no_missing_groups,
    check_node_progress,
    confirm_more_groups,
    recheck_wrong_chain,
)
from ajo.indexer.lease import LeaseHandle, Superseded
from ajo.indexer.pages import as_far_as_read, next_page, outdated, recent_texts
from ajo.indexer.redecode import resolve_undecoded
from ajo.indexer.runs import note_failure, record_run
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.plausibility import JUMP_LEDGERS, check_ledger_continuity, confirm_large_jump
from ajo.soroban.rpc.client import EventPage, SorobanClient, cursor_ledger
from ajo.soroban.rpc.errors import (
    ChainError,
    HistoryPruned,
    NeedsConsensus,
    NodeLagging,
    RpcOutOfRange,
    RpcUnavailable,
    WrongChain,
)
from ajo.soroban.rpc.pool import nodes
from ajo.soroban.rpc.transport import MAX_U32
from contributions.event_rows import decode_events, undecoded, write_history
from groups.cached import refresh_cache
from groups.creation import read_groups
from groups.models import Group
from groups.snapshots import GroupReader, Snapshots
from groups.sync import store_undecoded, write_snapshots
from groups.tokens import mark_verified, read_tokens, save_tokens

logger = logging.getLogger(__name__)

LOAD_BATCH = 500  # groups read and committed at a time while the tables are first filled


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass did. `caught_up`: no event is left that the node knows, and no gap whose history is not recovered.

    `oldest_ledger`: the first one whose events the node has, if it said so.
    """

    caught_up: bool
    ledger: int
    oldest_ledger: int = MAX_U32


def run_pass() -> Pass:
    """A pass with the first node that manages it. What every node says twice is believed: that events are pruned, which
    leaves a gap, and that the chain is another.

    Then nothing heals by itself, for the tables belong to a chain that is no more: the sync halts until a person
    decides.
    """
    try:
        return nodes().run(partial(sync_pass, gap_to=0))
    except RpcUnavailable as failure:
        note_failure(SyncRun.Kind.SYNC, failure)
        raise
    except NeedsConsensus as failure:
        logger.warning("sync: %s: asking once more", failure)
        # the node that keeps most was found; it goes on pruning while we ask
        gap_to = failure.oldest + JUMP_LEDGERS if isinstance(failure, HistoryPruned) else 0
    try:
        return nodes().run(partial(sync_pass, gap_to=gap_to))
    except WrongChain as failure:
        recheck_wrong_chain(failure)
        Checkpoint.objects.update(halted=str(failure))
        raise


def sync_pass(client: SorobanClient, *, gap_to: int = MAX_U32) -> Pass:
    """Run one pass and record it. Raises ChainError or Superseded with nothing written, the reason in its SyncRun.

    Where the node does not keep the events that come next, it may leave a gap if its oldest ledger is not after
    `gap_to`; else that is HistoryPruned.
    """
    with record_run(SyncRun.Kind.SYNC) as (run, handle):
        client = client.with_heartbeat(handle.renew)
        checkpoint = Checkpoint.objects.current() or _begin(client)
        if checkpoint.halt_reason:
            raise ChainError(checkpoint.halt_reason)
        bind_contextvars(ledger=checkpoint.ledger)
        deadline = Deadline()
        if not checkpoint.is_loaded and not _load_state(client, checkpoint, run.counts, deadline):
            run.ledger = checkpoint.ledger
            return Pass(caught_up=False, ledger=checkpoint.ledger)
        result = _follow(client, checkpoint, run, handle, gap_to, deadline)
        run.ledger = result.ledger
        if result.caught_up and not (
            recover_gaps(client, checkpoint, run.counts)
            and fill_gaps(client, checkpoint, result.oldest_ledger, run.counts)
        ):
            result = Pass(caught_up=False, ledger=result.ledger)
    return result


def _begin(client: SorobanClient) -> Checkpoint:
    """The first contact: which network this is, and from where on events can be had."""
    network = client.get_network()
    if network.passphrase != settings.STELLAR_NETWORK_PASSPHRASE:
        raise WrongChain(f"the RPC serves “{network.passphrase}”, STELLAR_NETWORK_PASSPHRASE names another network")
    contract, start = settings.AJO_CONTRACT_ID, first_ledger(client)
    # Before anything is kept: a start ahead of the chain would be waited for, and a wrong contract followed, for ever.
    if GroupReader(client, contract, start).read([], with_instance=True).instance_entry is None:
        raise NodeLagging(f"AJO_CONTRACT_ID: there is no contract {contract} on this network, as far as the node knows")
    checkpoint, _ = Checkpoint.objects.get_or_create(
        network_passphrase=network.passphrase, contract=contract, defaults={"start_ledger": start}
    )
    return checkpoint


def replay_history(client: SorobanClient) -> None:
    """Have the next passes apply every event again that can still be had.

    Where some cannot that were never read, the next pass finds that out, and begins as early by itself.
    """
    start = first_ledger(client)
    if _wanted(Checkpoint.objects.get()) >= start:
        Checkpoint.objects.update(cursor="", start_ledger=start, events_checked_to=0)


def _wanted(checkpoint: Checkpoint) -> int:
    """The ledger whose events come next."""
    return cursor_ledger(checkpoint.cursor) if checkpoint.cursor else int(checkpoint.start_ledger)


def _load_state(client: SorobanClient, checkpoint: Checkpoint, counts: dict[str, int], deadline: Deadline) -> bool:
    """Read every group that was last read before `start_ledger`, in batches that commit: resumed where it stopped.

    False where the deadline came first.
    """
    first = _read(client, checkpoint, [], counts, at_least=checkpoint.start_ledger)
    total = first.instance.group_counter if first.instance else checkpoint.group_count
    if first.instance_entry is None:
        raise NodeLagging("the node does not have the contract")
    if not (first.instance or total):
        store_undecoded(first.undecoded)  # of a contract whose entry was never readable not even the groups are known
        raise ChainError(f"AJO_CONTRACT_ID: {checkpoint.contract} is no contract that this version can read")
    for start in range(1, total + 1, LOAD_BATCH):
        batch = range(start, min(start + LOAD_BATCH, total + 1))
        read = Group.objects.filter(id__in=batch, synced_ledger__gte=checkpoint.start_ledger)
        missing = set(batch).difference(read.values_list("id", flat=True))
        if missing:
            if deadline.is_past():
                return False
            snapshots = _read(
                client, checkpoint, sorted(missing), counts, at_least=checkpoint.start_ledger, deadline=deadline
            )
            check_no_missing_groups(snapshots.absent, total)
            write_snapshots(snapshots)
            if missing - snapshots.settled:
                return False
    ledger = max(checkpoint.start_ledger - 1, checkpoint.ledger, 1)
    if not Checkpoint.objects.advance(checkpoint, ledger=ledger, is_loaded=True):
        raise Superseded("another pass was first")
    checkpoint.ledger = ledger
    return True


def _follow(
    client: SorobanClient, checkpoint: Checkpoint, run: SyncRun, handle: LeaseHandle, gap_to: int, deadline: Deadline
) -> Pass:
    counts: dict[str, int] = run.counts
    try:
        page = next_page(client, checkpoint, counts)
    except RpcOutOfRange as failure:
        return _out_of_range(client, checkpoint, failure, gap_to)
    check_ledger_continuity(checkpoint, page)
    confirm_large_jump(client, checkpoint, page)
    if page.latest_ledger < max(checkpoint.chain_ledger - settings.RPC_MAX_LAG, cursor_ledger(page.cursor)):
        raise NodeLagging(f"the node is at ledger {page.latest_ledger}, {checkpoint.chain_ledger} is known to exist")
    check_node_progress(checkpoint, page)
    log = decode_events(page.events)
    newest = max((entry.raw.ledger for entry in log), default=0)
    possible = max(Checkpoint.objects.newest_possible(), page.latest_ledger)
    unread = outdated(log, possible)
    snapshots = _read(
        client,
        checkpoint,
        unread,
        counts,
        at_least=max(newest, checkpoint.ledger),
        deadline=deadline,
        texts=recent_texts(checkpoint),
    )
    check_group_count(client, checkpoint, snapshots, possible, counts)
    confirm_more_groups(client, checkpoint, snapshots, counts)
    page, log = as_far_as_read(page, log, set(unread) - snapshots.settled, checkpoint)
    handle.renew()  # a pass that took so long that another began leaves it the rows, and the cache
    with transaction.atomic():
        if not Checkpoint.objects.advance(checkpoint, **_progress(checkpoint, page, snapshots, possible)):
            raise Superseded("another pass was first")
        changed = write_snapshots(snapshots)
        store_undecoded(undecoded(log, page.latest_ledger))
        counts.update(write_history(log), groups_read=len(snapshots.groups), groups_changed=len(changed))
        if not checkpoint.cursor:
            note_first_gap(checkpoint, page)
    resolve_undecoded(Deadline())
    mark_verified()
    try:
        save_tokens(read_tokens(client, checkpoint.ledger))
    except ChainError as failure:
        # A group's creator chooses its token: what is wrong with one must not hold up what is committed already.
        logger.warning("tokens: %s", failure)
    refresh_cache(since=run.started_at)
    return Pass(page.caught_up, page.complete_to, page.oldest_ledger)


def _out_of_range(client: SorobanClient, checkpoint: Checkpoint, failure: RpcOutOfRange, gap_to: int) -> Pass:
    """The node does not hold the ledger we want next: it lags, it is another chain's, or it has pruned it."""
    asked = _wanted(checkpoint)
    if asked >= failure.oldest:
        check_ledger_continuity(
            checkpoint, client.get_events(checkpoint.contract, limit=1, start_ledger=failure.latest)
        )
        raise NodeLagging(f"the node is at ledger {failure.latest}, our cursor at {asked}")
    # -32600 says many things: a gap only if the node says the same when asked another way
    oldest = client.get_health().oldest_ledger
    if asked >= oldest:
        raise NodeLagging("the node contradicts itself about the ledgers it holds")
    newest = client.get_events(checkpoint.contract, limit=1, start_ledger=failure.latest)
    check_ledger_continuity(checkpoint, newest)
    confirm_large_jump(client, checkpoint, newest)
    # of two answers the lower one: too low is refused once more, too high would be waited for
    oldest = min(oldest, failure.oldest)
    if checkpoint.chain_closed_at and oldest > gap_to:  # before the first page there is nothing to lose
        raise HistoryPruned(f"the node keeps no event from before ledger {oldest}, we want {asked}", oldest)
    start = oldest + 2  # it goes on pruning while we read
    with transaction.atomic():
        if not Checkpoint.objects.advance(checkpoint, cursor="", start_ledger=start, is_loaded=False):
            raise Superseded("another pass was first")
        # Before the first page nothing is missing yet: that page tells what is. Nor is what a rebuild reads once more.
        if checkpoint.chain_closed_at and (missing := max(asked, checkpoint.ledger)) < start:
            note_gap(checkpoint, missing, start - 1, "the sync was away for longer than the RPC retains events")
    return Pass(caught_up=False, ledger=checkpoint.ledger)


def _read(
    client: SorobanClient,
    checkpoint: Checkpoint,
    ids: Iterable[int],
    counts: dict[str, int],
    *,
    at_least: int,
    deadline: Deadline = NEVER,
    texts: Mapping[int, str] | None = None,
) -> Snapshots:
    snapshots = read_groups(
        client, checkpoint.contract, at_least, ids, with_instance=True, deadline=deadline, texts=texts
    )
    counts["calls"] = counts.get("calls", 0) + snapshots.calls
    return snapshots


def _progress(checkpoint: Checkpoint, page: EventPage, snapshots: Snapshots, newest: int) -> dict[str, object]:
    """What the page and the instance entry move. `heard_at` moves with the chain: a node that stands still is mute.

    `newest`: the ledger that the network can have reached; an entry of a later one is no newer than this one.
    """
    values: dict[str, object] = {
        "cursor": page.cursor,
        "ledger": Greatest("ledger", page.complete_to),
        "chain_ledger": Greatest("chain_ledger", page.latest_ledger),
        "chain_closed_at": Greatest("chain_closed_at", page.latest_closed_at),
        "heard_at": Case(When(chain_ledger__lt=page.latest_ledger, then=Now()), default="heard_at"),
    }
    instance, entry = snapshots.instance, snapshots.instance_entry
    if instance and entry and not snapshots.instance_ledger < checkpoint.instance_ledger <= newest:
        values |= {
            "admin": instance.admin,
            "paused": instance.paused,
            "group_count": instance.group_counter,
            "instance_ledger": snapshots.instance_ledger,
            "wasm_hash": instance.wasm_hash or "",
            "instance_xdr": entry["xdr"],
            "live_until_ledger": entry.get("liveUntilLedgerSeq"),
        }
    return values
