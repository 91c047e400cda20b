"""Pages of events: those after the cursor, and those of the last ledgers once more.

A node may call a ledger its newest before it shows that ledger's events, and behind one address there may be several
nodes. So a page begins some ledgers before the cursor; what the log has already is left out of it. And it ends where a
slow node has not told in time how the groups are that its events speak of.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import takewhile

from django.conf import settings

from ajo.soroban.models import Checkpoint, ContractEvent
from ajo.soroban.rpc.client import EventPage, SorobanClient, cursor_ledger, last_cursor
from ajo.soroban.rpc.errors import NodeLagging, RpcInvalidAnswer, RpcLimitExceeded, RpcOutOfRange
from contributions.event_rows import LoggedEvent
from groups.models import Group

RECENT = 199  # events at most, so that the groups fit one call beside the contract's own entry
OVERLAP = 60  # ledgers, about five minutes: what comes later is found by the sweeps


def next_page(client: SorobanClient, checkpoint: Checkpoint, counts: dict[str, int]) -> EventPage:
    """Return the events that come next, late ones first. A node that gives up on so many is asked for half of them.

    The page's cursor is never before the checkpoint's. Raises RpcOutOfRange for the checkpoint's cursor alone.
    """
    limit, overlap = settings.RPC_EVENTS_LIMIT, OVERLAP
    while True:
        after, known = _begin(checkpoint, overlap, limit // 2)
        counts["calls"] = counts.get("calls", 0) + 1
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


def _begin(checkpoint: Checkpoint, overlap: int, most: int) -> tuple[str, Collection[str]]:
    """Return the cursor to begin at, and the events between it and the checkpoint's that the log has.

    Those are `most` at most, so that the rest of the page leads on. Only of ledgers that were the newest ones not long
    before can events be late: while the sync is far behind, a page begins at its cursor.
    """
    first = last_cursor(max(checkpoint.chain_ledger - overlap, checkpoint.start_ledger))
    if not overlap or checkpoint.cursor <= first:
        return checkpoint.cursor, ()
    logged = ContractEvent.objects.filter(id__gt=first, id__lte=checkpoint.cursor).order_by("-id")
    newest = list(logged.values_list("id", flat=True)[: most + 1])
    return (newest[most] if len(newest) > most else first), set(newest)


def outdated(log: Sequence[LoggedEvent], newest: int) -> list[int]:
    """Return the groups that an event speaks of and that were last read before it, in the order of their first events.

    A row that says it was read after ledger `newest`, which the network cannot have reached, is outdated too.
    """
    told = {entry.affected_group_id: entry.raw.ledger for entry in log if entry.affected_group_id}
    synced = dict(Group.objects.filter(id__in=told).values_list("id", "synced_ledger"))
    return [pk for pk, ledger in told.items() if pk and not ledger <= synced.get(pk, 0) <= newest]


def as_far_as_read(
    page: EventPage, log: list[LoggedEvent], unread: set[int], checkpoint: Checkpoint
) -> tuple[EventPage, list[LoggedEvent]]:
    """The page up to the first event of a group that was not read in time: the next pass begins there."""
    if not unread:
        return page, log
    done = list(takewhile(lambda entry: entry.affected_group_id not in unread, log))
    if not done:
        raise NodeLagging("the first group of the page could not be read in time")
    return replace(page, cursor=max(done[-1].raw.id, checkpoint.cursor), full=True), done


def recent_texts(checkpoint: Checkpoint) -> dict[int, str]:
    """The stored METADATA entries of groups that were created or touched in the last ledgers, the last ones first.

    No event tells when a name is set or changed, which is done seconds after a group is created.
    """
    events = ContractEvent.objects.filter(id__gt=last_cursor(max(checkpoint.chain_ledger - OVERLAP, 0)))
    recent = events.exclude(group_id=None).order_by("-id").values_list("group_id", flat=True)[:RECENT]
    stored = dict(Group.objects.filter(id__in=set(recent), unreadable_since=None).values_list("id", "metadata_xdr"))
    return {group_id: stored[group_id] for group_id in recent if group_id in stored}
