"""The deep sweep: columns, members, history and the events since the last one too, and whether the contract is solvent.

A shallow sweep sees neither a contribution that no event told, for it leaves the GROUP entry untouched, nor a row that
says something else than its stored entry. Once a day every group is looked at: a share of them beside each shallow
sweep, so that no hour bears the RPC calls of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from django.conf import settings

from ajo.indexer.discrepancies import correct_events, wrong_events
from ajo.indexer.guards import remove_invented
from ajo.indexer.heal import Counts, heal
from ajo.indexer.solvency import check_solvency
from ajo.indexer.verify import Compared, Progress, sweep
from ajo.indexer.verify_events import check_events
from ajo.soroban.contract.keys import code_key
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, ContractEvent, SyncRun
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.client import Run, SorobanClient
from contributions.event_rows import decode_events, raw_event
from groups.tokens import token_batch

BATCH = 50  # groups read and committed together
DAY = 86_400  # seconds
STRAYS = 1000  # events that name no group: of the contract's own each does
COUNTS = (
    "calls", "groups", "drift_state", "drift_metadata", "drift_history", "unproven", "events_corrected",
    "events_disputed", "insolvent_tokens",
)  # fmt: skip


def sweep_deep(
    run_read: Run,
    only: Sequence[int] = (),
    *,
    most: int | None = None,
    from_start: bool = False,
    deadline: Deadline = NEVER,
) -> Iterator[Progress]:
    """Compare all entries of `only` some groups, or of the next `most`, or of all that are left, with the tables.

    `from_start`: then of those before them too. Yields after each batch.
    """
    return sweep(
        run_read,
        _compare,
        COUNTS,
        SyncRun.Kind.DEEP_SWEEP,
        only=only,
        size=BATCH,
        position="deep_swept_to",
        most=most,
        from_start=from_start,
        deadline=deadline,
        at_the_start=check_events,
        finalize=partial(_finalize, only, not from_start),
    )


def _finalize(
    only: Sequence[int], is_share: bool, checkpoint: Checkpoint, counts: Counts, client: SorobanClient
) -> None:
    strays = list(ContractEvent.objects.filter(group_id=None, is_system=False)[:STRAYS])
    wrong = wrong_events(strays, decode_events(map(raw_event, strays)))
    correct_events(wrong)
    counts["drift_history"] += len(wrong)
    due = token_batch(checkpoint.balances_swept_to, only, is_share=is_share)
    check_solvency(checkpoint, counts, client, due.tokens)
    if due.position is not None:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(balances_swept_to=due.position)
    now = Checkpoint.objects.get(pk=checkpoint.pk)
    counts["drift_state"] += len(remove_invented(client, now, int(now.group_count), counts))
    if wasm_hash := now.wasm_hash:
        counts["calls"] += 1
        entry = read_entries(client, [key := code_key(wasm_hash)]).found.get(key)
        end = entry.get("liveUntilLedgerSeq") if entry else None
        Checkpoint.objects.filter(pk=checkpoint.pk).update(code_live_until_ledger=end)


def daily_quota() -> int:
    """The groups that each sweep has to look at deeply, so that a day sees them all."""
    checkpoint = Checkpoint.objects.current()
    return max(BATCH, -(-int(checkpoint.group_count if checkpoint else 0) * settings.SWEEP_INTERVAL // DAY))


def _compare(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> Compared:
    healed = heal(client, checkpoint, ids, counts)
    healed.show()
    return Compared(healed.done, healed.absent)
