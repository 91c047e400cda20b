"""The deep sweep: every group's history entries too, and whether the contract is solvent.

A shallow sweep cannot see a contribution that no event told, for it leaves the GROUP entry untouched. Once a day every
group is looked at: a share of them beside each shallow sweep, so that no hour bears the RPC calls of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile

from django.conf import settings

from ajo.soroban.binding.keys import code_key
from ajo.soroban.client import Run, SorobanClient
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun
from contributions.models import Contribution, HistoryRow, Payout, Refund
from contributions.recovery import Proof, read_history, write_missing
from contributions.solvency import check_solvency
from contributions.sweep import Counts, Progress, note_drift, sweep
from groups.models import Group
from groups.readings import GroupReader
from groups.reads import refresh_groups
from groups.sync import write_readings
from groups.tokens import due_tokens

BATCH = 50  # groups read and committed together
DAY = 86_400  # seconds
HISTORY: tuple[tuple[type[HistoryRow], str], ...] = (
    (Contribution, "contributions"),
    (Payout, "payouts"),
    (Refund, "refunds"),
)
COUNTS = (
    "calls", "groups", "drift_state", "drift_metadata", "drift_history", "unproven", "insolvent_tokens",
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
        at_the_end=partial(_at_the_end, only, not from_start),
    )


def _at_the_end(
    only: Sequence[int], is_share: bool, checkpoint: Checkpoint, counts: Counts, client: SorobanClient
) -> None:
    due = due_tokens(checkpoint.balances_swept_to, only, is_share=is_share)
    check_solvency(checkpoint, counts, client, due.tokens)
    if due.position is not None:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(balances_swept_to=due.position)
    if wasm_hash := Checkpoint.objects.get(pk=checkpoint.pk).wasm_hash:
        counts["calls"] += 1
        entry = client.get_entries([key := code_key(wasm_hash)]).found.get(key)
        end = entry.get("liveUntilLedgerSeq") if entry else None
        Checkpoint.objects.filter(pk=checkpoint.pk).update(code_live_until_ledger=end)


def share() -> int:
    """The groups that each sweep has to look at deeply, so that a day sees them all."""
    checkpoint = Checkpoint.objects.current()
    return max(BATCH, -(-int(checkpoint.group_count if checkpoint else 0) * settings.SWEEP_INTERVAL // DAY))


def _compare(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> int:
    reached = Checkpoint.objects.values_list("ledger", flat=True).get(pk=checkpoint.pk)
    rows = Group.objects.filter(id__in=ids).values_list(
        "pk", "metadata_xdr", "entry_xdr", "contributions_received", "refund_request__entry_xdr"
    )
    before = {pk: (text, state) for pk, text, *state in rows}
    deadline = Deadline()
    readings = GroupReader(client, checkpoint.contract, reached, deadline=deadline).read(ids)
    counts["calls"] += readings.calls
    changed = write_readings(readings)
    for group_id in changed & readings.groups.keys():
        reading = readings.groups[group_id]
        text, old = before.get(group_id, ("", [None, 0, None]))
        new = [reading.group_xdr, len(reading.paid), reading.refund_request_xdr or None]
        if old[0] != "":
            is_due = reading.modified_ledger <= reached
            note_drift(counts, state=new != old and is_due, text=reading.metadata_xdr != text)
    refresh_groups(changed)
    done = list(takewhile(readings.settled.__contains__, ids))
    groups = list(Group.objects.filter(id__in=done, unreadable_since=None).order_by("id"))
    proofs = read_history(client, checkpoint.contract, groups, counts, deadline=deadline)
    _compare_history(proofs, reached, counts)
    return done.index(groups[len(proofs)].pk) if len(proofs) < len(groups) else len(done)


def _compare_history(proofs: Sequence[Proof], reached: int, counts: Counts) -> None:
    """Write what the entries prove and no row shows, and count the rows that they do not prove."""
    # what a gap swallowed and nobody has recovered yet is none
    gap = HistoryGap.objects.filter(recovered_at=None).order_by("recovered_to").first()
    swallowed = [proof for proof in proofs if gap and proof.group.pk > gap.recovered_to]
    write_missing(swallowed, up_to=reached)
    told = [proof for proof in proofs if proof not in swallowed]
    counts["drift_history"] += sum(write_missing(told, up_to=reached).values())
    for proof in proofs:
        wrong = [row for model, _ in HISTORY for row in unproven(proof, model)]
        # younger ones may be proven by now
        until = min(proof.ledger, proof.group.synced_ledger)
        found = sum(row.ledger is None or row.ledger <= until for row in wrong)
        counts["unproven"] += found
        if found != proof.group.unproven_rows:
            Group.objects.filter(pk=proof.group.pk).update(unproven_rows=found)


def unproven(proof: Proof, model: type[HistoryRow]) -> list[HistoryRow]:
    """Rows of which the entries say something else, or nothing at all."""
    rows = model.objects.filter(group_id=proof.group.pk).select_related("user")
    return [row for row in rows if not proof.says(row)]
