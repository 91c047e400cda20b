"""How long the entries that the tables show live on the chain: conditions on rows with a `live_until_ledger`."""

from __future__ import annotations

from django.db.models import Q

NEAR_END = 120_960  # ledgers, about a week: time for a person to have an entry's life extended


def near_end(ledger: int) -> Q:
    """Archived within a week of `ledger`, unless somebody extends them."""
    return Q(live_until_ledger__range=(max(1, ledger), max(1, ledger) + NEAR_END))


def archived(ledger: int) -> Q:
    """Archived at `ledger`, or of an end that the node does not know."""
    return Q(live_until_ledger__lt=max(1, ledger))
