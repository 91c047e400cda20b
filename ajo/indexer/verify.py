"""The sweep: every group's GROUP and METADATA entries, 200 keys a call, compared with what is stored.

What equals the stored XDR is not decoded. What differs is read whole and written, never over a newer row; if no event
has announced it, or will, it is drift, and counted. Of groups that are named everything is proved: see `healing`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F
from structlog.contextvars import bind_contextvars

from ajo.database.prepared import Prepared
from ajo.indexer.guards import refuse_all_absent
from ajo.indexer.heal import Counts, count_drift, heal
from ajo.indexer.lease import LeaseHandle, Superseded
from ajo.indexer.runs import record_run
from ajo.soroban.contract.keys import GroupKey, MetadataKey, numbered_keys
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.plausibility import refuse_ahead
from ajo.soroban.rpc.client import MAX_KEYS, Run, SorobanClient, earliest_live_until, in_halves
from ajo.soroban.rpc.errors import ChainError, NodeLagging, RpcLimitExceeded
from groups.bodies import SYNCED
from groups.cached import refresh_groups
from groups.creation import read_groups
from groups.models import Group
from groups.sync import write_snapshots
from groups.tokens import is_native, read_tokens, save_tokens, token_batch

log = logging.getLogger(__name__)

BATCH = MAX_KEYS // 2  # groups a call: all keys of one group are read at one ledger
HEALED_AT_ONCE = 50  # groups that are proved together
STORED = Prepared(
    f"SELECT g.id, g.live_until_ledger, {SYNCED}, g.entry_xdr, g.metadata_xdr FROM groups_group g"  # noqa: S608  # our own words
    " WHERE g.id = ANY($1::bigint[])"
)
NOTHING = (None, None, 0, None, "")  # of a group without a row
SAVE_AFTER = 1.0  # seconds; what a sweep that was killed did since is done again
COUNTS = ("calls", "groups", "groups_changed", "drift_state", "drift_metadata", "tokens_changed")

HEALED = (*COUNTS, "drift_history", "unproven")


@dataclass(frozen=True, slots=True)
class Compared:
    """How many groups of a batch, from its first on, were compared in time, and which of them are not on the chain."""

    done: int
    absent: set[int] = field(default_factory=set)


Compare = Callable[[Checkpoint, Sequence[int], Counts, SorobanClient], Compared]


@dataclass(frozen=True, slots=True)
class Progress:
    """Groups that were compared, of how many. `absent`: those of the last batch that the chain does not have."""

    done: int
    total: int
    absent: frozenset[int] = frozenset()


def sweep_groups(
    run_read: Run, only: Sequence[int] = (), *, from_start: bool = False, deadline: Deadline = NEVER
) -> Iterator[Progress]:
    """Compare all groups with the chain, or prove all that the tables have of `only` some, yielding after each batch.

    Killed, or at its deadline, the next one goes on; `from_start`, and then does those before them too.
    """
    return sweep(
        run_read,
        _heal if only else _compare,
        HEALED if only else COUNTS,
        SyncRun.Kind.SWEEP,
        only=only,
        size=HEALED_AT_ONCE if only else BATCH,
        position="swept_to",
        from_start=from_start,
        deadline=deadline,
        finalize=partial(_read_tokens, only, not from_start),
    )


def sweep(
    run_read: Run,
    compare: Compare,
    names: Sequence[str],
    kind: SyncRun.Kind,
    *,
    only: Sequence[int],
    size: int,
    position: str,
    most: int | None = None,
    from_start: bool = False,
    deadline: Deadline = NEVER,
    at_the_start: Callable[[Checkpoint, Counts, SorobanClient], None] | None = None,
    finalize: Callable[[Checkpoint, Counts, SorobanClient], None] | None = None,
) -> Iterator[Progress]:
    """Run `compare` over groups in batches, recorded as one SyncRun with these counts; what is drift is added up.

    `position` is the checkpoint's field that keeps how far a sweep of all groups has come, of which this one does
    `most` groups, or all that are left; `from_start`, and then those before them.
    """
    checkpoint = Checkpoint.objects.current()
    if checkpoint is None or not checkpoint.is_loaded:
        raise Superseded("the tables are not filled yet: the sync does that")
    with record_run(kind) as (run, handle):
        if checkpoint.halt_reason:
            raise ChainError(checkpoint.halt_reason)
        bind_contextvars(ledger=checkpoint.ledger)
        here = Checkpoint.objects.filter(pk=checkpoint.pk)
        counts = run.counts = dict.fromkeys(names, 0)
        run.ledger = checkpoint.ledger
        if at_the_start:
            run_read(lambda client: at_the_start(checkpoint, counts, client.with_heartbeat(handle.renew)))
        begin = 0 if only else getattr(checkpoint, position)
        parts: list[Sequence[int]] = [sorted(set(only)) or range(begin + 1, checkpoint.group_count + 1)[:most]]
        if from_start and not only:  # no list of all: the count is the chain's
            parts, begin = [*parts, range(1, begin + 1)], 0
        done, total = begin, sum(map(len, parts)) + begin
        saved, at_once = -SAVE_AFTER, size
        while parts := [part for part in parts if part]:
            handle.renew()
            batch, before = parts[0][:at_once], dict(counts)
            found: list[Compared] = []
            try:
                run_read(partial(_compared, compare, checkpoint, counts, batch, handle, found))
            finally:  # what was healed before a node failed was drift all the same
                more = {name: number - before[name] for name, number in counts.items() if name.startswith("drift")}
                if any(more.values()):
                    here.update(**{name: F(name) + number for name, number in more.items()})
            number, absent = found[-1].done, found[-1].absent
            at_once = min(2 * number, size)  # of a slow node no more is asked than it answers in time
            parts[0] = parts[0][number:]
            done += number
            counts["groups"] += number - len(absent)
            if not only and time.monotonic() - saved >= SAVE_AFTER:
                here.update(**{position: batch[number - 1]})
                saved = time.monotonic()
            yield Progress(done, total, frozenset(absent))
            if deadline.is_past():
                break
        if not only:
            here.update(**{position: done if done < checkpoint.group_count else 0})
        if finalize:
            run_read(lambda client: finalize(checkpoint, counts, client.with_heartbeat(handle.renew)))


def _compared(
    compare: Compare,
    checkpoint: Checkpoint,
    counts: Counts,
    ids: Sequence[int],
    handle: LeaseHandle,
    found: list[Compared],
    client: SorobanClient,
) -> None:
    """Append to `found` what was compared of these groups."""
    ours = client.with_heartbeat(handle.renew)
    done, absent = 0, set[int]()
    for some, compared in in_halves(lambda some: compare(checkpoint, some, counts, ours), ids):
        done += compared.done
        absent |= compared.absent
        if compared.done < len(some):
            break
    if not done:
        raise NodeLagging(f"group {ids[0]} could not be read in time")
    found.append(Compared(done, absent))


def _heal(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> Compared:
    healed = heal(client, checkpoint, ids, counts)
    healed.show()
    counts["groups_changed"] += len(healed.changed)
    return Compared(healed.done, healed.absent)


def _compare(checkpoint: Checkpoint, ids: Sequence[int], counts: Counts, client: SorobanClient) -> Compared:
    # A row that is written meanwhile is read again below, and not written over.
    with STORED.execute_async(f"{{{','.join(map(str, ids))}}}") as rows:
        entry_keys, text_keys = (numbered_keys(kind, checkpoint.contract, ids) for kind in (GroupKey, MetadataKey))
        at_least = checkpoint.chain_ledger - settings.RPC_MAX_LAG
        # no tick: what renews the lease would ask PostgreSQL, too
        answer = client.with_heartbeat(None).get_entries(entry_keys + text_keys, at_least=at_least, only_compared=True)
        stored = {row[0]: row for row in rows()}
    refuse_ahead(client, answer.ledger)
    counts["calls"] += 1
    entry_of = answer.found.get
    refuse_all_absent(
        int(checkpoint.group_count), ids, [pk for pk, key in zip(ids, entry_keys, strict=True) if not entry_of(key)]
    )
    differing: list[int] = []
    extended: dict[int, int | None] = {}
    for group_id, entry_key, text_key in zip(ids, entry_keys, text_keys, strict=True):
        if (entry := entry_of(entry_key)) is None:
            continue
        text = entry_of(text_key)
        _, live_until, synced_ledger, old_entry, old_text = stored.get(group_id, NOTHING)
        if old_entry != entry["xdr"] or old_text != (text["xdr"] if text else "") or synced_ledger == 0:
            differing.append(group_id)
            continue
        end = entry.get("liveUntilLedgerSeq")  # anybody can extend a life, no more
        if text:
            end = earliest_live_until(end, text.get("liveUntilLedgerSeq"))
        if live_until != end:
            extended[group_id] = end
    if extended:
        _write_live_until(extended, answer.ledger)
    if not differing:
        return Compared(len(ids))
    snapshots = read_groups(client, checkpoint.contract, answer.ledger, differing, deadline=Deadline())
    counts["calls"] += snapshots.calls
    changed = write_snapshots(snapshots)
    refresh_groups(changed)
    counts["groups_changed"] += len(changed)
    for group_id, entry_key, text_key in zip(ids, entry_keys, text_keys, strict=True):
        *_, old_entry, old_text = stored.get(group_id, NOTHING)
        if group_id in changed and old_entry != "":
            entry, text = answer.found[entry_key], entry_of(text_key)
            is_due = entry["lastModifiedLedgerSeq"] <= checkpoint.ledger
            is_renamed = old_text != (text["xdr"] if text else "")
            count_drift(counts, state=entry["xdr"] != old_entry and is_due, text=is_renamed)
    left = set(differing) - snapshots.settled
    return Compared(min(map(ids.index, left), default=len(ids)))


def _read_tokens(
    only: Sequence[int], is_share: bool, checkpoint: Checkpoint, counts: Counts, client: SorobanClient
) -> None:
    """Read again what tokens say of themselves: one may be made, or change its symbol, after its first group."""
    due = token_batch(checkpoint.tokens_swept_to, only, is_share=is_share)
    tokens = [token for token in due.tokens if not is_native(token.address)]
    counts["calls"] += -(-len(tokens) // MAX_KEYS)
    try:
        counts["tokens_changed"] += save_tokens(read_tokens(client, checkpoint.ledger, tokens))
    except RpcLimitExceeded as failure:  # one token alone, which its maker has made so: the round goes on
        log.warning("tokens: %s", failure)
    if due.position is not None:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(tokens_swept_to=due.position)


def _write_live_until(ends: Mapping[int, int | None], ledger: int) -> None:
    """Locked in id order, as every writer of groups does it; never over a newer row."""
    with transaction.atomic():
        handle = Group.objects.filter(id__in=ends, synced_ledger__lte=ledger).order_by("id").only("pk")
        rows = [Group(id=group.pk, live_until_ledger=ends[group.pk]) for group in handle.select_for_update()]
        Group.objects.bulk_update(rows, ["live_until_ledger"])
