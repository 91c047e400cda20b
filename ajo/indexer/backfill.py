"""Recovers the history that gaps in the event stream hide, from entries of the chain (see `contributions.evidence`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from django.db import transaction
from django.db.models.functions import Now

from ajo.indexer.runs import Counts
from ajo.soroban.contract.keys import Key
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, HistoryGap
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.answers import Entries
from ajo.soroban.rpc.client import MAX_KEYS, SorobanClient, in_halves
from contributions.evidence import Evidence, backfill_rows, keys_to_read
from groups.models import Group, GroupMember
from groups.snapshots import MAX_CONTRIBUTIONS

RECOVERY_BATCH = 50  # groups whose recovery commits together
PASS_BUDGET = 10.0  # seconds of one pass; what is left waits for the next pass


def recover_gaps(client: SorobanClient, checkpoint: Checkpoint, counts: Counts) -> bool:
    """Recover the history in each open gap from entries, group by group. Resumable: each batch commits its position.

    Returns False after PASS_BUDGET seconds if there is more: a pass follows the events of that time first. Groups that
    cannot be read are passed over, since not even their round is known.
    """
    deadline = Deadline(PASS_BUDGET)
    readable = Group.objects.filter(unreadable_since=None)
    for gap in HistoryGap.objects.filter(recovered_at=None).order_by("pk"):
        while groups := list(readable.filter(id__gt=gap.recovered_to).order_by("id")[:RECOVERY_BATCH]):
            if deadline.is_past():
                return False
            all_evidence = read_history(client, checkpoint.contract, groups, deadline=deadline)
            gap.recovered_to = all_evidence[-1].group.pk
            with transaction.atomic():
                added = backfill_rows(all_evidence)
                counts.update({f"recovered_{name}": number for name, number in added.items()})
                HistoryGap.objects.filter(pk=gap.pk).update(recovered_to=gap.recovered_to)
        HistoryGap.objects.filter(pk=gap.pk).update(recovered_at=Now())
    return True


def read_history(
    client: SorobanClient, contract: str, groups: Sequence[Group], *, again: bool = False, deadline: Deadline = NEVER
) -> list[Evidence]:
    """Read what these groups' entries prove of each round that was not verified since it closed, or `again` of all.

    Reads at most MAX_KEYS entries a call (getLedgerEntries). If the deadline passes,
    only the first groups are returned, but at least one. Leaves out groups whose row claims more contributions than
    MAX_CONTRIBUTIONS: such a round is a faulty node's.
    """
    groups = [group for group in groups if group.current_round * group.member_count <= MAX_CONTRIBUTIONS]
    all_evidence = [
        Evidence(group, members, 1 if again else group.verified_round + 1) for group, members in _members(groups)
    ]
    wanted = ((i, key, key.to_xdr(contract)) for i, each in enumerate(all_evidence) for key in keys_to_read(each))
    at_least = _newest_synced(groups)

    def ask(part: Sequence[tuple[int, Key, str]]) -> Entries:
        return read_entries(client, [name for *_, name in part], at_least=at_least)

    while asked := list(islice(wanted, MAX_KEYS)):
        for part, answer in in_halves(ask, asked):
            for number, key, name in part:
                evidence = all_evidence[number]
                evidence.ledger = min(evidence.ledger or answer.ledger, answer.ledger)
                if entry := answer.found.get(name):
                    evidence.add_entry(key, name, entry)
            complete = part[-1][0]  # the last group of the part may have more entries
            if complete and deadline.is_past():
                return all_evidence[:complete]
    return all_evidence


def _newest_synced(groups: Iterable[Group]) -> int:
    """Return the newest ledger at which one of these groups was read, or 0: entries must not be older than rows."""
    newest = Checkpoint.objects.newest_possible()  # a row of a later ledger is a faulty node's
    return max((group.synced_ledger for group in groups if group.synced_ledger <= newest), default=0)


def _members(groups: Iterable[Group]) -> list[tuple[Group, dict[str, GroupMember]]]:
    """Return each group with its members by wallet address."""
    members: dict[int, dict[str, GroupMember]] = {group.pk: {} for group in groups}
    rows = GroupMember.objects.filter(group_id__in=members).select_related("user")
    for member in rows.order_by("group_id", "position"):
        members[member.group_id][member.user.wallet_address] = member
    return [(group, members[group.pk]) for group in groups]
