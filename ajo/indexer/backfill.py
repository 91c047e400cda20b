"""Recovers the history that gaps in the event stream hide, from entries of the chain (see `contributions.evidence`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from django.db import transaction
from django.db.models.functions import Now

from ajo.soroban.contract.keys import Key
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint, HistoryGap
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.client import MAX_KEYS, Entries, SorobanClient, in_halves
from contributions.evidence import Evidence, backfill_rows, keys_to_read
from groups.models import Group, GroupMember
from groups.snapshots import MAX_CONTRIBUTIONS

GROUPS_AT_A_TIME = 50  # groups whose recovery commits together
AT_A_STRETCH = 10.0  # seconds of a pass


def recover_gaps(client: SorobanClient, checkpoint: Checkpoint, counts: dict[str, int]) -> bool:
    """Recover what each open gap swallowed, group by group; killed, it goes on where it committed last.

    False after some seconds, if there is more: first the events of that time are followed.
    """
    deadline = Deadline(AT_A_STRETCH)
    readable = Group.objects.filter(unreadable_since=None)  # of the others not even the round is known
    for gap in HistoryGap.objects.filter(recovered_at=None).order_by("pk"):
        while groups := list(readable.filter(id__gt=gap.recovered_to).order_by("id")[:GROUPS_AT_A_TIME]):
            if deadline.is_past():
                return False
            proofs = read_history(client, checkpoint.contract, groups, counts, deadline=deadline)
            gap.recovered_to = proofs[-1].group.pk
            with transaction.atomic():
                for name, number in backfill_rows(proofs).items():
                    counts[f"recovered_{name}"] = counts.get(f"recovered_{name}", 0) + number
                HistoryGap.objects.filter(pk=gap.pk).update(recovered_to=gap.recovered_to)
        HistoryGap.objects.filter(pk=gap.pk).update(recovered_at=Now())
    return True


def read_history(
    client: SorobanClient,
    contract: str,
    groups: Sequence[Group],
    counts: dict[str, int],
    *,
    again: bool = False,
    deadline: Deadline = NEVER,
) -> list[Evidence]:
    """What these groups' entries prove of each round not verified since it closed, or of all rounds `again`.

    Of the first groups only where the deadline comes before the others were read, but of one in any case. Without
    groups that cannot have come so far: what a row says of its round may be a liar's.
    """
    groups = [group for group in groups if group.current_round * group.member_count <= MAX_CONTRIBUTIONS]
    proofs = [Evidence(group, members, 1 if again else group.verified_round + 1) for group, members in _members(groups)]
    wanted = ((number, key, key.to_xdr(contract)) for number, proof in enumerate(proofs) for key in keys_to_read(proof))
    newest = Checkpoint.objects.newest_possible()  # a row that names a later ledger was read from a liar
    at_least = max((group.synced_ledger for group in groups if group.synced_ledger <= newest), default=0)

    def ask(part: Sequence[tuple[int, Key, str]]) -> Entries:
        answer = read_entries(client, [name for *_, name in part], at_least=at_least)
        counts["calls"] = counts.get("calls", 0) + 1
        return answer

    while asked := list(islice(wanted, MAX_KEYS)):
        for part, answer in in_halves(ask, asked):
            for number, key, name in part:
                proof = proofs[number]
                proof.ledger = min(proof.ledger or answer.ledger, answer.ledger)
                if entry := answer.found.get(name):
                    proof.add_entry(key, name, entry)
            whole = part[-1][0]  # of the group after these there may be more
            if whole and deadline.is_past():
                return proofs[:whole]
    return proofs


def _members(groups: Iterable[Group]) -> list[tuple[Group, dict[str, GroupMember]]]:
    members: dict[int, dict[str, GroupMember]] = {group.pk: {} for group in groups}
    rows = GroupMember.objects.filter(group_id__in=members).select_related("user")
    for member in rows.order_by("group_id", "position"):
        members[member.group_id][member.user.wallet_address] = member
    return [(group, members[group.pk]) for group in groups]
