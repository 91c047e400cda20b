"""What a node says that is not believed: by itself, by one node alone, or said only once.

A node may lag, be of another chain, or slip; what was once believed makes honest answers that come later look wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now

from ajo.soroban.client import EventPage, SorobanClient
from ajo.soroban.errors import NodeLagging, NodeStandsStill, WrongChain
from ajo.soroban.models import Checkpoint
from ajo.soroban.nodes import SILENT_FOR, nodes
from ajo.soroban.times import moment
from groups.models import Group
from groups.readings import GroupReader, Readings

LEAP_LEDGERS, LEAP_TIME = 60, timedelta(minutes=5)  # a pass that moves on by more looks twice


def refuse_turned_back(checkpoint: Checkpoint, page: EventPage) -> None:
    """On one chain each ledger closes in a later second than the one before; others are another chain's."""
    known = (checkpoint.chain_ledger, checkpoint.chain_closed_at)
    seen = (page.latest_ledger, page.latest_closed_at)
    if known[1] is None or seen == known:
        return
    ledgers, seconds = seen[0] - known[0], (seen[1] - known[1]).total_seconds()
    if not (0 < ledgers <= seconds or seconds <= ledgers < 0):
        raise WrongChain(
            f"the network began again: ledger {seen[0]} closed at {seen[1]:%F %T}, "
            f"but we have seen ledger {known[0]} close at {known[1]:%F %T}"
        )


def confirm_leap(client: SorobanClient, checkpoint: Checkpoint, page: EventPage) -> None:
    """A page from far ahead, as after an outage, is asked for twice, and none is from the future.

    One slip of a node, once believed, would make every honest answer that comes later look like another chain's.
    """
    known = checkpoint.chain_closed_at
    leap = page.latest_ledger - checkpoint.chain_ledger
    if known and leap <= LEAP_LEDGERS and page.latest_closed_at - known <= LEAP_TIME:
        return
    if page.latest_closed_at > Checkpoint.objects.values_list(Now(), flat=True)[0] + LEAP_TIME:
        raise NodeLagging(f"the node's newest ledger closes in the future, at {page.latest_closed_at:%F %T}")
    again = client.get_events(checkpoint.contract, limit=1, start_ledger=page.latest_ledger)
    apart = abs(again.latest_ledger - page.latest_ledger)
    if apart > settings.RPC_MAX_LAG or abs(again.latest_closed_at - page.latest_closed_at) > LEAP_TIME:
        raise NodeLagging("the node contradicts itself about its newest ledger")


def refuse_standstill(checkpoint: Checkpoint, page: EventPage) -> None:
    """Of a node that has nothing new for so long that its answers count as stale, another may know more."""
    if not page.caught_up or page.latest_ledger > checkpoint.chain_ledger:
        return
    for silence, lags in ((SILENT_FOR, NodeStandsStill), (timedelta(seconds=settings.STALE_AFTER), NodeLagging)):
        if Checkpoint.objects.filter(pk=checkpoint.pk, heard_at__lt=Now() - silence).exists():
            seconds = int(silence.total_seconds())
            raise lags(f"the node stands still at ledger {page.latest_ledger} for more than {seconds} s")


def refuse_fewer_groups(checkpoint: Checkpoint, readings: Readings) -> None:
    """No group is ever deleted, so a count below ours is another chain's, or from before ours was read."""
    if readings.instance_entry is None:
        raise NodeLagging("the node does not have the contract, which was there before")
    counted = readings.instance.group_counter if readings.instance else checkpoint.group_count
    if counted >= checkpoint.group_count:
        return
    said = f"the contract counts {counted} groups, it had {checkpoint.group_count} before"
    if not 0 < checkpoint.instance_ledger <= readings.instance_ledger:
        raise NodeLagging(f"{said}: the node is behind the one that said so")
    raise WrongChain(said)


def refuse_uncounted_groups(
    client: SorobanClient, checkpoint: Checkpoint, readings: Readings, counts: dict[str, int]
) -> None:
    """A count that was once believed makes every lower one another chain's: the last group has to be there."""
    if readings.instance is None:
        return
    last = readings.instance.group_counter
    refuse_absence(readings.absent, last)
    if last > checkpoint.group_count and last not in readings.groups:
        again = GroupReader(client, checkpoint.contract, checkpoint.ledger).read([last])
        counts["calls"] = counts.get("calls", 0) + again.calls
        if again.ledger >= readings.instance_ledger:  # a node from before it was counted knows nothing of it
            refuse_absence(again.absent, last)


def refuse_absence(absent: Iterable[int], counted: int) -> None:
    """Ids run from 1 to the contract's count without a gap, and no group is ever deleted."""
    if missing := sorted(group_id for group_id in absent if group_id <= counted):
        raise NodeLagging(f"the node counts {counted} groups and does not have group {missing[0]}")


def refuse_known_group(failure: WrongChain) -> None:
    """Raises NodeLagging where a node has our first group: what one said before was a slip then, and passes."""
    known = Group.objects.filter(unreadable_since=None).select_related("creator").order_by("id").first()
    if known is None:
        return

    def recognise(client: SorobanClient) -> None:
        read = GroupReader(client, settings.AJO_CONTRACT_ID).read([known.pk]).groups.get(known.pk)
        if not read or (read.group.creator, moment(read.group.created_at)) != (
            known.creator.wallet_address,
            known.created_at,
        ):
            raise failure

    try:
        nodes().run(recognise)
    except WrongChain:
        return
    raise NodeLagging(f"the nodes contradict what they said before, and have our groups: {failure}") from failure
