"""The rebuild: from an empty or a wrong database to what the chain says, while readers go on being served.

Groups are read whole and overwritten in batches that commit with the rebuild's own progress. Killed, it goes on where
it committed last. The events that can still be had are applied again afterwards (`sync.restart_history`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import takewhile

from django.db import transaction
from django.db.models import Exists, OuterRef

from ajo import cache
from ajo.soroban.client import Run, SorobanClient
from ajo.soroban.deadline import Deadline
from ajo.soroban.errors import ChainError, NodeLagging
from ajo.soroban.lease import Held, lease
from ajo.soroban.models import Checkpoint, ContractEvent, SyncRun
from contributions.deep_sweep import HISTORY, unproven
from contributions.doubts import refuse_turned_back
from contributions.history import replay
from contributions.recovery import Proof, read_history, write_missing
from groups.models import Group
from groups.readings import GroupReader
from groups.reads import refresh_groups
from groups.sync import write_readings

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
    if checkpoint.refusal:
        raise ChainError(checkpoint.refusal)
    progress = Rebuilt(0 if dry_run else checkpoint.rebuilt_to)

    def count(client: SorobanClient) -> None:
        """The tables may be wrong about this too."""
        checkpoint = Checkpoint.objects.get()
        newest = client.get_health().latest_ledger
        refuse_turned_back(checkpoint, client.get_events(checkpoint.contract, limit=1, start_ledger=newest))
        readings = GroupReader(client, checkpoint.contract, checkpoint.ledger).read([], with_instance=True)
        if readings.instance_entry is None:
            raise NodeLagging("the node does not have the contract")
        progress.counted_at = readings.instance_ledger
        progress.total = readings.instance.group_counter if readings.instance else int(checkpoint.group_count)

    def batch(client: SorobanClient) -> None:
        # no pass of the sync writes newer rows in between; those that are running end soon
        with lease(SyncRun.Kind.SYNC, patience=PATIENCE) as held:
            ids = range(progress.done + 1, min(progress.done + progress.size, progress.total) + 1)
            done = _rebuild(client.ticking(held.renew), held, list(ids), progress, dry_run=dry_run)
            progress.size = min(2 * len(done), BATCH)  # of a slow node no more is asked than it answers in time
            progress.done = done[-1]

    def finish(client: SorobanClient) -> None:
        """Groups that were made while the rebuild was on are no surplus: counted again, with no pass in between."""
        with lease(SyncRun.Kind.SYNC, patience=PATIENCE) as held:
            count(client.ticking(held.renew))
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
    surplus = GroupReader(client, checkpoint.contract, checkpoint.ledger).read(beyond).absent
    progress.add(groups_removed=len(surplus))
    if dry_run:
        return
    with transaction.atomic():
        for model, _ in HISTORY:
            model.objects.filter(group_id__in=surplus).delete()
        Group.objects.filter(id__in=surplus).delete()
        Checkpoint.objects.update(rebuilt_to=0, group_count=progress.total, instance_ledger=progress.counted_at)
    if surplus:
        cache.forget_all()  # nobody can say of a body that its group is none


def _rebuild(client: SorobanClient, held: Held, ids: list[int], progress: Rebuilt, *, dry_run: bool) -> list[int]:
    """Rebuild these groups, or as many of them as can be read in time. Returns those that are done."""
    checkpoint = Checkpoint.objects.get()  # of now: what is read must be as new as what passes have written since
    deadline = Deadline()
    readings = GroupReader(client, checkpoint.contract, checkpoint.ledger, deadline=deadline).read(ids)
    ids = list(takewhile(readings.settled.__contains__, ids))
    if not ids:
        raise NodeLagging("the first group of the batch could not be read in time")
    held.renew()  # else a pass may have written newer rows
    # No transaction waits for the chain; but a dry run's, which writes nothing in the end.
    with transaction.atomic() if dry_run else nullcontext():
        with transaction.atomic():
            before = _shown(ids)
            write_readings(readings, force=True)
            changed = [group_id for group_id, shown in _shown(ids).items() if before.get(group_id) != shown]
        progress.add(groups_changed=len(changed), undecoded=len(readings.undecoded))
        # a group that the node does not have proves nothing, neither does one that cannot be read
        groups = list(Group.objects.filter(id__in=readings.groups.keys() & ids).order_by("id"))
        proofs = read_history(client, checkpoint.contract, groups, progress.counts, again=True, deadline=deadline)
        if len(proofs) < len(groups):
            ids = [group_id for group_id in ids if group_id < groups[len(proofs)].pk]
        held.renew()  # likewise
        with transaction.atomic():
            progress.add(**_put_right(proofs))
            Checkpoint.objects.update(rebuilt_to=ids[-1])
        if dry_run:
            transaction.set_rollback(True)
            return ids
    refresh_groups(ids)
    return ids


def _shown(ids: list[int]) -> dict[int, tuple[object, ...]]:
    """What the rows show, without what only says when they were read."""
    hidden = {"synced_ledger", "synced_at", "changed_at", "revision", "verified_round", "unproven_rows"}
    names = [f.attname for f in Group._meta.concrete_fields if f.attname not in hidden]
    return {row[0]: row for row in Group.objects.filter(id__in=ids).values_list(*names)}


def _put_right(proofs: list[Proof]) -> dict[str, int]:
    """Rows that no entry proves go; what is missing comes from the log, with its time and transaction, else from the
    entries. Returns how many of each.
    """
    ids = [proof.group.pk for proof in proofs]
    removed = _remove_unproven(proofs)  # first: a wrong row may stand in a right one's place
    for model, _ in HISTORY:  # what names an event that our log does not have is told anew, if by any
        theirs = ContractEvent.objects.filter(id=OuterRef("event_id"), group_id=OuterRef("group_id"))
        strangers = model.objects.filter(~Exists(theirs), group_id__in=ids).exclude(event_id=None)
        strangers.update(event_id=None, tx_hash=None, ledger=None, created_at=None)
    left = {name: model.objects.filter(group_id__in=ids).count() for model, name in HISTORY}
    replay(ContractEvent.objects.filter(group_id__in=ids))
    _remove_unproven(proofs)  # the log may be wrong too
    write_missing(proofs)
    Group.objects.filter(id__in=ids).unproven().update(unproven_rows=0)
    counts = {f"{name}_removed": number for name, number in removed.items()}
    for model, name in HISTORY:
        counts[f"{name}_added"] = model.objects.filter(group_id__in=ids).count() - left[name]
    return counts


def _remove_unproven(proofs: list[Proof]) -> dict[str, int]:
    counts = {}
    for model, name in HISTORY:
        wrong = [row.pk for proof in proofs for row in unproven(proof, model)]
        model.objects.filter(pk__in=wrong).delete()
        counts[name] = len(wrong)
    return counts
