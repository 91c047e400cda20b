"""Groups that a node counts and does not have, though ids run from 1 to the contract's count without a gap.

One answer that leaves a group out proves nothing, and does not stop the other groups: a second answer is asked for, and
a group that neither has is set aside. Its row stays as it is, and every pass asks for it again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from django.db.models import Exists, OuterRef

from ajo.soroban.contract.keys import GroupKey
from ajo.soroban.models import Checkpoint, ContractEvent, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging
from ajo.soroban.rpc.pool import nodes
from groups.creation import is_our_chain, read_groups
from groups.snapshots import Snapshots, Undecoded
from groups.sync import store_undecoded

logger = logging.getLogger(__name__)

# Groups that one answer may leave out, and groups set aside that one pass reads beside its own: a quarter of a call.
MAX_MISSING = 50


def missing_groups() -> list[int]:
    """Return the ids of groups that were set aside here, those first that have waited longest; MAX_MISSING at most.

    Their undecoded entries have no content.
    """
    entries = UndecodedEntry.objects.filter(xdr="").exclude(group_id=None).order_by("found_at", "id")
    return [pk for pk in entries.values_list("group_id", flat=True)[:MAX_MISSING] if pk]


def settle_missing_groups(
    client: SorobanClient,
    checkpoint: Checkpoint,
    snapshots: Snapshots,
    at_least: int,
    known: Collection[int] = (),
) -> None:
    """Take from a second answer, of ledger `at_least` or later, what the first lacks, and set the rest aside.

    `known`: groups that are set aside already and need no second answer. Raises NodeLagging if more than MAX_MISSING
    are missing, or the node has none of our groups; ChainError if no second answer is to be had.
    """
    counted = snapshots.instance.group_counter if snapshots.instance else checkpoint.group_count
    missing = {pk for pk in snapshots.absent if pk <= counted}
    _forget_invented(snapshots.absent.intersection(known) - missing)
    new = sorted(missing.difference(known))
    if len(new) > MAX_MISSING:
        check_no_missing_groups(new, counted)
    if new:
        again = nodes().second_opinion(client, lambda other: read_groups(other, checkpoint.contract, at_least, new))
        snapshots.take(again)
    left = missing & snapshots.absent
    snapshots.absent -= left
    snapshots.disputed |= left
    first = sorted(left.difference(known))
    if not first:
        return
    if not snapshots.groups and not is_our_chain(client, checkpoint.contract, left):
        check_no_missing_groups(left, counted)
    reason = f"the node counts {counted} groups and does not have this one; a second request says so too"
    keys = [GroupKey(pk).to_xdr(checkpoint.contract) for pk in first]
    store_undecoded([Undecoded(key, pk, "", reason, snapshots.ledger) for key, pk in zip(keys, first, strict=True)])
    logger.warning("groups %s are set aside: %s", first, reason)


def _forget_invented(ids: Collection[int]) -> None:
    """Wait no longer for groups that the contract does not count and no event in the log has announced."""
    if ids:
        announced = ContractEvent.objects.filter(type="created", group_id=OuterRef("group_id"))
        UndecodedEntry.objects.filter(~Exists(announced), xdr="", group_id__in=ids).delete()


def check_no_missing_groups(absent: Iterable[int], counted: int) -> None:
    """Raise NodeLagging if a counted group is absent: ids run from 1 to the contract's count without a gap."""
    if missing := sorted(group_id for group_id in absent if group_id <= counted):
        raise NodeLagging(f"the node counts {counted} groups and does not have group {missing[0]}")
