"""getFeeStats: percentiles of what transactions bid for their inclusion."""

from collections import Counter
from typing import Any, Final

_PERCENTILES: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)
LEDGERS: Final = 50


def fee_statistics(bids: list[int], least: int) -> dict[str, Any]:
    """By the nearest rank, in stroops as text; `least` everywhere where there are none."""
    ranked = sorted(bids) or [least]
    count = len(ranked)
    percentiles = {f"p{each}": str(ranked[max(-(-count * each // 100), 1) - 1]) for each in _PERCENTILES}
    mode = Counter(ranked).most_common(1)[0][0]
    shown = {"max": str(ranked[-1]), "min": str(ranked[0]), "mode": str(mode), **percentiles}
    return {**shown, "transactionCount": str(len(bids)), "ledgerCount": LEDGERS if bids else 0}
