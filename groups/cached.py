"""Read groups through the cache, and from the chain where the tables do not have them yet; keep the cache fresh."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial

from django.conf import settings

from ajo import cache
from ajo.api.freshness import check_reachable
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes
from groups.bodies import fresh_body, group_bodies
from groups.creation import read_groups
from groups.models import Group
from groups.snapshots import Snapshots
from groups.sync import write_snapshots

log = logging.getLogger(__name__)

# Seconds before the watermark whose changes are looked at again: a pass or a reader of the chain may have died between
# its commit and its refresh.
LOOK_BACK = 120
STATEMENT_TIME = 10  # seconds that the longest of the sync's statements takes
REFRESH_BATCH = 200  # bodies built and sent at a time


def no_throttle() -> None:
    """Admit everything: for callers that are no client of the API."""


def group_answer(
    group_id: int, min_ledger: int = 0, admit: Callable[[], None] = no_throttle, client: str = ""
) -> cache.Answer:
    """Return the body of `groups/{id}/`, read through the cache.

    `min_ledger` is the ledger that it has to reflect, `client` the client's address. `admit` is called before the chain
    is asked, which costs RPC calls; what it raises is passed on. However many nodes and attempts that takes, they share
    one deadline (cache.DEADLINE seconds). Raise cache.Absent or cache.Unavailable.
    """
    deadline = time.monotonic() + cache.DEADLINE

    def from_chain() -> int:
        admit()
        return read_group(group_id, deadline)

    try:
        return cache.fetch(
            _key(group_id),
            from_rows=partial(fresh_body, group_id),
            from_chain=from_chain,
            exists=partial(_can_exist, group_id, min_ledger),
            min_ledger=min_ledger,
            check_reachable=_check_reachable,
            client=client,
        )
    except cache.Undecodable:
        raise unreadable() from None


def unreadable() -> cache.Unavailable:
    """Return the error for a group that this version cannot decode: the state that was shown before is stale."""
    return cache.Unavailable("The group's entries on the chain cannot be decoded by this version.", retry_after=300)


def ensure_group(group_id: int, admit: Callable[[], None] = no_throttle, client: str = "") -> None:
    """Read the group into the tables unless they have it. Raise as `group_answer` does."""
    if not Group.objects.filter(pk=group_id, unreadable_since=None).exists():
        group_answer(group_id, admit=admit, client=client)


def read_group(group_id: int, deadline: float | None = None) -> int:
    """Read one group from the chain into the tables, refresh its body, and return the ledger at which it was read.

    A group that is not on the chain is no error: the tables do not have it then. No node is asked after `deadline`
    (time.monotonic). Raise cache.Unavailable where no node answers, the tables are of another chain, or the group
    cannot be decoded.
    """
    checkpoint = _check_same_chain()
    at_least = checkpoint.ledger if checkpoint else 0  # a node behind the tables cannot say that a group is absent

    def read(client: SorobanClient) -> Snapshots:
        snapshots = read_groups(client, settings.AJO_CONTRACT_ID, at_least, [group_id])
        write_snapshots(snapshots)
        return snapshots

    try:
        snapshots = nodes().run(read, deadline)
    except ChainError as failure:
        log.warning("group %d cannot be read: %s", group_id, failure)
        # without the node's own words, which may hold a provider's key
        raise cache.Unavailable("The chain cannot be read now.") from failure
    refresh_groups([group_id])
    if group_id not in snapshots.groups and group_id not in snapshots.absent:
        raise unreadable()
    return snapshots.ledger


def _check_same_chain() -> Checkpoint | None:
    """Return the checkpoint, if there is one. Raise cache.Unavailable where its tables are of another chain."""
    checkpoint = Checkpoint.objects.current()
    if checkpoint and checkpoint.halt_reason:
        raise cache.Unavailable("The tables are of another chain than the configured one.", retry_after=300)
    return checkpoint


def _check_reachable(min_ledger: int) -> None:
    _check_same_chain()
    check_reachable(min_ledger)


def refresh_groups(group_ids: Iterable[int]) -> None:
    """Store these groups' bodies in Redis, over older revisions only. Do nothing without Redis or a watermark."""
    if now := cache.current_watermark():
        _refresh(now, Checkpoint.objects.freshness(), list(group_ids))


def refresh_cache(since: datetime) -> None:
    """Bring Redis to where the tables are: store the bodies that changed `since` the pass began, then advance.

    It runs after each pass's commit and is idempotent: what a killed pass left out, the next one finds. Do nothing
    before the first sync or without Redis; begin a new epoch where the tables do not follow the watermark.
    """
    fresh = Checkpoint.objects.freshness()
    if not fresh.dataset_id:
        return
    now = cache.current_watermark()
    if now is None or not fresh.follows(now.freshness):
        cache.start_epoch(fresh)
        return
    # Redis holds nothing from before the epoch, save of statements that were running when it began.
    looked_at = datetime.fromtimestamp(max(now.freshness.as_of - LOOK_BACK, now.begun - STATEMENT_TIME), UTC)
    ours: list[int] = []
    others: dict[str, int] = {}
    changed = Group.objects.filter(changed_at__gte=min(looked_at, since)).order_by("id")
    for group_id, changed_at, revision in changed.values_list("id", "changed_at", "revision"):
        if changed_at >= since:
            ours.append(group_id)
        else:
            others[_key(group_id)] = revision
    # Our own changes are stored in any case: a slow reader may hold the revision before and find no key. Of the changes
    # of others only stale bodies are.
    stale = cache.stale_keys(now, others)
    if stale is not None and _refresh(now, fresh, [*ours, *(int(key.partition(":")[2]) for key in stale)]):
        cache.advance(now, fresh)


def _refresh(now: cache.Watermark, fresh: cache.Freshness, group_ids: list[int]) -> bool:
    """Store bodies in batches; `fresh` was read before. False if Redis did not take all, or is of another dataset."""
    if fresh.dataset_id != now.freshness.dataset_id:
        return False
    for start in range(0, len(group_ids), REFRESH_BATCH):
        documents = group_bodies(group_ids[start : start + REFRESH_BATCH])
        if not cache.refresh(now, {_key(id_): document for id_, document in documents.items()}, fresh.ledger):
            return False
    return True


def _key(group_id: int) -> str:
    return f"group:{group_id}"


def _can_exist(group_id: int, min_ledger: int) -> bool:
    """Return whether the chain can have the group: ids run from 1 to the contract's counter (docs/chain.md, GCOUNTER).

    A number above the counter as last read is absent without asking the chain, unless the client has seen a later
    ledger than that reading.
    """
    checkpoint = Checkpoint.objects.current()
    if checkpoint is None or not checkpoint.is_loaded or min_ledger > checkpoint.instance_ledger:
        return True
    return bool(group_id <= checkpoint.group_count)
