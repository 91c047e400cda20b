"""What the contract owes in each token against what it holds. A shortfall is shown, never hidden."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import DecimalField, F, Sum

from ajo.soroban.binding import DecodeError
from ajo.soroban.binding.entries import Balance, Instance, decode_entry
from ajo.soroban.binding.keys import BalanceKey
from ajo.soroban.client import MAX_KEYS, Entries, SorobanClient, in_halves
from ajo.soroban.models import Checkpoint
from groups.models import Group, Token


def check_solvency(client: SorobanClient, checkpoint: Checkpoint, counts: dict[str, int]) -> None:
    """Write balance and debt of every token that groups collect, and count the tokens that fall short."""
    owed = _owed(checkpoint)
    tokens = list(Token.objects.filter(address__startswith="C").order_by("pk"))
    kept = [(token, BalanceKey(checkpoint.contract).to_xdr(token.address)) for token in tokens]

    def ask(part: Sequence[tuple[Token, str]]) -> Entries:
        counts["calls"] += 1
        return client.get_entries([key for _, key in part])

    for start in range(0, len(kept), MAX_KEYS):
        for part, answer in in_halves(ask, kept[start : start + MAX_KEYS]):
            for token, key in part:
                entry = answer.found.get(key)
                token.balance = _amount(entry.xdr) if entry else None
                token.owed = owed.get(token.address, 0)
                token.checked_ledger = answer.ledger
    Token.objects.bulk_update(tokens, ["balance", "owed", "checked_ledger"])
    counts["insolvent_tokens"] = Token.objects.short().count()


def _owed(checkpoint: Checkpoint) -> dict[str, int]:
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
        instance = decode_entry(checkpoint.instance_xdr).value
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
