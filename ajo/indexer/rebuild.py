"""Rebuilds the tables: makes an empty or a wrong database what the chain says, while readers go on being served.

A batch of groups is healed before the rebuild's position is saved: a killed rebuild repeats its last batch, which is
idempotent. Afterwards the events that can still be had are applied again (`follow.replay_history`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from django.db import transaction
from structlog.contextvars import bind_contextvars

from ajo.indexer.guards import read_count
from ajo.indexer.heal import find_surplus, heal
from ajo.indexer.lease import LEASE_PATIENCE, LeaseHandle, lease
from ajo.indexer.runs import Counts, heartbeat, record_run
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.plausibility import check_ledger_continuity
from ajo.soroban.rpc.client import Run, SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging
from ajo.soroban.rpc.pool import nodes
from contributions.event_rows import remove_groups
from groups.models import Group
from groups.snapshots import GroupReader

REBUILD_BATCH = 50  # groups that are read and committed together


@dataclass(slots=True)
class Rebuilt:
    """Reports the progress of a rebuild, in groups, and what it changed (in a dry run: would change) so far."""

    done: int = 0
    total: int = 0
    counted_at: int = 0  # the ledger at which the contract counted `total` groups
    counts: Counts = field(default_factory=Counts)
    is_finished: bool = False
    size: int = field(default_factory=lambda: REBUILD_BATCH)  # groups of the next batch


def rebuild_groups(run_read: Run, *, dry_run: bool = False) -> Iterator[Rebuilt]:
    """Make every group and its history what the entries say, yielding after each batch.

    Recorded as one SyncRun, but for a dry run, which writes nothing. Needs a checkpoint. Raises ChainError if the sync
    is halted or no node answers, Superseded if another rebuild is running.
    """
    checkpoint = Checkpoint.objects.get()
    if checkpoint.halt_reason:
        raise ChainError(checkpoint.halt_reason)
    if dry_run:
        yield from _Rebuild(run_read, Rebuilt(), None).run()
        return
    with record_run(SyncRun.Kind.REBUILD, LEASE_PATIENCE) as (run, handle):
        bind_contextvars(ledger=checkpoint.ledger)
        run.ledger = checkpoint.ledger
        yield from _Rebuild(run_read, Rebuilt(checkpoint.rebuilt_to, counts=run.counts), handle).run()


@dataclass(frozen=True, slots=True)
class _Rebuild:
    """Runs the rebuild once. `job`: its lease; None for a dry run, which takes none and writes nothing."""

    run_read: Run
    progress: Rebuilt
    job: LeaseHandle | None

    def run(self) -> Iterator[Rebuilt]:
        progress = self.progress
        self.run_read(self._begin)
        while not progress.is_finished:
            self.run_read(self._do_batch if progress.done < progress.total else self._finish)
            yield progress

    def _begin(self, client: SorobanClient) -> None:
        with self._without_sync(client) as (client, _):
            self._count(client)

    def _count(self, client: SorobanClient) -> None:
        """Ask the contract how many groups there are: the tables may be wrong about this too."""
        checkpoint = Checkpoint.objects.get()
        newest = client.get_health().latest_ledger
        check_ledger_continuity(checkpoint, client.get_events(checkpoint.contract, limit=1, start_ledger=newest))
        snapshots = read_count(client, checkpoint, checkpoint.ledger)
        if snapshots.instance_entry is None:
            raise NodeLagging("the node does not have the contract")
        self.progress.counted_at = snapshots.instance_ledger
        self.progress.total = snapshots.instance.group_counter if snapshots.instance else checkpoint.group_count
        again = nodes().second_opinion(client, lambda other: read_count(other, checkpoint, checkpoint.ledger))
        # a lower count removes groups: it is not believed of one node alone
        if again.instance and again.instance.group_counter > self.progress.total:
            counted = again.instance.group_counter
            raise NodeLagging(f"the node counts {self.progress.total} groups; a second request says {counted}")

    @contextmanager
    def _without_sync(self, client: SorobanClient) -> Iterator[tuple[SorobanClient, LeaseHandle]]:
        """Hold the sync's lease: no pass begins meanwhile. The client renews it, and the rebuild's own, as it waits."""
        with lease(SyncRun.Kind.SYNC, patience=LEASE_PATIENCE) as handle:
            if self.job is None:  # a dry run's transaction would hold the lease's row, and roll its renewal back
                yield client, handle
                return
            self.job.renew()
            yield client.with_heartbeat(heartbeat(self.progress.counts, handle, self.job)), handle

    def _do_batch(self, client: SorobanClient) -> None:
        progress = self.progress
        with self._without_sync(client) as (client, handle):
            ids = range(progress.done + 1, min(progress.done + progress.size, progress.total) + 1)
            done = self._heal(client, handle, list(ids))
            progress.size = min(2 * len(done), REBUILD_BATCH)  # a slow node gets no more than it answers in time
            progress.done = done[-1]

    def _finish(self, client: SorobanClient) -> None:
        """Count again, since groups made meanwhile are no surplus, and remove the surplus once all groups are done."""
        with self._without_sync(client) as (client, _):
            self._count(client)
            if self.progress.done >= self.progress.total:
                self._remove_surplus(client)
                self.progress.is_finished = True

    def _heal(self, client: SorobanClient, handle: LeaseHandle, ids: list[int]) -> list[int]:
        """Heal these groups, or as many from the first on as can be read in time, and save the position.

        Returns the ids that are done. Raises NodeLagging if not even the first one is.
        """
        checkpoint = Checkpoint.objects.get()  # read now, since entries must be as new as what passes have written
        counts, is_dry = self.progress.counts, self.job is None
        # No transaction waits for the chain, except a dry run's, which is rolled back.
        with transaction.atomic() if is_dry else nullcontext():
            # the lease is renewed before each write: else a pass may have written newer rows
            healed = heal(
                client, checkpoint, ids, counts, force=True, before_write=(lambda: None) if is_dry else handle.renew
            )
            counts.update(healed.history, undecoded=healed.undecoded)
            if is_dry:
                transaction.set_rollback(True)
        done = ids[: healed.done]
        if not done:
            raise NodeLagging("the first group of the batch could not be read in time")
        if not is_dry:
            Checkpoint.objects.update(rebuilt_to=done[-1])
            healed.refresh_cache()
        return done

    def _remove_surplus(self, client: SorobanClient) -> None:
        """Remove groups beyond the contract's count that the chain does not have: the count may be an old one."""
        progress, checkpoint = self.progress, Checkpoint.objects.get()
        beyond = Group.objects.filter(id__gt=progress.total).values_list("id", flat=True)
        absent = GroupReader(client, checkpoint.contract, checkpoint.ledger).read(beyond).absent
        surplus = find_surplus(client, checkpoint, absent)
        surplus = nodes().second_opinion(
            client, lambda other: find_surplus(other, checkpoint, surplus), other_only=bool(surplus)
        )
        progress.counts["groups_removed"] += len(surplus)
        if self.job is None:
            return
        remove_groups(surplus)
        Checkpoint.objects.update(rebuilt_to=0, group_count=progress.total, instance_ledger=progress.counted_at)
