"""Runs a pass of the sync: a page of events → the groups it touches → their entries → one transaction → the cache.

A pass is a state machine: each state does one thing and returns the next state, or the pass's result. It may die at any
point. Rows, event log and cursor commit together, the cursor by compare-and-set. The next pass repeats what comes after
the commit. So a pass is idempotent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from django.db import transaction
from django.db.models import Case, When
from django.db.models.functions import Greatest, Now
from structlog.contextvars import bind_contextvars

from ajo.indexer.backfill import recover_gaps
from ajo.indexer.bootstrap import create_checkpoint, load_state
from ajo.indexer.context import PassContext
from ajo.indexer.gaps import fill_gaps, first_ledger, record_first_gap, record_gap
from ajo.indexer.guards import GROUP_GUARDS, PAGE_GUARDS, recheck_wrong_chain
from ajo.indexer.lease import advance_cursor
from ajo.indexer.missing import missing_groups
from ajo.indexer.pages import next_page, recent_texts, stale_groups, until_unread
from ajo.indexer.redecode import resolve_undecoded
from ajo.indexer.runs import heartbeat, record_failure, record_run
from ajo.soroban.deadline import Deadline
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.plausibility import JUMP_LEDGERS, check_ledger_continuity, confirm_large_jump
from ajo.soroban.rpc.answers import cursor_ledger
from ajo.soroban.rpc.client import SorobanClient
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
from contributions.event_rows import decode_events, undecoded_events, write_history
from groups.cached import refresh_cache
from groups.creation import read_groups
from groups.sync import store_undecoded, write_snapshots
from groups.tokens import mark_verified, read_tokens, save_tokens

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """Describes the result of a pass: everything announced up to `ledger` is in the tables.

    `caught_up`: the node has no later event, and the history of every gap is recovered.
    """

    caught_up: bool
    ledger: int


State: TypeAlias = "Callable[[PassContext], State | Pass]"


def run_pass() -> Pass:
    """Run one pass with the first node that manages it. Raises ChainError or Superseded with nothing written.

    Two things need the consensus of all nodes. Pruned events leave a recorded gap. Another chain halts the sync until a
    person decides, since the tables belong to a chain that is no more.
    """

    def read(client: SorobanClient, agreed: NeedsConsensus | None) -> Pass:
        # the node that keeps most was found; it goes on pruning while we ask
        return sync_pass(client, gap_to=agreed.oldest + JUMP_LEDGERS if isinstance(agreed, HistoryPruned) else 0)

    try:
        return nodes().run_confirmed(read)
    except RpcUnavailable as failure:
        record_failure(SyncRun.Kind.SYNC, failure)
        raise
    except WrongChain as failure:
        recheck_wrong_chain(failure)
        Checkpoint.objects.update(halted=str(failure))
        raise


def sync_pass(client: SorobanClient, *, gap_to: int = MAX_U32) -> Pass:
    """Run one pass with this node, recorded as a SyncRun. Raises ChainError or Superseded with nothing written.

    Where the node has pruned the events that come next, the pass records a gap if the node's oldest ledger is at most
    `gap_to`, and raises HistoryPruned if not.
    """
    with record_run(SyncRun.Kind.SYNC) as (run, lease):
        context = PassContext(client.with_heartbeat(heartbeat(run.counts, lease)), run, lease, gap_to)
        state: State | Pass = _start
        while not isinstance(state, Pass):
            state = state(context)
        run.ledger = state.ledger
    return state


def replay_history(client: SorobanClient) -> None:
    """Have the next passes apply every event again that can still be had.

    Does nothing if events that were never read are pruned: the next pass finds that out, and begins as early by itself.
    """
    start = first_ledger(client)
    if _next_ledger(Checkpoint.objects.get()) >= start:
        Checkpoint.objects.update(cursor="", start_ledger=start, events_checked_to=0)


def _next_ledger(checkpoint: Checkpoint) -> int:
    """Return the ledger whose events come next."""
    return cursor_ledger(checkpoint.cursor) if checkpoint.cursor else checkpoint.start_ledger


def _start(context: PassContext) -> State | Pass:
    """Take the checkpoint, or make it. Raises ChainError if the sync is halted."""
    checkpoint = context.checkpoint = Checkpoint.objects.current() or create_checkpoint(context.client)
    if checkpoint.halt_reason:
        raise ChainError(checkpoint.halt_reason)
    bind_contextvars(ledger=checkpoint.ledger)
    return _read_events if checkpoint.is_loaded else _load_state


def _load_state(context: PassContext) -> State | Pass:
    """Read every group once, before events are followed."""
    is_loaded = load_state(context.client, context.checkpoint, context.deadline)
    return _read_events if is_loaded else Pass(caught_up=False, ledger=context.checkpoint.ledger)


def _read_events(context: PassContext) -> State | Pass:
    """Read the next page of events."""
    try:
        context.page = next_page(context.client, context.checkpoint, context.counts)
    except RpcOutOfRange as failure:
        return partial(_out_of_range, failure=failure)
    for guard in PAGE_GUARDS:
        guard(context)
    return _read_groups


def _out_of_range(context: PassContext, failure: RpcOutOfRange) -> State | Pass:
    """Find out why the node lacks the ledger that comes next: it lags, is of another chain, or has pruned the ledger.

    Raises NodeLagging, WrongChain or HistoryPruned.
    """
    client, checkpoint = context.client, context.checkpoint
    asked = _next_ledger(checkpoint)
    is_pruned, oldest = asked < failure.oldest, failure.oldest
    if is_pruned:
        # -32600 says many things: a gap only if the node says the same when asked another way. Take the lower of the
        # two ledgers: the next pass corrects one that is too low, and would wait for one that is too high.
        oldest = min(oldest, client.get_health().oldest_ledger)
        if asked >= oldest:
            raise NodeLagging("the node contradicts itself about the ledgers it holds")
    newest = client.get_events(checkpoint.contract, limit=1, start_ledger=failure.latest)
    check_ledger_continuity(checkpoint, newest)
    if not is_pruned:
        raise NodeLagging(f"the node is at ledger {failure.latest}, our cursor at {asked}")
    confirm_large_jump(client, checkpoint, newest)
    if checkpoint.chain_closed_at and oldest > context.gap_to:  # before the first page there is nothing to lose
        raise HistoryPruned(f"the node keeps no event from before ledger {oldest}, we want {asked}", oldest)
    return partial(_leave_gap, start=oldest + 2)  # it goes on pruning while we read


def _leave_gap(context: PassContext, start: int) -> State | Pass:
    """Move the cursor to ledger `start`, from which the next pass goes on, and record what was passed over."""
    checkpoint = context.checkpoint
    missing = max(_next_ledger(checkpoint), checkpoint.ledger)
    with transaction.atomic():
        advance_cursor(checkpoint, cursor="", start_ledger=start, is_loaded=False)
        # Before the first page nothing is missing yet: that page tells what is. Nor is what a rebuild reads once more.
        if checkpoint.chain_closed_at and missing < start:
            record_gap(checkpoint, missing, start - 1, "the sync was away for longer than the RPC retains events")
    return Pass(caught_up=False, ledger=checkpoint.ledger)


def _read_groups(context: PassContext) -> State | Pass:
    """Read the groups that the page touches. The page ends before the first group that was not read in time."""
    checkpoint, page = context.checkpoint, context.page
    log = decode_events(page.events)
    context.at_least = max([checkpoint.ledger, *(entry.raw.ledger for entry in log)])
    context.newest_possible = max(Checkpoint.objects.newest_possible(), page.latest_ledger)
    stale, context.missing = stale_groups(log, context.newest_possible), missing_groups()
    context.snapshots = read_groups(
        context.client,
        checkpoint.contract,
        context.at_least,
        [*stale, *context.missing],
        with_instance=True,
        deadline=context.deadline,
        texts=recent_texts(checkpoint),
    )
    for guard in GROUP_GUARDS:
        guard(context)
    context.page, context.log = until_unread(page, log, set(stale) - context.snapshots.settled, checkpoint)
    return _commit


def _commit(context: PassContext) -> State | Pass:
    """Write cursor, groups, event log and history in one transaction. Raises Superseded if the cursor has moved."""
    checkpoint, page, snapshots = context.checkpoint, context.page, context.snapshots
    context.lease.renew()  # if a slow pass lost its lease, the other runner writes the rows and the cache
    with transaction.atomic():
        advance_cursor(checkpoint, **_new_position(context), **_new_instance(context))
        changed = write_snapshots(snapshots)
        store_undecoded(undecoded_events(context.log, page.latest_ledger))
        written = write_history(context.log)
        context.counts.update(written, groups_read=len(snapshots.groups), groups_changed=len(changed))
        if not checkpoint.cursor:
            record_first_gap(checkpoint, page)
    context.run.ledger = page.complete_to
    return _refresh


def _refresh(context: PassContext) -> State | Pass:
    """Bring undecoded entries, tokens and the cache to what is committed."""
    resolve_undecoded(Deadline())
    mark_verified()
    try:
        save_tokens(read_tokens(context.client, context.checkpoint.ledger))
    except ChainError as failure:
        # A group's creator chooses its token: what is wrong with one must not hold up what is committed already.
        logger.warning("tokens: %s", failure)
    refresh_cache(since=context.run.started_at)
    return _recover_history if context.page.caught_up else Pass(caught_up=False, ledger=context.page.complete_to)


def _recover_history(context: PassContext) -> State | Pass:
    """Recover what gaps hide, from entries and from events that this node has retained."""
    client, checkpoint, page, counts = context.client, context.checkpoint, context.page, context.counts
    is_whole = recover_gaps(client, checkpoint, counts) and fill_gaps(client, checkpoint, page.oldest_ledger, counts)
    return Pass(caught_up=is_whole, ledger=page.complete_to)


def _new_position(context: PassContext) -> dict[str, object]:
    """Return the cursor and the chain's head. `chain_advanced_at` moves with the head: a stalled node tells nothing."""
    page = context.page
    return {
        "cursor": page.cursor,
        "ledger": Greatest("ledger", page.complete_to),
        "chain_ledger": Greatest("chain_ledger", page.latest_ledger),
        "chain_closed_at": Greatest("chain_closed_at", page.latest_closed_at),
        "chain_advanced_at": Case(When(chain_ledger__lt=page.latest_ledger, then=Now()), default="chain_advanced_at"),
    }


def _new_instance(context: PassContext) -> dict[str, object]:
    """Return the checkpoint's columns of the contract's instance; none if a later instance entry is stored.

    A stored one of a ledger that the network cannot have reached is wrong, and replaced.
    """
    snapshots, stored = context.snapshots, context.checkpoint.instance_ledger
    instance, entry = snapshots.instance, snapshots.instance_entry
    if not (instance and entry) or snapshots.instance_ledger < stored <= context.newest_possible:
        return {}
    return {
        "admin": instance.admin,
        "paused": instance.paused,
        "group_count": instance.group_counter,
        "instance_ledger": snapshots.instance_ledger,
        "wasm_hash": instance.wasm_hash or "",
        "instance_xdr": entry["xdr"],
        "live_until_ledger": entry.get("liveUntilLedgerSeq"),
    }
