"""Archival: rows by the ledger at which the first of their ledger entries is archived (docs/chain.md §1.1)."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

EXPIRING_SOON = 120_960  # ledgers, about a week: time for a person to have an entry's life extended

Rows = QuerySet[Any]  # of a model that has an `earliest_live_until` expression


def expiring_soon(rows: Rows, ledger: int) -> Rows:
    """Return the rows with an entry that is archived within a week of `ledger`, unless somebody extends its life."""
    return _with_earliest(rows).filter(earliest_live_until__range=(max(1, ledger), max(1, ledger) + EXPIRING_SOON))


def archived(rows: Rows, ledger: int) -> Rows:
    """Return the rows with an entry that is archived at `ledger`, or whose end the node does not know."""
    return _with_earliest(rows).filter(earliest_live_until__lt=max(1, ledger))


def _with_earliest(rows: Rows) -> Rows:
    found: Rows = rows.alias(earliest_live_until=rows.model.earliest_live_until)
    return found
