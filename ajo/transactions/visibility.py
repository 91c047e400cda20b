"""Tells up to which ledger every plain read shows the tables, and re-reads what no event announces.

A success is said only when a read would show it. Between the tables and a reader are Redis, the processes' own caches
and the caches of proxies and clients.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from ajo.cache import Unavailable, current_watermark
from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.models import ChainTransaction, Checkpoint, UndecodedEntry
from groups.cached import read_group
from groups.models import Group

log = logging.getLogger(__name__)

# Seconds in which a reader may still see what was shown before the watermark moved: a web process asks Redis again
# after half a second (ajo/edge), and what it answers may be kept for one more (Cache-Control).
READ_DELAY: Final = 1.5
REREAD_BATCH = 50  # groups that one run reads again
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shown:
    """What every reader is shown READ_DELAY seconds after `since` (time.monotonic): the tables as at `ledger` or later.

    `as_of`: whatever was committed before then, by the database's clock, is shown as well. `instance_ledger`: the
    ledger at which the contract's own entry was read, decodable or not.
    """

    ledger: int
    as_of: datetime
    instance_ledger: int
    since: float

    def and_still(self, now: Shown) -> Shown:
        """Return what was shown then and is now: a cache that was empty then may hold older bodies again."""
        return Shown(
            min(self.ledger, now.ledger),
            min(self.as_of, now.as_of),
            min(self.instance_ledger, now.instance_ledger),
            self.since,
        )

    def wait(self) -> None:
        """Sleep until the readers' own caches have passed."""
        time.sleep(max(0.0, self.since + READ_DELAY - time.monotonic()))


def shown() -> Shown | None:
    """Return what readers are shown; None while it is not known, as between two fills of the tables."""
    checkpoint = Checkpoint.objects.current()
    if checkpoint is None:
        return None
    watermark = current_watermark()
    if watermark is None:  # nothing in Redis counts: every reader is shown the tables
        return Shown(checkpoint.ledger, FOREVER, _instance_ledger(checkpoint), time.monotonic())
    if watermark.freshness.dataset_id != checkpoint.dataset_id.hex:
        return None
    ledger = min(checkpoint.ledger, watermark.freshness.ledger)
    as_of = datetime.fromtimestamp(watermark.freshness.as_of, UTC)
    return Shown(ledger, as_of, _instance_ledger(checkpoint), time.monotonic())


def _instance_ledger(checkpoint: Checkpoint) -> int:
    """Return the ledger of the contract's own entry. One that this version cannot read holds nothing up for ever."""
    if checkpoint.instance_ledger >= checkpoint.ledger:
        return int(checkpoint.instance_ledger)
    is_unreadable = UndecodedEntry.objects.filter(key=InstanceKey().to_xdr(checkpoint.contract)).exists()
    return int(checkpoint.ledger if is_unreadable else checkpoint.instance_ledger)


def reread_groups(deadline: float) -> None:
    """Read the groups again that transactions were found to have changed and that were last read before.

    No event announces a group's name, so no pass of the sync reads it. `deadline` is of time.monotonic.
    """
    newer = Group.objects.filter(pk=OuterRef("group_id")).filter(
        Q(synced_ledger__gte=OuterRef("ledger")) | Q(unreadable_since__isnull=False)
    )
    found = ChainTransaction.objects.found().filter(group_id__isnull=False).exclude(Exists(newer))
    for group_id in list(found.values_list("group_id", flat=True).distinct()[:REREAD_BATCH]):
        if group_id is None or time.monotonic() > deadline:
            return
        try:
            read_group(group_id, deadline)
        except Unavailable as failure:
            log.warning("group %s cannot be read again: %s", group_id, failure.detail)
            continue
        # lists have its name too: they are shown anew once the watermark has moved after this
        ChainTransaction.objects.found().filter(group_id=group_id).update(updated_at=Now())
