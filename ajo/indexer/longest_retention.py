"""Fills gaps from the node with the longest retention, where the preferred node has pruned their events."""

from __future__ import annotations

from ajo.indexer.follow import sync_pass
from ajo.soroban.models import HistoryGap
from ajo.soroban.rpc.pool import nodes


def fill_gaps_from_other_nodes() -> None:
    """Run passes with the node that has the oldest events until it has filled the gaps of which it has any.

    Does nothing if no gap is open, or no node has its events. Raises ChainError or Superseded.
    """
    newest = HistoryGap.objects.due_for_retry().values_list("to_ledger", flat=True).first()
    found = nodes().longest_retention() if newest is not None else None
    if newest is None or found is None or found.oldest_ledger > newest:
        return
    # one node alone makes no gap of what it has pruned
    while not sync_pass(found.client, gap_to=0).caught_up:
        pass
