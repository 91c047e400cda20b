"""The rebuild: from an empty or a wrong database to what the chain says, while readers go on being served.

Groups are read whole and overwritten in batches that commit with the rebuild's own progress. Killed, it goes on where
it committed last. The events that can still be had are applied again afterwards (`sync.restart_history`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.db import transaction

from ajo.soroban.client import SorobanClient
from ajo.soroban.lease import lease
from ajo.soroban.models import Checkpoint, SyncRun
from contributions.deep_sweep import HISTORY, unproven
from contributions.recovery import Proof, read_history, write_missing
from groups.models import Group
from groups.readings import GroupReader
from groups.reads import refresh_groups
from groups.sync import set_aside, write_groups

BATCH = 50  # groups that are read and committed together
PATIENCE = 60.0  # seconds that a batch waits for the sync's lease: longer than that of a runner that was killed lasts


@dataclass(slots=True)
class Rebuilt:
    """How far it is, and what it changed (or, in a dry run, would)."""

    done: int = 0
    total: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, **numbers: int) -> None:
        for name, number in numbers.items():
            self.counts[name] = self.counts.get(name, 0) + number


Run = Callable[[Callable[[SorobanClient], None]], None]


def rebuild_groups(run_read: Run, *, dry_run: bool = False) -> Iterator[Rebuilt]:
    """Make every group and its history what the entries say, yielding after each batch. Needs a checkpoint."""
    checkpoint = Checkpoint.objects.get()
    progress = Rebuilt(0 if dry_run else checkpoint.rebuilt_to)

    def count(client: SorobanClient) -> None:
        """The tables may be wrong about this too."""
        instance = GroupReader(client, checkpoint.contract, checkpoint.ledger).read([], with_instance=True).instance
        progress.total = instance.group_counter if instance else int(checkpoint.group_count)

    run_read(count)
    while progress.done < progress.total:
        ids = list(range(progress.done + 1, min(progress.done + BATCH, progress.total) + 1))

        def batch(client: SorobanClient, ids: list[int] = ids) -> None:
            # no pass of the sync writes newer rows in between; those that are running end soon
            with lease(SyncRun.Kind.SYNC, patience=PATIENCE):
                _rebuild(client, checkpoint, ids, progress, dry_run=dry_run)

        run_read(batch)
        progress.done = ids[-1]
        yield progress
    surplus = Group.objects.filter(id__gt=progress.total)
    progress.add(groups_removed=surplus.count())
    if not dry_run:
        with transaction.atomic():
            for model, _ in HISTORY:
                model.objects.filter(group_id__gt=progress.total).delete()
            surplus.delete()
            Checkpoint.objects.filter(pk=checkpoint.pk).update(rebuilt_to=0, group_count=progress.total)
    yield progress


def _rebuild(
    client: SorobanClient, checkpoint: Checkpoint, ids: list[int], progress: Rebuilt, *, dry_run: bool
) -> None:
    readings = GroupReader(client, checkpoint.contract, checkpoint.ledger).read(ids)
    with transaction.atomic():
        before = _shown(ids)
        write_groups(readings.groups, force=True)
        set_aside(readings.undecoded)
        changed = [group_id for group_id, shown in _shown(ids).items() if before.get(group_id) != shown]
        progress.add(groups_changed=len(changed), undecoded=len(readings.undecoded))
        # Entries of history are read inside the transaction: the rows that say which of them to ask for are new here.
        # Nobody waits for these locks but a reader of the very same group from the chain.
        groups = list(Group.objects.filter(id__in=ids).order_by("id"))
        proofs = read_history(client, checkpoint.contract, groups, progress.counts, again=True)
        progress.add(**{f"{name}_added": number for name, number in write_missing(proofs).items()})
        progress.add(**_remove_unproven(proofs))
        if dry_run:
            transaction.set_rollback(True)
            return
        Checkpoint.objects.filter(pk=checkpoint.pk).update(rebuilt_to=ids[-1])
    refresh_groups(ids)


def _shown(ids: list[int]) -> dict[int, tuple[object, ...]]:
    """What the rows show, without what only says when they were read."""
    hidden = {"synced_ledger", "synced_at", "changed_at", "revision", "verified_round"}
    names = [f.attname for f in Group._meta.concrete_fields if f.attname not in hidden]
    return {row[0]: row for row in Group.objects.filter(id__in=ids).values_list(*names)}


def _remove_unproven(proofs: list[Proof]) -> dict[str, int]:
    """Rows that no entry proves are no payments: they go."""
    counts = {}
    for model, name in HISTORY:
        wrong = [pk for proof in proofs for pk in unproven(proof, model, name)]
        model.objects.filter(pk__in=wrong).delete()
        counts[f"{name}_removed"] = len(wrong)
    return counts
