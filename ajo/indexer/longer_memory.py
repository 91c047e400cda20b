"""Asks the node with the longest memory for what is missing, where the preferred one has pruned it."""

from __future__ import annotations

from ajo.indexer.follow import sync_pass
from ajo.soroban.models import HistoryGap
from ajo.soroban.rpc.pool import nodes


def ask_longest_memory() -> None:
    """Have the node that keeps the oldest events fill the gaps of which it has any. Raises ChainError or Superseded."""
    newest = HistoryGap.objects.due_for_retry().values_list("to_ledger", flat=True).first()
    found = nodes().longest_memory() if newest is not None else None
    if newest is None or found is None or found.oldest_ledger > newest:
        return
    while not sync_pass(found.client).caught_up:
        pass
