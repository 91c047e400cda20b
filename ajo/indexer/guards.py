"""Guards: check what a node says against what is known, and ask a second time before believing what contradicts it.

The second answer is another node's where there is one (`pool.second_opinion`). A node may lag, be of another chain, or
err. A wrong answer that was once believed makes later correct ones look wrong. Guards raise NodeLagging (another node
may know better) or WrongChain; see docs/decisions/0008-belief.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from ajo.indexer.context import PassContext
from ajo.indexer.missing import check_no_missing_groups, settle_missing_groups
from ajo.soroban.models import Checkpoint, ContractEvent
from ajo.soroban.plausibility import check_ledger_continuity, confirm_large_jump, fits, newest_page
from ajo.soroban.rpc.answers import EventPage, cursor_ledger
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging, NodeStalled, WrongChain
from ajo.soroban.rpc.pool import SILENT_FOR, nodes
from contributions.event_rows import MAX_BIGINT, remove_groups
from groups.creation import is_our_chain
from groups.models import Group
from groups.snapshots import GroupReader, Snapshots

logger = logging.getLogger(__name__)

MAX_REMOVED = 100  # groups at a time


def check_page_ledger(context: PassContext) -> None:
    """Raise NodeLagging for a page from further back than RPC_MAX_LAG, or whose cursor is ahead of its own ledger."""
    known, page = context.checkpoint.chain_ledger, context.page
    if page.latest_ledger < max(known - settings.RPC_MAX_LAG, cursor_ledger(page.cursor)):
        raise NodeLagging(f"the node is at ledger {page.latest_ledger}, {known} is known to exist")


def check_node_progress(context: PassContext) -> None:
    """Raise NodeStalled or NodeLagging for a node that has had no new ledger for so long that another may know more."""
    checkpoint, page = context.checkpoint, context.page
    if not page.caught_up or page.latest_ledger > checkpoint.chain_ledger:
        return
    for silence, error in ((SILENT_FOR, NodeStalled), (timedelta(seconds=settings.STALE_AFTER), NodeLagging)):
        if Checkpoint.objects.filter(pk=checkpoint.pk, chain_advanced_at__lt=Now() - silence).exists():
            seconds = int(silence.total_seconds())
            raise error(f"the node stands still at ledger {page.latest_ledger} for more than {seconds} s")


def check_group_count(context: PassContext) -> None:
    """Check that the contract counts no fewer groups than before: no group is ever deleted (docs/chain.md §1.1).

    A lower count is another chain's (WrongChain), or from before ours was read (NodeLagging), or ours is wrong. Ours is
    wrong if our groups are on that chain and a second answer counts fewer too: then invented groups are removed.
    """
    client, checkpoint, snapshots = context.client, context.checkpoint, context.snapshots
    if snapshots.instance_entry is None:
        raise NodeLagging("the node does not have the contract, which was there before")
    counted = snapshots.instance.group_counter if snapshots.instance else checkpoint.group_count
    if counted >= checkpoint.group_count:
        return
    claim = f"the contract counts {counted} groups, it had {checkpoint.group_count} before"
    counted_at = checkpoint.instance_ledger
    if counted_at == 0 or snapshots.instance_ledger < counted_at <= context.newest_possible:
        raise NodeLagging(f"{claim}: the node is behind the one that said so")
    if not is_our_chain(client, checkpoint.contract):
        raise WrongChain(claim)
    again = nodes().second_opinion(client, lambda other: read_count(other, checkpoint, snapshots.instance_ledger))
    if again.instance is None or again.instance.group_counter >= checkpoint.group_count:
        raise NodeLagging(f"{claim}; a second request says otherwise")
    logger.warning("%s, and a second request says so too: that was wrong", claim)
    remove_invented(client, checkpoint, counted)


def remove_invented(client: SorobanClient, checkpoint: Checkpoint, counted: int) -> set[int]:
    """Remove groups beyond the count that two answers do not have, and that no event in the log has announced.

    At most MAX_REMOVED at a time. Returns their ids.
    """
    announced = ContractEvent.objects.filter(type="created", group_id=OuterRef("pk"))
    beyond = Group.objects.filter(~Exists(announced), pk__gt=counted).order_by("pk")
    synced = dict(beyond.values_list("pk", "synced_ledger")[:MAX_REMOVED])
    synced = _confirmed_absent(checkpoint, synced, client)
    ask = partial(_confirmed_absent, checkpoint, synced)
    try:
        synced = nodes().second_opinion(client, ask, other_only=bool(synced))
    except NodeLagging as failure:
        logger.warning("groups %s stay until another node can be asked: %s", sorted(synced), failure)
        return set()
    if synced:
        logger.warning("groups %s never were: removed", sorted(synced))
        remove_groups(synced)
    return set(synced)


def _confirmed_absent(checkpoint: Checkpoint, synced: Mapping[int, int], client: SorobanClient) -> dict[int, int]:
    """Return those of `synced` (ledger by group id) that a node lacks which is not behind their last reading."""
    if not synced:
        return {}
    newest = Checkpoint.objects.newest_possible()
    found = read_count(client, checkpoint, checkpoint.ledger, synced)
    return {pk: synced[pk] for pk in found.absent if not found.ledger < synced[pk] <= newest}


def settle_missing(context: PassContext) -> None:
    """Take groups that one answer leaves out from a second one: see `missing.settle_missing_groups`."""
    settle_missing_groups(context.client, context.checkpoint, context.snapshots, context.at_least, context.missing)


def confirm_more_groups(context: PassContext) -> None:
    """Confirm a higher group count by a second answer: a count that is believed makes every lower one look wrong.

    Raises NodeLagging if the second answer counts fewer. If it counts as many and does not have the last one, the count
    stays as it was, and the pass goes on.
    """
    client, checkpoint, snapshots = context.client, context.checkpoint, context.snapshots
    if snapshots.instance is None:
        return
    last = snapshots.instance.group_counter
    if last <= checkpoint.group_count:
        return
    if last > MAX_BIGINT:
        raise NodeLagging(f"the node counts {last} groups")
    at_least = checkpoint.ledger
    again = nodes().second_opinion(client, lambda other: read_count(other, checkpoint, at_least, [last]))
    if again.ledger < snapshots.instance_ledger:  # the second answer is from a ledger before this one
        again = read_count(client, checkpoint, at_least, [last])
    if again.ledger < snapshots.instance_ledger:
        return  # a wrong count is corrected by the next passes
    if again.instance and again.instance.group_counter < last:
        check_no_missing_groups(again.absent, last)
        raise NodeLagging(f"the node counts {last} groups; a second request says {again.instance.group_counter}")
    if again.absent:
        logger.warning("the node counts %d groups and does not have the last: %d stays", last, checkpoint.group_count)
        snapshots.instance = replace(snapshots.instance, group_counter=checkpoint.group_count)


def read_count(client: SorobanClient, checkpoint: Checkpoint, at_least: int, ids: Iterable[int] = ()) -> Snapshots:
    """Read the instance entry, which has the group count, and these groups, at ledger `at_least` or later."""
    return GroupReader(client, checkpoint.contract, at_least).read(ids, with_instance=True)


def check_not_all_absent(counted: int, ids: Sequence[int], absent: Collection[int]) -> None:
    """Raise NodeLagging if the node has none of these counted groups: such a count is wrong."""
    if ids and ids[-1] <= counted and len(absent) == len(ids):
        raise NodeLagging(f"the node has none of groups {ids[0]} to {ids[-1]}, which the contract counts")


Guard = Callable[[PassContext], None]
# A pass runs them in this order: those of the page before it reads the page's groups, the others afterwards.
PAGE_GUARDS: Final[Sequence[Guard]] = (
    lambda context: check_ledger_continuity(context.checkpoint, context.page),
    lambda context: confirm_large_jump(context.client, context.checkpoint, context.page),
    check_page_ledger,
    check_node_progress,
)
GROUP_GUARDS: Final[Sequence[Guard]] = (check_group_count, settle_missing, confirm_more_groups)


def recheck_wrong_chain(failure: WrongChain) -> None:
    """Raise NodeLagging if a node has our groups after all: what nodes said before was an error that passes.

    If every node says that its newest ledger does not fit ours, ours was the error, and the position is reset. Returns
    without raising if the chain is another one indeed.
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
        _reset_position(checkpoint, page)
    raise NodeLagging(f"the nodes contradict what they said before, and have our groups: {failure}") from failure


def _reset_position(checkpoint: Checkpoint, page: EventPage) -> None:
    """Set the checkpoint to the page's position.

    A cursor beyond it has passed over events: then all events that can still be had are applied again.
    """
    logger.warning("the network never reached ledger %d: it is at %d", checkpoint.chain_ledger, page.latest_ledger)
    values: dict[str, object] = {"chain_ledger": page.latest_ledger, "chain_closed_at": page.latest_closed_at}
    if checkpoint.cursor and cursor_ledger(checkpoint.cursor) > page.latest_ledger:
        values |= {"cursor": "", "start_ledger": min(page.oldest_ledger + 2, page.latest_ledger)}
    values["events_checked_to"] = min(checkpoint.events_checked_to, page.latest_ledger - 1)
    if checkpoint.ledger > page.latest_ledger:
        values["ledger"] = page.latest_ledger
    Checkpoint.objects.filter(pk=checkpoint.pk).update(**values)
