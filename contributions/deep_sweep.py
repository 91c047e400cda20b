"""The deep sweep: every group's history entries too, and whether the contract is solvent.

A shallow sweep cannot see a contribution that no event told, for it leaves the GROUP entry untouched. Once a day every
group is looked at: a share of them beside each shallow sweep, so that no hour bears the RPC calls of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.conf import settings

from ajo.soroban.client import SorobanClient
from ajo.soroban.models import Checkpoint, SyncRun
from contributions.models import Contribution, HistoryRow, Payout, Refund
from contributions.recovery import Proof, read_history, write_missing
from contributions.solvency import check_solvency
from contributions.sweep import Counts, Progress, Run, sweep
from groups.models import Group
from groups.readings import GroupReader
from groups.reads import refresh_groups
from groups.sync import write_readings

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


def sweep_deep(run_read: Run, only: Sequence[int] = (), most: int | None = None) -> Iterator[Progress]:
    """Compare all entries of all groups, of `only` some, or of the next `most` with the tables.

    Yields after each batch.
    """
    kind = SyncRun.Kind.DEEP_SWEEP
    return sweep(run_read, _compare, COUNTS, kind, only=only, size=BATCH, position="deep_swept_to", most=most)


def share() -> int:
    """The groups that each sweep has to look at deeply, so that a day sees them all."""
    checkpoint = Checkpoint.objects.current()
    return max(BATCH, -(-int(checkpoint.group_count if checkpoint else 0) * settings.SWEEP_INTERVAL // DAY))


def _compare(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> None:
    readings = GroupReader(client, checkpoint.contract, checkpoint.ledger).read(ids)
    counts["calls"] += readings.calls
    before = {pk: xdrs for pk, *xdrs in Group.objects.filter(id__in=ids).values_list("pk", "entry_xdr", "metadata_xdr")}
    changed = write_readings(readings)
    # what changed after the events that we have read is news, not drift: its event is still to come
    reached = Checkpoint.objects.values_list("ledger", flat=True).get(pk=checkpoint.pk)
    for group_id in changed & readings.groups.keys():
        reading = readings.groups[group_id]
        entry, text = before.get(group_id, ("", ""))
        if reading.group_xdr == entry and reading.metadata_xdr != text:
            counts["drift_metadata"] += 1
        elif reading.modified_ledger <= reached:
            counts["drift_state"] += 1
    refresh_groups(changed)
    groups = list(Group.objects.filter(id__in=ids, unreadable_since=None).order_by("id"))
    proofs = read_history(client, checkpoint.contract, groups, counts)
    counts["drift_history"] += sum(write_missing(proofs, up_to=reached).values())
    counts["unproven"] += sum(len(unproven(proof, model, name)) for proof in proofs for model, name in HISTORY)
    if checkpoint.group_count in ids:
        check_solvency(client, checkpoint, counts)  # with the last group


def unproven(proof: Proof, model: type[HistoryRow], name: str) -> list[int]:
    """Rows that should have an entry on the chain and have none, or another amount; younger ones stay."""
    proven = getattr(proof, name)
    rows = model.objects.filter(group_id=proof.group.pk).select_related("user")
    if model is Contribution:
        rows = rows.filter(round__gte=proof.from_round)
    return [
        row.pk
        for row in rows
        if (
            (row.round, row.user.wallet_address) not in proven
            or (model is Contribution and row.amount != proof.group.contribution_amount)
        )
        and (row.ledger is None or row.ledger <= proof.ledger)
    ]
