"""The rebuild: from an empty or a wrong database to what the chain says, while readers go on being served.

Groups are healed in batches, each before the rebuild's own progress is noted: killed, it does the last one again. The
events that can still be had are applied again afterwards (`sync.restart_history`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

from django.db import transaction

from ajo.indexer.heal import find_surplus, heal
from ajo.indexer.lease import LeaseHandle, lease
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.plausibility import check_ledger_continuity
from ajo.soroban.rpc.client import Run, SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging
from contributions.event_rows import remove_groups
from groups.models import Group
from groups.snapshots import GroupReader

BATCH = 50  # groups that are read and committed together
PATIENCE = 60.0  # seconds that a batch waits for the sync's lease: longer than that of a runner that was killed lasts


@dataclass(slots=True)
class Rebuilt:
    """How far it is, and what it changed (or, in a dry run, would)."""

    done: int = 0
    total: int = 0
    counted_at: int = 0  # the ledger at which the contract said `total`
    counts: dict[str, int] = field(default_factory=dict)
    is_finished: bool = False
    size: int = field(default_factory=lambda: BATCH)  # of the next batch

    def add(self, **numbers: int) -> None:
        for name, number in numbers.items():
            self.counts[name] = self.counts.get(name, 0) + number


def rebuild_groups(run_read: Run, *, dry_run: bool = False) -> Iterator[Rebuilt]:
    """Make every group and its history what the entries say, yielding after each batch. Needs a checkpoint."""
    checkpoint = Checkpoint.objects.get()
    if checkpoint.halt_reason:
        raise ChainError(checkpoint.halt_reason)
    progress = Rebuilt(0 if dry_run else checkpoint.rebuilt_to)

    def count(client: SorobanClient) -> None:
        """The tables may be wrong about this too."""
        checkpoint = Checkpoint.objects.get()
        newest = client.get_health().latest_ledger
        check_ledger_continuity(checkpoint, client.get_events(checkpoint.contract, limit=1, start_ledger=newest))
        snapshots = GroupReader(client, checkpoint.contract, checkpoint.ledger).read([], with_instance=True)
        if snapshots.instance_entry is None:
            raise NodeLagging("the node does not have the contract")
        progress.counted_at = snapshots.instance_ledger
        progress.total = snapshots.instance.group_counter if snapshots.instance else int(checkpoint.group_count)

    def batch(client: SorobanClient) -> None:
        # no pass of the sync writes newer rows in between; those that are running end soon
        with lease(SyncRun.Kind.SYNC, patience=PATIENCE) as handle:
            ids = range(progress.done + 1, min(progress.done + progress.size, progress.total) + 1)
            done = _rebuild(client.with_heartbeat(handle.renew), handle, list(ids), progress, dry_run=dry_run)
            progress.size = min(2 * len(done), BATCH)  # of a slow node no more is asked than it answers in time
            progress.done = done[-1]

    def finish(client: SorobanClient) -> None:
        """Groups that were made while the rebuild was on are no surplus: counted again, with no pass in between."""
        with lease(SyncRun.Kind.SYNC, patience=PATIENCE) as handle:
            count(client.with_heartbeat(handle.renew))
            if progress.done >= progress.total:
                _remove_surplus(client, progress, dry_run=dry_run)
                progress.is_finished = True

    run_read(count)
    while not progress.is_finished:
        run_read(batch if progress.done < progress.total else finish)
        yield progress


def _remove_surplus(client: SorobanClient, progress: Rebuilt, *, dry_run: bool) -> None:
    """Groups beyond the contract's count that the chain does not have either: the count may be one of long ago."""
    checkpoint = Checkpoint.objects.get()
    beyond = Group.objects.filter(id__gt=progress.total).values_list("id", flat=True)
    absent = GroupReader(client, checkpoint.contract, checkpoint.ledger).read(beyond).absent
    surplus = find_surplus(client, checkpoint, absent, progress.counts)
    progress.add(groups_removed=len(surplus))
    if dry_run:
        return
    remove_groups(surplus)
    Checkpoint.objects.update(rebuilt_to=0, group_count=progress.total, instance_ledger=progress.counted_at)


def _rebuild(
    client: SorobanClient, handle: LeaseHandle, ids: list[int], progress: Rebuilt, *, dry_run: bool
) -> list[int]:
    """Rebuild these groups, or as many of them as can be read in time. Returns those that are done."""
    checkpoint = Checkpoint.objects.get()  # of now: what is read must be as new as what passes have written since
    # No transaction waits for the chain; but a dry run's, which writes nothing in the end.
    with transaction.atomic() if dry_run else nullcontext():
        # each time the lease is renewed: else a pass may have written newer rows
        healed = heal(client, checkpoint, ids, progress.counts, force=True, before_write=handle.renew)
        progress.add(groups_changed=len(healed.changed), undecoded=healed.undecoded, **healed.history)
        if dry_run:
            transaction.set_rollback(True)
    done = ids[: healed.done]
    if not done:
        raise NodeLagging("the first group of the batch could not be read in time")
    if not dry_run:
        Checkpoint.objects.update(rebuilt_to=done[-1])
        healed.show()
    return done
