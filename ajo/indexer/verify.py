"""Sweeps the groups: compares every group's GROUP and METADATA entries, 200 keys a call, with what is stored.

An entry that equals the stored XDR is not decoded. A group whose entries differ is read whole and written, never over a
newer row; if no event has announced the difference, or will, it is drift, and counted. A sweep of named groups proves
everything that the tables have of them: see `heal`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from django.conf import settings
from django.db import transaction

from ajo.database.prepared import Prepared
from ajo.indexer.guards import check_not_all_absent
from ajo.indexer.heal import count_drift, heal_batch, mark_drifted
from ajo.indexer.jobs import Compared, Progress, Selection, SweepJob, run_job
from ajo.indexer.runs import Counts
from ajo.soroban.contract.keys import GroupKey, MetadataKey, numbered_keys
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.plausibility import check_possible_ledger
from ajo.soroban.rpc.answers import LedgerEntry, earliest_live_until
from ajo.soroban.rpc.client import MAX_KEYS, Run, SorobanClient
from ajo.soroban.rpc.errors import RpcLimitExceeded
from groups.bodies import SYNCED
from groups.cached import refresh_groups
from groups.creation import read_groups
from groups.models import Group
from groups.sync import write_snapshots
from groups.tokens import is_native, read_tokens, save_tokens, token_batch

logger = logging.getLogger(__name__)

COMPARE_BATCH = MAX_KEYS // 2  # groups a call: both keys of one group are read at one ledger
HEAL_BATCH = 50  # groups that are proved together
STORED_ENTRIES = Prepared(
    f"SELECT g.id, g.live_until_ledger, {SYNCED}, g.entry_xdr, g.metadata_xdr FROM groups_group g"  # noqa: S608  # our own words
    " WHERE g.id = ANY($1::bigint[])"
)
SWEEP_COUNTS = ("calls", "groups", "groups_changed", "drift_state", "drift_metadata", "tokens_changed")
NAMED_COUNTS = ("drift_history", "unproven")  # and these of groups that are named


def sweep_groups(
    run_read: Run, only: Sequence[int] = (), *, from_start: bool = False, deadline: Deadline = NEVER
) -> Iterator[Progress]:
    """Compare all groups with the chain, or prove all that the tables have of the groups in `only`.

    Yields after each batch. A sweep of all groups begins after the position at which the last one was killed or reached
    its deadline; with `from_start` it does the groups up to that position afterwards. Raises as `run_job` does.
    """
    job = SweepJob(
        kind=SyncRun.Kind.SWEEP,
        compare=heal_batch if only else _compare,
        batch_size=HEAL_BATCH if only else COMPARE_BATCH,
        position_field="swept_to",
        count_names=(*SWEEP_COUNTS, *NAMED_COUNTS) if only else SWEEP_COUNTS,
        finalize=partial(_read_tokens, only, not from_start),
    )
    return run_job(job, run_read, Selection(only, from_start=from_start, deadline=deadline))


# The columns of STORED_ENTRIES. Plain tuples: a sweep of unchanged groups takes some microseconds a group.
_Row = tuple[int, int | None, int, str | None, str]
_NO_ROW: _Row = (0, None, 0, None, "")  # stands for a group without a row
_Pairs = dict[int, tuple[LedgerEntry, LedgerEntry | None]]  # GROUP and METADATA entries by the group's id


def _compare(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> Compared:
    """Compare the entries of these groups with the stored ones, and write those that differ."""
    ledger, pairs, stored = _read_both(checkpoint, ids, counts, client)
    check_not_all_absent(checkpoint.group_count, ids, [pk for pk in ids if pk not in pairs])
    differing, extended = _differences(pairs, stored)
    if extended:
        _write_live_until(extended, ledger)
    if not differing:
        return Compared(len(ids))
    snapshots = read_groups(client, checkpoint.contract, ledger, differing, deadline=Deadline())
    changed = write_snapshots(snapshots)
    refresh_groups(changed)
    counts["groups_changed"] += len(changed)
    mark_drifted({pk for pk in changed if _count_drift_of(pairs[pk], stored.get(pk, _NO_ROW), checkpoint, counts)})
    left = set(differing) - snapshots.settled
    return Compared(min(map(ids.index, left), default=len(ids)))


def _count_drift_of(
    pair: tuple[LedgerEntry, LedgerEntry | None], row: _Row, checkpoint: Checkpoint, counts: Counts
) -> bool:
    """Count the drift of a group, by its entries and the row that it had. Returns whether it drifted."""
    *_, group_xdr, metadata_xdr = row
    group, metadata = pair
    if group_xdr == "":  # an undecodable entry was not wrong, and is no drift
        return False
    is_due = group["lastModifiedLedgerSeq"] <= checkpoint.ledger
    is_renamed = metadata_xdr != (metadata["xdr"] if metadata else "")
    return count_drift(counts, state=group_xdr != group["xdr"] and is_due, text=is_renamed)


def _read_both(
    checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient
) -> tuple[int, _Pairs, dict[int, _Row]]:
    """Read these groups' entries while PostgreSQL reads their rows. Returns the entries' ledger, entries, and rows.

    Groups that the node does not have, or that have no row, are left out. A row that is written meanwhile is not
    overwritten: `write_snapshots` compares ledgers.
    """
    with STORED_ENTRIES.execute_async(f"{{{','.join(map(str, ids))}}}") as rows:
        group_keys, metadata_keys = (numbered_keys(kind, checkpoint.contract, ids) for kind in (GroupKey, MetadataKey))
        at_least = checkpoint.chain_ledger - settings.RPC_MAX_LAG
        # no heartbeat, but a count: renewing the lease would ask PostgreSQL, whose connection is busy
        read = client.with_heartbeat(None).get_entries
        answer = read(group_keys + metadata_keys, at_least=at_least, only_compared=True)
        stored = {row[0]: row for row in rows()}
    check_possible_ledger(client, answer.ledger, checkpoint.chain_ledger)
    counts["calls"] += 1
    entry_of = answer.found.get
    keys = zip(ids, group_keys, metadata_keys, strict=True)
    pairs = {pk: (group, entry_of(metadata_key)) for pk, key, metadata_key in keys if (group := entry_of(key))}
    return answer.ledger, pairs, stored


def _differences(pairs: _Pairs, stored: Mapping[int, _Row]) -> tuple[list[int], dict[int, int | None]]:
    """Return the ids of groups to read anew, and of the others those whose entries' life changed, with its new end.

    Ledger 0 marks a row that has to be read anew in any case.
    """
    differing: list[int] = []
    extended: dict[int, int | None] = {}
    for pk, (group, metadata) in pairs.items():
        _, live_until, synced_ledger, group_xdr, metadata_xdr = stored.get(pk, _NO_ROW)
        if group_xdr != group["xdr"] or metadata_xdr != (metadata["xdr"] if metadata else "") or synced_ledger == 0:
            differing.append(pk)
            continue
        end = group.get("liveUntilLedgerSeq")
        if metadata:
            end = earliest_live_until(end, metadata.get("liveUntilLedgerSeq"))
        if live_until != end:
            extended[pk] = end
    return differing, extended


def _read_tokens(
    only: Sequence[int], is_daily: bool, checkpoint: Checkpoint, counts: Counts, client: SorobanClient
) -> None:
    """Read anew what tokens say of themselves: a token may be made, or change its symbol, after its first group.

    Logs and passes over tokens whose answers exceed the RPC's limit.
    """
    due = token_batch(checkpoint.tokens_swept_to, only, is_daily=is_daily)
    tokens = [token for token in due.tokens if not is_native(token.address)]
    try:
        counts["tokens_changed"] += save_tokens(read_tokens(client, checkpoint.ledger, tokens))
    except RpcLimitExceeded as failure:  # a token's maker decides what it answers; it must not end the round
        logger.warning("tokens: %s", failure)
    if due.position is not None:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(tokens_swept_to=due.position)


def _write_live_until(ends: Mapping[int, int | None], ledger: int) -> None:
    """Write when these groups' first entries are archived, by group id, never over a row that is newer than `ledger`.

    Rows are locked in id order, as every writer of groups does it, so that no two writers deadlock.
    """
    with transaction.atomic():
        current = Group.objects.filter(id__in=ends, synced_ledger__lte=ledger).order_by("id").only("pk")
        rows = [Group(id=group.pk, live_until_ledger=ends[group.pk]) for group in current.select_for_update()]
        Group.objects.bulk_update(rows, ["live_until_ledger"])
