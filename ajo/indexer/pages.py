"""Reads pages of events: those after the cursor, and those of the last ledgers before it once more.

A node may call a ledger its newest before it shows that ledger's events, and several nodes may stand behind one
address. So a page begins some ledgers before the cursor, and leaves out events that are in the log already. It ends
before the first event whose group a slow node has not delivered in time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import takewhile

from django.conf import settings

from ajo.indexer.runs import Counts
from ajo.soroban.models import Checkpoint, ContractEvent
from ajo.soroban.rpc.answers import EventPage, cursor_ledger, last_cursor
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging, RpcInvalidAnswer, RpcLimitExceeded, RpcOutOfRange
from contributions.event_rows import LoggedEvent
from groups.models import Group

MAX_RECENT_EVENTS = 199  # so that their groups fit one call beside the contract's own entry
OVERLAP_LEDGERS = 60  # about five minutes; the event log's check finds what comes later still


def next_page(client: SorobanClient, checkpoint: Checkpoint, counts: Counts) -> EventPage:
    """Return the events that come next, late ones first (getEvents). Its cursor is never before the checkpoint's.

    A node that gives up on so many events is asked for half of them, down to one. Raises RpcOutOfRange if the node
    lacks the checkpoint's own cursor, RpcInvalidAnswer if the page's cursor leads nowhere.
    """
    limit, overlap = settings.RPC_EVENTS_LIMIT, OVERLAP_LEDGERS
    while True:
        after, known = _begin(checkpoint, overlap, limit // 2)
        start = None if after else checkpoint.start_ledger
        try:
            page = client.get_events(checkpoint.contract, limit=limit, cursor=after or None, start_ledger=start)
        except RpcLimitExceeded:
            if limit == 1:
                raise
            limit = counts["events_limit"] = limit // 2
        except RpcOutOfRange as failure:
            if after == checkpoint.cursor or not failure.oldest <= cursor_ledger(checkpoint.cursor) <= failure.latest:
                raise
            overlap = 0  # the node keeps less than that
        else:
            new = [event for event in page.events if event.id not in known]
            if not new and page.cursor <= checkpoint.cursor and cursor_ledger(checkpoint.cursor) < page.latest_ledger:
                raise RpcInvalidAnswer("getEvents: a cursor that leads back, or nowhere")
            return replace(page, events=new, cursor=max(page.cursor, checkpoint.cursor))


def read_page(
    client: SorobanClient, contract: str, limit: int, *, cursor: str, start_ledger: int
) -> tuple[EventPage, int]:
    """Return the events after the cursor, or from a ledger on if it is empty, and the limit that the node took.

    The limit is halved, down to one, while the node gives up on so many events.
    """
    start = None if cursor else start_ledger
    while True:
        try:
            return client.get_events(contract, limit=limit, cursor=cursor or None, start_ledger=start), limit
        except RpcLimitExceeded:
            if limit == 1:
                raise
            limit //= 2


def _begin(checkpoint: Checkpoint, overlap: int, most: int) -> tuple[str, Collection[str]]:
    """Return the cursor to begin at, and the events between it and the checkpoint's that the log has.

    Those are at most `most`, so that the rest of the page leads on. Events can be late only in ledgers that were the
    newest ones not long before: while the sync is far behind, a page begins at its cursor.
    """
    first = last_cursor(max(checkpoint.chain_ledger - overlap, checkpoint.start_ledger))
    if not overlap or checkpoint.cursor <= first:
        return checkpoint.cursor, ()
    logged = ContractEvent.objects.filter(id__gt=first, id__lte=checkpoint.cursor).order_by("-id")
    newest = list(logged.values_list("id", flat=True)[: most + 1])
    return (newest[most] if len(newest) > most else first), set(newest)


def stale_groups(log: Sequence[LoggedEvent], newest: int) -> list[int]:
    """Return the ids of groups that an event names and that were last read before it, in order of their first events.

    A row that claims to have been read after ledger `newest`, which the network cannot have reached, is stale too.
    """
    named = {entry.affected_group_id: entry.raw.ledger for entry in log if entry.affected_group_id}
    synced = dict(Group.objects.filter(id__in=named).values_list("id", "synced_ledger"))
    return [pk for pk, ledger in named.items() if pk and not ledger <= synced.get(pk, 0) <= newest]


def until_unread(
    page: EventPage, log: list[LoggedEvent], unread: set[int], checkpoint: Checkpoint
) -> tuple[EventPage, list[LoggedEvent]]:
    """Cut the page before the first event of an unread group: the next pass begins there.

    Raises NodeLagging if not even the first event's group was read.
    """
    if not unread:
        return page, log
    done = list(takewhile(lambda entry: entry.affected_group_id not in unread, log))
    if not done:
        raise NodeLagging("the first group of the page could not be read in time")
    return replace(page, cursor=max(done[-1].raw.id, checkpoint.cursor), full=True), done


def recent_texts(checkpoint: Checkpoint) -> dict[int, str]:
    """Return the stored METADATA entries, by group id, of groups with an event in the last ledgers, newest first.

    No event announces that a name is set or changed, and a name is usually set seconds after its group is created.
    """
    events = ContractEvent.objects.filter(id__gt=last_cursor(max(checkpoint.chain_ledger - OVERLAP_LEDGERS, 0)))
    recent = events.exclude(group_id=None).order_by("-id").values_list("group_id", flat=True)[:MAX_RECENT_EVENTS]
    stored = dict(Group.objects.filter(id__in=set(recent), unreadable_since=None).values_list("id", "metadata_xdr"))
    return {group_id: stored[group_id] for group_id in recent if group_id in stored}
