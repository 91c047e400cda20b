"""Checks the event log against a second reading: times, transactions, and events that were invented or left out.

A page of events is one node's word when it is first read. Each deep sweep reads the events since the last check once
more, from another node where there is one. What differs from the log is read a third time, and what both readings agree
on replaces the log's.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from ajo.indexer.pages import read_page
from ajo.indexer.runs import Counts
from ajo.soroban.models import Checkpoint, ContractEvent, UndecodedEntry
from ajo.soroban.rpc.answers import RawEvent, cursor_ledger
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging, RpcOutOfRange
from ajo.soroban.rpc.pool import nodes
from contributions.event_rows import decode_events, raw_event, replay, undecoded_events, write_history
from contributions.models import HISTORY
from groups.cached import refresh_groups
from groups.models import Group, GroupMember
from groups.sync import store_undecoded

logger = logging.getLogger(__name__)

MAX_PAGES = 10  # read by one check, and as many again where something differs


@dataclass(frozen=True, slots=True)
class EventRange:
    """Holds every event of ledgers `first` to `last`, by id, as a node gave them when it was at ledger `newest`."""

    first: int
    last: int
    newest: int
    events: dict[str, RawEvent]

    def proves(self, event_id: str) -> bool:
        """Return whether the range proves that the event exists, or that it does not.

        It proves nothing of the node's newest ledger, whose events may still be missing.
        """
        ledger = cursor_ledger(event_id)
        return event_id in self.events or (self.first <= ledger <= self.last and ledger < self.newest)


def check_events(checkpoint: Checkpoint, counts: Counts, client: SorobanClient) -> None:
    """Make the log of the ledgers since the last check what two readings agree on; counts corrections and disputes.

    Where the readings differ the log stays as it is, and the next check begins there. Reads at most MAX_PAGES pages a
    reading; the next check goes on.
    """
    now = Checkpoint.objects.get(pk=checkpoint.pk)
    first = now.events_checked_to + 1 if now.events_checked_to else now.start_ledger
    if first > now.ledger:
        return
    reported = nodes().second_opinion(client, lambda other: _read(other, now, first))
    log = _logged(reported)
    checked_to = min(reported.last, reported.newest - 1)
    ids = reported.events.keys() | log.keys()
    if differing := {pk for pk in ids if reported.events.get(pk) != log.get(pk) and reported.proves(pk)}:
        again = _read(client, now, min(map(cursor_ledger, differing)))
        agreed = {pk for pk in differing if again.events.get(pk) == reported.events.get(pk) and again.proves(pk)}
        right = {pk: reported.events[pk] for pk in agreed & reported.events.keys()}
        _reconcile(right, agreed - right.keys(), log)
        counts["events_corrected"] = len(agreed)
        if disputed := differing - agreed:
            counts["events_disputed"] = len(disputed)
            logger.warning("two readings differ about %d events: they are asked for again", len(disputed))
            checked_to = min(checked_to, *(cursor_ledger(pk) - 1 for pk in disputed))
    if checked_to >= first:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(events_checked_to=checked_to)


def _read(client: SorobanClient, checkpoint: Checkpoint, first: int) -> EventRange:
    """Read the events from ledger `first`, or the node's oldest, to the tables' ledger, or as far as MAX_PAGES go.

    Raises NodeLagging for a node that is behind.
    """
    events: list[RawEvent] = []
    cursor, limit, newest, last = "", settings.RPC_EVENTS_LIMIT, 0, first - 1
    for _ in range(MAX_PAGES):
        try:
            page, limit = read_page(client, checkpoint.contract, limit, cursor=cursor, start_ledger=first)
        except RpcOutOfRange as failure:
            if cursor or failure.oldest <= first:
                raise NodeLagging(f"the node is at ledger {failure.latest}, {first} is known to exist") from failure
            first = failure.oldest + 2  # it goes on pruning while we read
            continue
        events += page.events
        cursor, newest, last = page.cursor, page.latest_ledger, min(page.complete_to, checkpoint.ledger)
        if page.caught_up or last == checkpoint.ledger:
            break
    return EventRange(first, last, newest, {event.id: event for event in events if event.ledger <= last})


def _logged(reported: EventRange) -> dict[str, RawEvent]:
    """Return the log's events of the same ledgers, by id."""
    begin, end = (f"{ledger << 32:019d}" for ledger in (reported.first, reported.last + 1))
    return {row.id: raw_event(row) for row in ContractEvent.objects.filter(id__gte=begin, id__lt=end)}


def _reconcile(right: Mapping[str, RawEvent], invented: Collection[str], log: Mapping[str, RawEvent]) -> None:
    """Replace and insert the `right` events, and remove `invented` ones, with the rows of history made from either.

    Another event, or the entries, which the deep sweep reads anew, then prove what such a row said.
    """
    rewritten = {pk for pk, event in right.items() if pk in log and _payload(event) != _payload(log[pk])}
    gone = rewritten.union(invented)
    entries = decode_events(right.values())
    with transaction.atomic():
        affected = ContractEvent.objects.filter(id__in=gone).values_list("group_id", flat=True)
        group_ids = {group_id for group_id in affected if group_id}
        # groups first, in id order, as every writer of them locks: else a pass and this one wait for each other
        touched = Group.objects.filter(id__in=group_ids.union(entry.group_id for entry in entries if entry.group_id))
        list(touched.order_by("id").select_for_update(of=("self",)).values_list("pk", flat=True))
        for model in HISTORY:
            model.objects.filter(event_id__in=gone).delete()
        UndecodedEntry.objects.filter(key__in=gone).delete()
        ContractEvent.objects.filter(id__in=invented).delete()
        store_undecoded([each for entry in entries for each in undecoded_events([entry], entry.raw.ledger)])
        write_history(entries)
        GroupMember.objects.filter(group_id__in=group_ids).update(joined_at=None)
        groups = Group.objects.filter(pk__in=group_ids)
        groups.update(verified_round=0)
        groups.touch()
        replay(ContractEvent.objects.filter(group_id__in=group_ids))
    refresh_groups(group_ids.union(entry.group_id for entry in entries if entry.group_id))


def _payload(event: RawEvent) -> tuple[object, ...]:
    return event.topics, event.value, event.is_system
