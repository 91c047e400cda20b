"""Sweeps deeply: proves columns, members, history, and the event log since the last one, and checks solvency.

A shallow sweep sees neither a contribution that no event announced, which leaves the GROUP entry untouched, nor a row
whose columns contradict its stored entry. A deep sweep reaches every group once a day: some of them beside each
shallow sweep, so that no hour bears the RPC calls of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from django.conf import settings

from ajo.indexer.discrepancies import wrong_events
from ajo.indexer.guards import remove_invented
from ajo.indexer.heal import heal_batch, mark_drifted
from ajo.indexer.jobs import Progress, Selection, SweepJob, run_job
from ajo.indexer.runs import Counts
from ajo.indexer.solvency import check_solvency
from ajo.indexer.verify_events import check_events
from ajo.soroban.contract.keys import code_key
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, ContractEvent, SyncRun
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.client import Run, SorobanClient
from contributions.event_rows import decode_logged, write_log
from groups.tokens import token_batch

DEEP_BATCH = 50  # groups read and committed together
DAY_SECONDS = 86_400
MAX_STRAY_EVENTS = 1000  # events that name no group, which every event of the contract does
DEEP_SWEEP_COUNTS = (
    "calls", "groups", "groups_changed", "drift_state", "drift_metadata", "drift_history", "unproven",
    "events_corrected", "events_disputed", "insolvent_tokens",
)  # fmt: skip


def sweep_deep(
    run_read: Run,
    only: Sequence[int] = (),
    *,
    limit: int | None = None,
    from_start: bool = False,
    deadline: Deadline = NEVER,
) -> Iterator[Progress]:
    """Prove all that the tables have of the groups in `only`, or of the next `limit` groups, or of all that are left.

    Yields after each batch. With `from_start` the groups before the saved position follow. The first batch comes after
    the event log's check, and the token balances' check after the last one. Raises as `run_job` does.
    """
    job = SweepJob(
        kind=SyncRun.Kind.DEEP_SWEEP,
        compare=heal_batch,
        batch_size=DEEP_BATCH,
        position_field="deep_swept_to",
        count_names=DEEP_SWEEP_COUNTS,
        prepare=check_events,
        finalize=partial(_finalize, only, not from_start),
    )
    return run_job(job, run_read, Selection(only, limit=limit, from_start=from_start, deadline=deadline))


def _finalize(
    only: Sequence[int], is_daily: bool, checkpoint: Checkpoint, counts: Counts, client: SorobanClient
) -> None:
    """Check what belongs to no group: events without one, token balances, surplus groups, and the code's archival."""
    strays = list(ContractEvent.objects.filter(group_id=None, is_system=False)[:MAX_STRAY_EVENTS])
    wrong = wrong_events(strays, decode_logged(strays))
    write_log(wrong)
    counts["drift_history"] += len(wrong)
    mark_drifted({row["group_id"] for row in wrong} - {None})
    due = token_batch(checkpoint.balances_swept_to, only, is_daily=is_daily)
    check_solvency(checkpoint, counts, client, due.tokens)
    if due.position is not None:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(balances_swept_to=due.position)
    now = Checkpoint.objects.get(pk=checkpoint.pk)
    counts["drift_state"] += len(remove_invented(client, now, now.group_count))
    if wasm_hash := now.wasm_hash:
        entry = read_entries(client, [key := code_key(wasm_hash)]).found.get(key)
        end = entry.get("liveUntilLedgerSeq") if entry else None
        Checkpoint.objects.filter(pk=checkpoint.pk).update(code_live_until_ledger=end)


def daily_quota() -> int:
    """Return how many groups each deep sweep has to prove, so that a day's sweeps reach all. At least one batch."""
    checkpoint = Checkpoint.objects.current()
    return max(
        DEEP_BATCH, -(-int(checkpoint.group_count if checkpoint else 0) * settings.SWEEP_INTERVAL // DAY_SECONDS)
    )
