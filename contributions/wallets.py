"""Totals of a wallet: counts of its rows and, by token, exact sums."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count, Sum

from contributions.models import Contribution, HistoryRow, Payout, Refund
from groups.models import Group, GroupMember, Token, User
from groups.schedule import readable_token

HISTORY_MODELS: Final[dict[str, tuple[type[HistoryRow], str]]] = {
    "contributions": (Contribution, "paid"),
    "payouts": (Payout, "received"),
    "refunds": (Refund, "refunded"),
}


def wallet_totals(user: User) -> dict[str, Any]:
    """Return what WalletSerializer takes, in six queries. Amounts are in each token's smallest unit."""
    counts: dict[str, int] = {}
    moved: dict[str | None, dict[str, int]] = {}
    for plural, (model, verb) in HISTORY_MODELS.items():
        rows = model.objects.filter(user=user).values_list("group__token_id").annotate(Count("pk"), Sum("amount"))
        counts[plural] = 0
        for token, count, amount in rows.order_by():
            counts[plural] += count
            moved.setdefault(token, dict.fromkeys(("paid", "received", "refunded"), 0))[verb] = int(amount)
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
