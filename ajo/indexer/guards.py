"""What a node says that is not believed: by itself, by one node alone, or said only once.

A node may lag, be of another chain, or slip; what was once believed makes honest answers that come later look wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from ajo.soroban.models import Checkpoint, ContractEvent
from ajo.soroban.plausibility import fits, newest_page
from ajo.soroban.rpc.client import EventPage, SorobanClient, cursor_ledger
from ajo.soroban.rpc.errors import NodeLagging, NodeStalled, WrongChain
from ajo.soroban.rpc.pool import SILENT_FOR, nodes
from contributions.event_rows import MAX_BIGINT, remove_groups
from groups.creation import is_our_chain
from groups.models import Group
from groups.snapshots import GroupReader, Snapshots

logger = logging.getLogger(__name__)

MOST_REMOVED = 100  # groups at a time


def check_node_progress(checkpoint: Checkpoint, page: EventPage) -> None:
    """Of a node that has nothing new for so long that its answers count as stale, another may know more."""
    if not page.caught_up or page.latest_ledger > checkpoint.chain_ledger:
        return
    for silence, lags in ((SILENT_FOR, NodeStalled), (timedelta(seconds=settings.STALE_AFTER), NodeLagging)):
        if Checkpoint.objects.filter(pk=checkpoint.pk, heard_at__lt=Now() - silence).exists():
            seconds = int(silence.total_seconds())
            raise lags(f"the node stands still at ledger {page.latest_ledger} for more than {seconds} s")


def check_group_count(
    client: SorobanClient, checkpoint: Checkpoint, snapshots: Snapshots, newest: int, counts: dict[str, int]
) -> None:
    """No group is ever deleted: a count below ours is another chain's, or from before ours was read, or ours is wrong.

    It is, where a second asking counts fewer too and our groups are on that chain: groups that were invented are
    removed. `newest`: the ledger that the network can have reached.
    """
    if snapshots.instance_entry is None:
        raise NodeLagging("the node does not have the contract, which was there before")
    counted = snapshots.instance.group_counter if snapshots.instance else checkpoint.group_count
    if counted >= checkpoint.group_count:
        return
    said = f"the contract counts {counted} groups, it had {checkpoint.group_count} before"
    if checkpoint.instance_ledger == 0 or snapshots.instance_ledger < checkpoint.instance_ledger <= newest:
        raise NodeLagging(f"{said}: the node is behind the one that said so")
    if not is_our_chain(client, checkpoint.contract):
        raise WrongChain(said)
    again = nodes().second_opinion(client, lambda other: _counted(other, checkpoint, snapshots.instance_ledger, []))
    counts["calls"] = counts.get("calls", 0) + again.calls
    if again.instance is None or again.instance.group_counter >= checkpoint.group_count:
        raise NodeLagging(f"{said}; a second asking differs")
    logger.warning("%s, and a second asking says so too: that was wrong", said)
    remove_invented(client, checkpoint, counted, counts)


def remove_invented(client: SorobanClient, checkpoint: Checkpoint, counted: int, counts: dict[str, int]) -> set[int]:
    """Remove groups beyond the count that two askings do not have, and that no event in the log has announced.

    Returns their ids.
    """
    announced = ContractEvent.objects.filter(type="created", group_id=OuterRef("pk"))
    beyond = Group.objects.filter(~Exists(announced), pk__gt=counted).order_by("pk")
    synced = dict(beyond.values_list("pk", "synced_ledger")[:MOST_REMOVED])
    synced = _absent(checkpoint, synced, counts, client)
    synced = nodes().second_opinion(client, partial(_absent, checkpoint, synced, counts))
    if synced:
        logger.warning("groups %s never were: removed", sorted(synced))
        remove_groups(synced)
    return set(synced)


def _absent(
    checkpoint: Checkpoint, synced: Mapping[int, int], counts: dict[str, int], client: SorobanClient
) -> dict[int, int]:
    """Those of these groups that the node does not have; a node from before one was read knows nothing of it."""
    if not synced:
        return {}
    newest = Checkpoint.objects.newest_possible()
    found = _counted(client, checkpoint, checkpoint.ledger, synced)
    counts["calls"] = counts.get("calls", 0) + found.calls
    return {pk: synced[pk] for pk in found.absent if not found.ledger < synced[pk] <= newest}


def confirm_more_groups(
    client: SorobanClient, checkpoint: Checkpoint, snapshots: Snapshots, counts: dict[str, int]
) -> None:
    """A count that was once believed makes every lower one look wrong: a second asking has to count as many.

    Raises NodeLagging where it does not, or does not have the last group.
    """
    if snapshots.instance is None:
        return
    last = snapshots.instance.group_counter
    check_no_missing_groups(snapshots.absent, last)
    if last <= checkpoint.group_count:
        return
    if last > MAX_BIGINT:
        raise NodeLagging(f"the node counts {last} groups")
    at_least = checkpoint.ledger
    again = nodes().second_opinion(client, lambda other: _counted(other, checkpoint, at_least, [last]))
    if again.ledger < snapshots.instance_ledger:  # a node from before it was counted knows nothing of it
        counts["calls"] = counts.get("calls", 0) + again.calls
        again = _counted(client, checkpoint, at_least, [last])
    counts["calls"] = counts.get("calls", 0) + again.calls
    if again.ledger < snapshots.instance_ledger:
        return  # if the count is wrong, the next passes put it right
    check_no_missing_groups(again.absent, last)
    if again.instance and again.instance.group_counter < last:
        raise NodeLagging(f"the node counts {last} groups; a second asking says {again.instance.group_counter}")


def _counted(client: SorobanClient, checkpoint: Checkpoint, at_least: int, ids: Iterable[int]) -> Snapshots:
    return GroupReader(client, checkpoint.contract, at_least).read(ids, with_instance=True)


def check_no_missing_groups(absent: Iterable[int], counted: int) -> None:
    """Ids run from 1 to the contract's count without a gap, and no group is ever deleted."""
    if missing := sorted(group_id for group_id in absent if group_id <= counted):
        raise NodeLagging(f"the node counts {counted} groups and does not have group {missing[0]}")


