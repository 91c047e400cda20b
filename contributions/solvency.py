"""What the contract owes in each token against what it holds. A shortfall is shown, never hidden."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.conf import settings
from django.db.models import DecimalField, F, Sum

from ajo.soroban.binding import DecodeError
from ajo.soroban.binding.entries import Balance, Instance, decode_entry
from ajo.soroban.binding.keys import BalanceKey, InstanceKey
from ajo.soroban.client import MAX_KEYS, Entries, SorobanClient, in_halves
from ajo.soroban.models import Checkpoint, ContractEvent
from ajo.soroban.plausibility import read_entries
from contributions.healing import Counts
from groups.models import Group, Token

PATIENCE = 15.0  # seconds; a lease lasts longer
POLL = 0.2  # seconds between two looks at the checkpoint


def check_solvency(checkpoint: Checkpoint, counts: Counts, client: SorobanClient) -> None:
    """Write balance and debt of every token that groups collect, and count the tokens that fall short.

    Both of one ledger: where the tables do not come to that of the balances, or have gone past it, what was found
    before stays until the next time.
    """
    # of a group that cannot be read nobody knows what it is owed
    unread = Group.objects.exclude(unreadable_since=None).exclude(token=None).values("token_id")
    tokens = list(Token.objects.filter(address__startswith="C").exclude(address__in=unread).order_by("pk"))
    kept = [(token, BalanceKey(checkpoint.contract).to_xdr(token.address)) for token in tokens]
    own = InstanceKey().to_xdr(checkpoint.contract)

    def ask(part: Sequence[tuple[Token, str]]) -> Entries:
        counts["calls"] += 1
        return read_entries(client, [own, *(key for _, key in part)], at_least=checkpoint.ledger)

    for start in range(0, len(kept), MAX_KEYS - 1):
        for part, answer in in_halves(ask, kept[start : start + MAX_KEYS - 1]):
            instance = answer.found.get(own)
            if not instance or not _tables_come_to(answer.ledger):
                continue
            owed = _owed(instance["xdr"])
            if ContractEvent.objects.filter(id__gt=f"{(answer.ledger + 1) << 32:019d}").exists():
                continue
            for token, key in part:
                entry = answer.found.get(key)
                token.balance = _amount(entry["xdr"]) if entry else None
                token.owed = owed.get(token.address, 0)
                token.checked_ledger = answer.ledger
    Token.objects.bulk_update(tokens, ["balance", "owed", "checked_ledger"])
    counts["insolvent_tokens"] = Token.objects.short().count()


def _tables_come_to(ledger: int) -> bool:
    """Whether the sync has passed this ledger, which it is given two of its intervals for, if those are short."""
    deadline = time.monotonic() + min(2 * settings.SYNC_INTERVAL, PATIENCE)
    while not Checkpoint.objects.filter(ledger__gte=ledger).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def _owed(instance_xdr: str) -> dict[str, int]:
    """Rounds that were collected and not paid out or refunded yet, and the insurance pools' books."""
    collected = F("contribution_amount") * F("contributions_received")
    rows = Group.objects.filter(is_active=True, token__isnull=False).values_list("token_id")
    owed = {
        str(token): int(total)
        for token, total in rows.annotate(
            total=Sum(collected, output_field=DecimalField(max_digits=60, decimal_places=0))
        )
    }
    try:
        instance = decode_entry(instance_xdr).value
    except DecodeError:
        return owed
    for token, pool in instance.insurance_pools if isinstance(instance, Instance) else ():
        owed[token] = owed.get(token, 0) + pool.balance
    return owed


def _amount(xdr: str) -> int | None:
    """None where it is kept in another way: whoever makes a group chooses its token, and that keeps what it likes."""
    try:
        value = decode_entry(xdr).value
    except DecodeError:
        return None
    amount = value.amount if isinstance(value, Balance) else value
    return amount if type(amount) is int else None
