"""The event log against a second asking: times and transactions, and events that were invented or left out.

A page of events is one node's word when it is read. Each deep sweep reads what came since the last one once more, of
another node where there is one; what differs from the log is asked for again, and what both say replaces it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from ajo.soroban.models import Checkpoint, ContractEvent, UndecodedEntry
from ajo.soroban.rpc.client import RawEvent, SorobanClient, cursor_ledger
from ajo.soroban.rpc.errors import NodeLagging, RpcLimitExceeded, RpcOutOfRange
from ajo.soroban.rpc.pool import nodes
from contributions.event_rows import decode_events, raw_event, replay, undecoded_events, write_history
from contributions.models import Contribution, Payout, Refund
from groups.cached import refresh_groups
from groups.models import Group, GroupMember
from groups.sync import store_undecoded

logger = logging.getLogger(__name__)

MOST_PAGES = 10  # read by one check, and as many again where something differs


@dataclass(frozen=True, slots=True)
class Stretch:
    """Every event of the ledgers from `first` to `last`, by id, as a node told them when `newest` was its ledger."""

    first: int
    last: int
    newest: int
    events: dict[str, RawEvent]

    def settles(self, event_id: str) -> bool:
        """Whether it says that there is such an event, or none. A node may show a ledger before all of its events."""
        ledger = cursor_ledger(event_id)
        return event_id in self.events or (self.first <= ledger <= self.last and ledger < self.newest)


def check_events(checkpoint: Checkpoint, counts: dict[str, int], client: SorobanClient) -> None:
    """Make the log of the ledgers since the last check what two askings say.

    Where they differ it stays, and the next check begins there.
    """
    now = Checkpoint.objects.get(pk=checkpoint.pk)
    first = max(now.events_checked_to + 1, now.start_ledger)
    if first > now.ledger:
        return
    told = nodes().second_opinion(client, lambda other: _read(other, now, first, counts))
    log = _logged(told)
    checked_to = min(told.last, told.newest - 1)
    ids = told.events.keys() | log.keys()
    if differing := {pk for pk in ids if told.events.get(pk) != log.get(pk) and told.settles(pk)}:
        again = _read(client, now, min(map(cursor_ledger, differing)), counts)
        agreed = {pk for pk in differing if again.events.get(pk) == told.events.get(pk) and again.settles(pk)}
        _reconcile({pk: told.events[pk] for pk in agreed & told.events.keys()}, agreed - told.events.keys(), log)
        counts["events_corrected"] = len(agreed)
        if disputed := differing - agreed:
            counts["events_disputed"] = len(disputed)
            logger.warning("two askings differ about %d events: they are asked for again", len(disputed))
            checked_to = min(checked_to, *(cursor_ledger(pk) - 1 for pk in disputed))
    if checked_to >= first:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(events_checked_to=checked_to)


def _read(client: SorobanClient, checkpoint: Checkpoint, first: int, counts: dict[str, int]) -> Stretch:
    """The events from `first`, or from where the node has them, to the tables' ledger, or as far as the pages go."""
    events: list[RawEvent] = []
    cursor, limit, newest, last = "", settings.RPC_EVENTS_LIMIT, 0, first - 1
    for _ in range(MOST_PAGES):
        counts["calls"] += 1
        try:
            page = client.get_events(
                checkpoint.contract, cursor=cursor or None, start_ledger=None if cursor else first, limit=limit
            )
        except RpcLimitExceeded:
            if limit == 1:
                raise
            limit //= 2
            continue
        except RpcOutOfRange as failure:
            if cursor or failure.oldest <= first:
                raise NodeLagging(f"the node is at ledger {failure.latest}, {first} is known to exist") from failure
            first = failure.oldest + 2  # it goes on pruning while we read
            continue
        events += page.events
        cursor, newest, last = page.cursor, page.latest_ledger, min(page.complete_to, checkpoint.ledger)
        if page.caught_up or last == checkpoint.ledger:
            break
    return Stretch(first, last, newest, {event.id: event for event in events if event.ledger <= last})


def _logged(told: Stretch) -> dict[str, RawEvent]:
    begin, end = (f"{ledger << 32:019d}" for ledger in (told.first, told.last + 1))
    return {row.id: raw_event(row) for row in ContractEvent.objects.filter(id__gte=begin, id__lt=end)}


def _reconcile(right: Mapping[str, RawEvent], invented: Collection[str], log: Mapping[str, RawEvent]) -> None:
    """Replace and insert events, and remove `invented` ones, with the rows of history that they told.

    What such a row said is told by another event then, or by the entries, which the deep sweep reads anew.
    """
    retold = {pk for pk, event in right.items() if pk in log and _said(event) != _said(log[pk])}
    gone = retold.union(invented)
    entries = decode_events(right.values())
    with transaction.atomic():
        told = ContractEvent.objects.filter(id__in=gone).values_list("group_id", flat=True)
        group_ids = {group_id for group_id in told if group_id}
        for model in (Contribution, Payout, Refund):
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


def _said(event: RawEvent) -> tuple[object, ...]:
    return event.topics, event.value, event.is_system