def check_not_all_absent(counted: int, ids: Sequence[int], absent: Collection[int]) -> None:
    """A stretch of counted groups of which a node has none is beyond what there is: no sweep goes on to its end."""
    if ids and ids[-1] <= counted and len(absent) == len(ids):
        raise NodeLagging(f"the node has none of groups {ids[0]} to {ids[-1]}, which the contract counts")


def recheck_wrong_chain(failure: WrongChain) -> None:
    """Raises NodeLagging where a node has our groups: what one said before was a slip then, and passes.

    Where all nodes say twice that their newest ledger does not fit ours, ours was the slip, and is put right.
    """

    def recognise(client: SorobanClient) -> EventPage:
        if not is_our_chain(client, settings.AJO_CONTRACT_ID):
            raise failure
        return newest_page(client)

    try:
        page = nodes().run(recognise)
    except WrongChain:
        return
    checkpoint = Checkpoint.objects.get()
    if not fits(checkpoint, page):
        _put_right_position(checkpoint, page)
    raise NodeLagging(f"the nodes contradict what they said before, and have our groups: {failure}") from failure


def _put_right_position(checkpoint: Checkpoint, page: EventPage) -> None:
    """Put the page's position in the place of ours.

    A cursor from beyond it has passed over events: all that can still be had are applied again.
    """
    logger.warning("the network never reached ledger %d: it is at %d", checkpoint.chain_ledger, page.latest_ledger)
    values: dict[str, object] = {"chain_ledger": page.latest_ledger, "chain_closed_at": page.latest_closed_at}
    if checkpoint.cursor and cursor_ledger(checkpoint.cursor) > page.latest_ledger:
        values |= {"cursor": "", "start_ledger": min(page.oldest_ledger + 2, page.latest_ledger)}
    values["events_checked_to"] = min(int(checkpoint.events_checked_to), page.latest_ledger - 1)
    if checkpoint.ledger > page.latest_ledger:
        values["ledger"] = page.latest_ledger
    Checkpoint.objects.filter(pk=checkpoint.pk).update(**values)
