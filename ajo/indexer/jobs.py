"""Runs a job over groups: the lease, the SyncRun, the position that a killed job resumes at, batches and drift.

The shallow and the deep sweep are such jobs. A rebuild holds the sync's lease for each batch, and is driven by
`rebuild`; it shares the lease and the SyncRun (`runs.record_run`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db.models import F
from structlog.contextvars import bind_contextvars

from ajo.indexer.lease import LeaseHandle, Superseded
from ajo.indexer.runs import Counts, heartbeat, record_run
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.rpc.client import Run, SorobanClient, in_halves
from ajo.soroban.rpc.errors import ChainError, NodeLagging

SAVE_INTERVAL = 1.0  # seconds between two writes of the position; a killed job does again what came after the last


@dataclass(frozen=True, slots=True)
class Compared:
    """Reports how many groups of a batch were compared in time, from the first on, and the ids that the chain lacks."""

    done: int
    absent: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Progress:
    """Reports how many groups of the total are compared. `absent`: ids of the last batch that the chain lacks.

    `run`: the primary key of the SyncRun, whose counts are written when it ends.
    """

    run: int
    done: int
    total: int
    absent: frozenset[int] = frozenset()


Compare = Callable[[Checkpoint, Sequence[int], Counts, SorobanClient], Compared]
Step = Callable[[Checkpoint, Counts, SorobanClient], None]


@dataclass(frozen=True, slots=True)
class SweepJob:
    """Describes a job that compares groups with the chain.

    `batch_size`: the most groups that one call of `compare` gets. `position_field`: the Checkpoint column that keeps
    how far the job has come, by group id; 0 once all are done. `count_names`: the SyncRun's counts, which begin at 0.
    `prepare` runs before the first batch, `finalize` after the last one; both may run again with another node.
    """

    kind: SyncRun.Kind
    compare: Compare
    batch_size: int
    position_field: str
    count_names: Sequence[str]
    prepare: Step | None = None
    finalize: Step | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects the groups of one run: the named ones in `only`, or those after the saved position.

    `limit`: the most groups of those after the position; None: all. `from_start`: afterwards the groups up to the
    position too. The run ends after the batch during which `deadline` passes.
    """

    only: Sequence[int] = ()
    limit: int | None = None
    from_start: bool = False
    deadline: Deadline = NEVER


def run_job(job: SweepJob, run_read: Run, selection: Selection) -> Iterator[Progress]:
    """Run `job` over the selected groups as one SyncRun, yielding after each batch.

    Drift is added to the checkpoint's totals as soon as a batch ends, even where a node failed in its middle. Raises
    Superseded before the first sync has filled the tables, or if another runner has the job's lease; ChainError if the
    sync is halted, or no node answers.
    """
    checkpoint = Checkpoint.objects.current()
    if checkpoint is None or not checkpoint.is_loaded:
        raise Superseded("the tables are not filled yet: the sync does that")
    with record_run(job.kind) as (run, handle):
        if checkpoint.halt_reason:
            raise ChainError(checkpoint.halt_reason)
        bind_contextvars(ledger=checkpoint.ledger)
        run.counts = Counts(dict.fromkeys(job.count_names, 0))
        run.ledger = checkpoint.ledger
        execution = _Execution(job, run_read, checkpoint, run.pk, run.counts, handle)
        execution.run_step(job.prepare)
        yield from execution.run_batches(selection)
        execution.run_step(job.finalize)


@dataclass(slots=True)
class _Queue:
    """Holds the groups that are left to do. A slow node gets at most twice as many at once as it did in time."""

    parts: list[Sequence[int]]
    max_size: int
    size: int

    @classmethod
    def of(cls, selection: Selection, begin: int, last: int, max_size: int) -> _Queue:
        """Queue the selected groups, of ids up to `last`, with `begin` as the saved position."""
        parts: list[Sequence[int]] = [sorted(set(selection.only)) or range(begin + 1, last + 1)[: selection.limit]]
        if selection.from_start and not selection.only:  # a range, not a list: the count is the chain's word
            parts.append(range(1, begin + 1))
        return cls([part for part in parts if part], max_size, max_size)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def next_batch(self) -> Sequence[int]:
        return self.parts[0][: self.size]

    def remove(self, number: int) -> None:
        """Take the first `number` groups out: they are done."""
        self.size = min(2 * number, self.max_size)
        self.parts[0] = self.parts[0][number:]
        if not self.parts[0]:
            del self.parts[0]


@dataclass(frozen=True, slots=True)
class _Execution:
    """Runs a job once, under its lease."""

    job: SweepJob
    run_read: Run
    checkpoint: Checkpoint
    run: int
    counts: Counts
    handle: LeaseHandle

    def run_step(self, step: Step | None) -> None:
        if step:
            with self._adding_drift():
                self.run_read(lambda client: step(self.checkpoint, self.counts, self._watched(client)))

    def run_batches(self, selection: Selection) -> Iterator[Progress]:
        """Compare the groups in batches. The position of a run of all groups is saved as it goes on, and at its end."""
        is_named = bool(selection.only)
        begin = 0 if is_named else getattr(self.checkpoint, self.job.position_field)
        queue = _Queue.of(selection, begin, self.checkpoint.group_count, self.job.batch_size)
        done = 0 if selection.from_start else begin
        total, saved_at = done + len(queue), -SAVE_INTERVAL
        while queue:
            self.handle.renew()
            batch = queue.next_batch()
            compared = self._compare(batch)
            queue.remove(compared.done)
            done += compared.done
            self.counts["groups"] += compared.done - len(compared.absent)
            if not is_named and time.monotonic() - saved_at >= SAVE_INTERVAL:
                self._update(**{self.job.position_field: batch[compared.done - 1]})
                saved_at = time.monotonic()
            yield Progress(self.run, done, total, frozenset(compared.absent))
            if selection.deadline.is_past():
                break
        if not is_named:
            self._update(**{self.job.position_field: done if done < self.checkpoint.group_count else 0})

    def _compare(self, ids: Sequence[int]) -> Compared:
        """Compare some groups with the first node that manages it."""
        results: list[Compared] = []
        with self._adding_drift():
            self.run_read(lambda client: results.append(self._compare_with(client, ids)))
        return results[-1]

    @contextmanager
    def _adding_drift(self) -> Iterator[None]:
        """Add the drift that the block counts to the checkpoint's totals."""
        before = self.counts.copy()
        try:
            yield
        finally:  # groups that were healed before a node failed had drifted all the same
            drift = {
                name: F(name) + number - before[name]
                for name, number in self.counts.items()
                if name.startswith("drift") and number > before[name]
            }
            if drift:
                self._update(**drift)

    def _compare_with(self, client: SorobanClient, ids: Sequence[int]) -> Compared:
        """Compare some groups with one node, which gets half of them where it gives up on so many.

        Raises NodeLagging if it did not do even the first one in time.
        """
        client = self._watched(client)
        done, absent = 0, set[int]()
        for part, compared in in_halves(lambda part: self.job.compare(self.checkpoint, part, self.counts, client), ids):
            done += compared.done
            absent |= compared.absent
            if compared.done < len(part):
                break
        if not done:
            raise NodeLagging(f"group {ids[0]} could not be read in time")
        return Compared(done, absent)

    def _watched(self, client: SorobanClient) -> SorobanClient:
        return client.with_heartbeat(heartbeat(self.counts, self.handle))

    def _update(self, **values: object) -> None:
        Checkpoint.objects.filter(pk=self.checkpoint.pk).update(**values)
