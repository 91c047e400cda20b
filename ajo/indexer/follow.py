"""One pass of the sync: a page of events → the groups that it touches → their entries → one transaction → the cache.

A pass may die at any point. Rows, event log and cursor commit together, the cursor by compare-and-set. The next pass
repeats what comes after the commit. So a pass is idempotent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Case, When
from django.db.models.functions import Greatest, Now
from structlog.contextvars import bind_contextvars

from ajo.indexer.backfill import recover_gaps
from ajo.indexer.bootstrap import begin, load_state, read_state
from ajo.indexer.gaps import fill_gaps, first_ledger, record_first_gap, record_gap
from ajo.indexer.guards import (
    check_group_count,
    check_node_progress,
    confirm_more_groups,
    recheck_wrong_chain,
)
from ajo.indexer.lease import LeaseHandle, Superseded
from ajo.indexer.missing import set_aside_groups, settle_missing_groups
from ajo.indexer.pages import next_page, recent_texts, stale_groups, until_unread
from ajo.indexer.redecode import resolve_undecoded
from ajo.indexer.runs import Counts, record_failure, record_run
from ajo.soroban.deadline import Deadline
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
from contributions.event_rows import LoggedEvent, decode_events, undecoded_events, write_history
from groups.cached import refresh_cache
from groups.snapshots import Snapshots
from groups.sync import store_undecoded, write_snapshots
from groups.tokens import mark_verified, read_tokens, save_tokens

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """Describes the result of a pass: everything announced up to `ledger` is in the tables.

    `caught_up`: the node has no later event, and the history of every gap is recovered. `oldest_ledger`: the first
    ledger whose events the node has; MAX_U32 if it did not say.
    """

    caught_up: bool
    ledger: int
    oldest_ledger: int = MAX_U32


def run_pass() -> Pass:
    """Run one pass with the first node that manages it. Raises ChainError or Superseded with nothing written.

    Two things are believed only if every node says them twice. Pruned events leave a recorded gap. Another chain halts
    the sync until a person decides, since the tables belong to a chain that is no more.
    """
    try:
        return nodes().run(partial(sync_pass, gap_to=0))
    except RpcUnavailable as failure:
        record_failure(SyncRun.Kind.SYNC, failure)
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
    """Run one pass with this node, recorded as a SyncRun. Raises ChainError or Superseded with nothing written.

    Where the node has pruned the events that come next, the pass records a gap if the node's oldest ledger is at most
    `gap_to`, and raises HistoryPruned if not.
    """
    with record_run(SyncRun.Kind.SYNC) as (run, handle):
        client = client.with_heartbeat(handle.renew)
        checkpoint = Checkpoint.objects.current() or begin(client)
        if checkpoint.halt_reason:
            raise ChainError(checkpoint.halt_reason)
        bind_contextvars(ledger=checkpoint.ledger)
        deadline = Deadline()
        if not checkpoint.is_loaded and not load_state(client, checkpoint, run.counts, deadline):
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


def replay_history(client: SorobanClient) -> None:
    """Have the next passes apply every event again that can still be had.

    Does nothing if events that were never read are pruned: the next pass finds that out, and begins as early by itself.
    """
    start = first_ledger(client)
    if _next_ledger(Checkpoint.objects.get()) >= start:
        Checkpoint.objects.update(cursor="", start_ledger=start, events_checked_to=0)


def _next_ledger(checkpoint: Checkpoint) -> int:
    """Return the ledger whose events come next."""
    return cursor_ledger(checkpoint.cursor) if checkpoint.cursor else int(checkpoint.start_ledger)


def _follow(
    client: SorobanClient, checkpoint: Checkpoint, run: SyncRun, handle: LeaseHandle, gap_to: int, deadline: Deadline
) -> Pass:
    """Read the next page and the groups that it touches, check what the node says, and write it."""
    counts: Counts = run.counts
    try:
        page = next_page(client, checkpoint, counts)
    except RpcOutOfRange as failure:
        return _out_of_range(client, checkpoint, failure, gap_to)
    _check_page(client, checkpoint, page)
    log = decode_events(page.events)
    newest = max((entry.raw.ledger for entry in log), default=0)
    possible = max(Checkpoint.objects.newest_possible(), page.latest_ledger)
    unread = stale_groups(log, possible)
    at_least, texts = max(newest, checkpoint.ledger), recent_texts(checkpoint)
    missed = set_aside_groups()
    ids = [*unread, *missed]
    snapshots = read_state(client, checkpoint, ids, counts, at_least=at_least, deadline=deadline, texts=texts)
    check_group_count(client, checkpoint, snapshots, possible, counts)
    settle_missing_groups(client, checkpoint, snapshots, at_least, counts, missed)
    confirm_more_groups(client, checkpoint, snapshots, counts)
    page, log = until_unread(page, log, set(unread) - snapshots.settled, checkpoint)
    handle.renew()  # if a slow pass lost its lease, the other runner writes the rows and the cache
    _commit(checkpoint, page, log, snapshots, _progress(checkpoint, page, snapshots, possible), counts)
    resolve_undecoded(Deadline())
    mark_verified()
    try:
        save_tokens(read_tokens(client, checkpoint.ledger))
    except ChainError as failure:
        # A group's creator chooses its token: what is wrong with one must not hold up what is committed already.
        logger.warning("tokens: %s", failure)
    refresh_cache(since=run.started_at)
    return Pass(page.caught_up, page.complete_to, page.oldest_ledger)


def _check_page(client: SorobanClient, checkpoint: Checkpoint, page: EventPage) -> None:
    """Raise WrongChain or NodeLagging for a page that cannot come next."""
    check_ledger_continuity(checkpoint, page)
    confirm_large_jump(client, checkpoint, page)
    if page.latest_ledger < max(checkpoint.chain_ledger - settings.RPC_MAX_LAG, cursor_ledger(page.cursor)):
        raise NodeLagging(f"the node is at ledger {page.latest_ledger}, {checkpoint.chain_ledger} is known to exist")
    check_node_progress(checkpoint, page)


def _commit(
    checkpoint: Checkpoint,
    page: EventPage,
    log: list[LoggedEvent],
    snapshots: Snapshots,
    progress: Mapping[str, object],
    counts: Counts,
) -> None:
    """Write cursor, groups, event log and history in one transaction. Raises Superseded if the cursor has moved."""
    with transaction.atomic():
        if not Checkpoint.objects.advance(checkpoint, **progress):
            raise Superseded("another pass was first")
        changed = write_snapshots(snapshots)
        store_undecoded(undecoded_events(log, page.latest_ledger))
        counts.update(write_history(log), groups_read=len(snapshots.groups), groups_changed=len(changed))
        if not checkpoint.cursor:
            record_first_gap(checkpoint, page)


def _out_of_range(client: SorobanClient, checkpoint: Checkpoint, failure: RpcOutOfRange, gap_to: int) -> Pass:
    """Find out why the node lacks the ledger that comes next: it lags, is of another chain, or has pruned the ledger.

    Pruned events leave a gap, from which the next pass goes on. Raises NodeLagging, WrongChain or HistoryPruned.
    """
    asked = _next_ledger(checkpoint)
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
    # take the lower of the two: the next pass corrects one that is too low, and would wait for one that is too high
    oldest = min(oldest, failure.oldest)
    if checkpoint.chain_closed_at and oldest > gap_to:  # before the first page there is nothing to lose
        raise HistoryPruned(f"the node keeps no event from before ledger {oldest}, we want {asked}", oldest)
    start = oldest + 2  # it goes on pruning while we read
    with transaction.atomic():
        if not Checkpoint.objects.advance(checkpoint, cursor="", start_ledger=start, is_loaded=False):
            raise Superseded("another pass was first")
        # Before the first page nothing is missing yet: that page tells what is. Nor is what a rebuild reads once more.
        if checkpoint.chain_closed_at and (missing := max(asked, checkpoint.ledger)) < start:
            record_gap(checkpoint, missing, start - 1, "the sync was away for longer than the RPC retains events")
    return Pass(caught_up=False, ledger=checkpoint.ledger)


def _progress(checkpoint: Checkpoint, page: EventPage, snapshots: Snapshots, newest: int) -> dict[str, object]:
    """Return the checkpoint's new columns. `heard_at` moves with the chain's head only: a stalled node tells nothing.

    `newest`: the newest ledger that the network can have reached; a stored instance entry of a later one is wrong, and
    replaced.
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
