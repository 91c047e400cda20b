"""Checks solvency: what the contract holds in each token against what it owes. A shortfall is shown, never hidden."""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal

from django.conf import settings
from django.db.models import DecimalField, F, Sum

from ajo.indexer.runs import Counts
from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.entries import Balance, Instance, decode_entry
from ajo.soroban.contract.keys import BalanceKey, InstanceKey
from ajo.soroban.models import Checkpoint, ContractEvent
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.answers import Entries, LedgerEntry
from ajo.soroban.rpc.client import MAX_KEYS, SorobanClient, in_halves
from groups.models import Group, Token

MAX_TABLES_WAIT = 15.0  # seconds; shorter than a lease's lifetime
TABLES_POLL = 0.2  # seconds between two looks at the checkpoint


def check_solvency(checkpoint: Checkpoint, counts: Counts, client: SorobanClient, tokens: Sequence[Token]) -> None:
    """Write balance and debt of these tokens where they changed, and count all tokens that fall short.

    Balance and debt are of one ledger. Does nothing for a call's tokens if the tables do not reach the balances' ledger
    in time, or have gone past it: the next check does. Passes over tokens of groups that cannot be read.
    """
    # the debt to a group that cannot be read is unknown
    hidden = set(Group.objects.exclude(unreadable_since=None).exclude(token=None).values_list("token_id", flat=True))
    keyed = [(t, BalanceKey(checkpoint.contract).to_xdr(t.address)) for t in tokens if t.address not in hidden]
    own = InstanceKey().to_xdr(checkpoint.contract)

    def ask(part: Sequence[tuple[Token, str]]) -> Entries:
        return read_entries(client, [own, *(key for _, key in part)], at_least=checkpoint.ledger)

    for start in range(0, len(keyed), MAX_KEYS - 1):
        for part, answer in in_halves(ask, keyed[start : start + MAX_KEYS - 1]):
            instance = answer.found.get(own)
            if not instance or not _tables_reach(answer.ledger):
                continue
            owed = _owed(instance["xdr"], [token.address for token, _ in part])
            if ContractEvent.objects.filter(id__gt=f"{(answer.ledger + 1) << 32:019d}").exists():
                continue
            _save([(token, answer.found.get(key), owed[token.address]) for token, key in part], answer.ledger)
    counts["insolvent_tokens"] = Token.objects.short().count()


def _save(found: Sequence[tuple[Token, LedgerEntry | None, tuple[Decimal, Decimal]]], ledger: int) -> None:
    """Write what changed only: there may be tens of thousands of tokens."""
    changed = []
    for token, entry, (owed, premiums) in found:
        balance = _amount(entry["xdr"]) if entry else None
        if not token.checked_ledger or (token.balance, token.owed, token.booked_premiums) != (balance, owed, premiums):
            token.balance, token.owed, token.booked_premiums = balance, owed, premiums
            token.checked_ledger = ledger
            changed.append(token)
    Token.objects.bulk_update(changed, ["balance", "owed", "booked_premiums", "checked_ledger"])


def _tables_reach(ledger: int) -> bool:
    """Wait until the tables reach `ledger`; False after two intervals of the sync, or MAX_TABLES_WAIT."""
    deadline = time.monotonic() + min(2 * settings.SYNC_INTERVAL, MAX_TABLES_WAIT)
    while not Checkpoint.objects.filter(ledger__gte=ledger).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(TABLES_POLL)
    return True


def _owed(instance_xdr: str, tokens: Sequence[str]) -> dict[str, tuple[Decimal, Decimal]]:
    """Return the debt in each of these tokens, and how much of it are premiums that were booked and never collected.

    The contract owes rounds that were collected and not yet paid out or refunded, and the insurance pool's balance. An
    insured contribution adds its premium to the pool and moves no token for it (docs/chain.md §1.3): so the pool's
    balance and all that it has paid out are uncollected. Amounts are in the token's smallest unit.
    """
    collected = F("contribution_amount") * F("contributions_received")
    rows = Group.objects.filter(is_active=True, token_id__in=tokens).values_list("token_id")
    rounds = dict(rows.annotate(total=Sum(collected, output_field=DecimalField(max_digits=60, decimal_places=0))))
    try:
        instance = decode_entry(instance_xdr).value
    except DecodeError:
        instance = None
    pools = dict(instance.insurance_pools) if isinstance(instance, Instance) else {}
    owed = {}
    for token in tokens:
        booked, paid = (pools[token].balance, pools[token].total_payouts) if token in pools else (0, 0)
        owed[token] = (Decimal(int(rounds.get(token, 0)) + booked), Decimal(booked + paid))
    return owed


def _amount(xdr: str) -> int | None:
    """Return the amount in a BALANCE entry; None if the token, which a group's creator chooses, keeps it otherwise."""
    try:
        value = decode_entry(xdr).value
    except DecodeError:
        return None
    amount = value.amount if isinstance(value, Balance) else value
    return amount if type(amount) is int else None
