"""Totals of a wallet: counts of its rows and, by token, exact sums."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Sum

from contributions.statements import KINDS, TOTALS
from groups.models import Group, GroupMember, Token, User
from groups.schedule import readable_token


def wallet_totals(user: User) -> dict[str, Any]:
    """Return what WalletSerializer takes, in six queries. Amounts are in each token's smallest unit."""
    counts: dict[str, int] = {}
    moved: dict[str | None, dict[str, int]] = {}
    for model, (_, total) in KINDS.items():
        rows = model.objects.filter(user=user).values_list("group__token_id").annotate(Count("pk"), Sum("amount"))
        counts[model.plural()] = 0
        for token, count, amount in rows.order_by():
            counts[model.plural()] += count
            moved.setdefault(token, dict.fromkeys(TOTALS, 0))[total] = int(amount)
    tokens = {token.address: token for token in Token.objects.filter(address__in=[each for each in moved if each])}
    return {
        "address": user.wallet_address,
        "groups": GroupMember.objects.filter(user=user).count(),
        "created_groups": Group.objects.filter(creator=user).count(),
        **counts,
        "tokens": [
            {"token_address": address, "token": readable_token(tokens.get(address or "")), **moved[address]}
            for address in sorted(moved, key=lambda address: address or "")
        ],
    }
