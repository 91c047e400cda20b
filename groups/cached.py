"""Groups as the API reads them: through the cache, from the chain where the tables do not have them yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from django.conf import settings

from ajo import cache
from ajo.api.freshness import refuse_far_ahead
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes
from groups.bodies import group_bodies
from groups.creation import read_groups
from groups.models import Group
from groups.snapshots import Snapshots
from groups.sync import write_snapshots

log = logging.getLogger(__name__)

# Seconds before the last refresh whose changes are looked at again: a pass or a reader of the chain may have died
# between its commit and its refresh.
LOOK_BACK = 120
JUST_THEN = 10  # seconds that the longest of the sync's statements takes
REFRESH_BATCH = 200  # bodies built and sent at a time


def no_throttle() -> None:
    """For callers that are no client whose calls are counted."""


def group_answer(
    group_id: int, min_ledger: int = 0, admit: Callable[[], None] = no_throttle, client: str = ""
) -> cache.Answer:
    """The body of `groups/{id}/` for `client`. Raises cache.Absent or cache.Unavailable, and what `admit` raises before
    the chain is asked: that costs an RPC call. However many nodes and attempts that takes, they have one deadline.
    """
    deadline = time.monotonic() + cache.DEADLINE

    def from_chain() -> int:
        admit()
        return read_group(group_id, deadline)

    answer = cache.fetch(
        _key(group_id),
        freshness=Checkpoint.objects.freshness,
        from_rows=lambda: group_bodies([group_id]).get(group_id),
        from_chain=from_chain,
        exists=partial(_can_exist, group_id, min_ledger),
        min_ledger=min_ledger,
        refuse_far_ahead=_refuse_early,
        client=client,
    )
    if not answer.body:
        raise unreadable()
    return answer


def unreadable() -> cache.Unavailable:
    """In place of a state that was shown before and is old now."""
    return cache.Unavailable("The group's entries on the chain cannot be decoded by this version.", retry_after=300)


def ensure_group(group_id: int, admit: Callable[[], None] = no_throttle, client: str = "") -> None:
    """Make sure that the tables have the group, reading it if need be. Raises cache.Absent or cache.Unavailable."""
    if not Group.objects.filter(pk=group_id, unreadable_since=None).exists():
        group_answer(group_id, admit=admit, client=client)


def read_group(group_id: int, deadline: float | None = None) -> int:
    """Read one group from the chain into the tables, and refresh its body; the ledger at which it was read.

    No node is asked after `deadline` (time.monotonic). Raises cache.Unavailable.
    """
    checkpoint = _refuse_another_chain()
    at_least = checkpoint.ledger if checkpoint else 0  # a node behind the tables cannot say that a group is absent

    def read(client: SorobanClient) -> Snapshots:
        snapshots = read_groups(client, settings.AJO_CONTRACT_ID, at_least, [group_id])
        write_snapshots(snapshots)
        return snapshots

    try:
        snapshots = nodes().run(read, deadline)
    except ChainError as failure:
        log.warning("group %d cannot be read: %s", group_id, failure)
        raise cache.Unavailable(
            "The chain cannot be read now."
        ) from failure  # a node's words may hold a provider's key
    refresh_groups([group_id])
    if group_id not in snapshots.groups and group_id not in snapshots.absent:
        raise unreadable()
    return snapshots.ledger


def _refuse_another_chain() -> Checkpoint | None:
    """The checkpoint, if there is one. Raises cache.Unavailable where the chain may not be read into these tables."""
    checkpoint = Checkpoint.objects.current()
    if checkpoint and checkpoint.halt_reason:
        raise cache.Unavailable("The tables are of another chain than the configured one.", retry_after=300)
    return checkpoint


def _refuse_early(min_ledger: int) -> None:
    _refuse_another_chain()
    refuse_far_ahead(min_ledger)


def refresh_groups(group_ids: object) -> None:
    """Put these groups' bodies into the cache, over older ones only."""
    if now := cache.watermark():
        _refresh(now, Checkpoint.objects.freshness(), list(group_ids))  # type: ignore[call-overload]


def refresh_cache(since: datetime) -> None:
    """Bring Redis to where the tables are: the bodies of what changed `since` the pass began, then the mark.

    Runs after each pass's commit. What a killed pass left out, the next one finds.
    """
    fresh = Checkpoint.objects.freshness()
    if not fresh.era:
        return
    now = cache.watermark()
    # Where the database's clock has stepped back, nobody can tell what changed since; where the tables' ledger has, it
    # was one that the network never reached.
    seen = now.freshness if now else None
    if now is None or seen is None or seen.era != fresh.era or seen.as_of > fresh.as_of or seen.ledger > fresh.ledger:
        cache.start_epoch(fresh)
        return
    # Nothing from before the epoch began is in Redis, but of statements that had begun just then.
    looked_at = datetime.fromtimestamp(max(now.freshness.as_of - LOOK_BACK, now.begun - JUST_THEN), UTC)
    ours: list[int] = []
    others: dict[str, int] = {}
    changed = Group.objects.filter(changed_at__gte=min(looked_at, since)).order_by("id")
    for group_id, changed_at, revision in changed.values_list("id", "changed_at", "revision"):
        if changed_at >= since:
            ours.append(group_id)
        else:
            others[_key(group_id)] = revision
    # Ours are put in any case: a slow reader may hold the version before and find no key. Of what others changed, only
    # the bodies that somebody left behind are.
    behind = cache.stale_keys(now, others)
    if behind is not None and _refresh(now, fresh, [*ours, *(int(key.partition(":")[2]) for key in behind)]):
        cache.advance(now, fresh)


def _refresh(now: cache.Watermark, fresh: cache.Freshness, group_ids: list[int]) -> bool:
    """`fresh` was read before. False if Redis did not take them, or its bodies are of other tables."""
    if fresh.era != now.freshness.era:
        return False
    for start in range(0, len(group_ids), REFRESH_BATCH):
        documents = group_bodies(group_ids[start : start + REFRESH_BATCH])
        if not cache.refresh(now, {_key(id_): document for id_, document in documents.items()}, fresh.ledger):
            return False
    return True


def _key(group_id: int) -> str:
    return f"group:{group_id}"


def _can_exist(group_id: int, min_ledger: int) -> bool:
    """Ids run from 1 to the contract's counter as last read: a number above is absent without asking the chain, unless
    the client has seen a later ledger.
    """
    checkpoint = Checkpoint.objects.current()
    if checkpoint is None or not checkpoint.is_loaded or min_ledger > checkpoint.instance_ledger:
        return True
    return bool(group_id <= checkpoint.group_count)
