"""Stretches of history that the RPC no longer has."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from ajo.soroban.fields import AddressField

GAP_RETRY_INTERVAL = timedelta(hours=1)


class HistoryGapQuerySet(models.QuerySet["HistoryGap"]):
    def missing(self) -> Self:
        """Return the gaps that are not filled."""
        return self.filter(filled_at=None)

    def due_for_retry(self) -> Self:
        """Return the gaps that may be asked for again, newest first.

        A gap of which a node has left events out within GAP_RETRY_INTERVAL is not among them.
        """
        return self.missing().exclude(asked_at__gt=Now() - GAP_RETRY_INTERVAL).order_by("-to_ledger")


class HistoryGap(models.Model):
    """A stretch of ledgers whose events the RPC no longer has (docs/chain.md §2). It is recorded and shown."""

    network_passphrase = models.CharField(max_length=255)
    contract = AddressField()
    from_ledger = models.BigIntegerField(
        help_text="The first ledger whose events are missing; 0: from the contract's beginning. Moves up as a node "
        "with longer retention delivers them."
    )
    to_ledger = models.BigIntegerField(help_text="The last ledger whose events are missing.")
    found_at = models.DateTimeField(db_default=Now())
    why = models.TextField()
    recovered_to = models.BigIntegerField(
        default=0, help_text="Contributions, payouts and refunds inside the gap are recovered for groups up to this id."
    )
    recovered_at = models.DateTimeField(null=True, help_text="When that was done for all groups.")
    filled_at = models.DateTimeField(
        null=True,
        help_text="When a node with longer retention had delivered all its events after all; null: they are missing.",
    )

    asked_at = models.DateTimeField(
        null=True, help_text="When a node that said it had these events left some out; it is asked again an hour later."
    )

    objects = HistoryGapQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["network_passphrase", "contract", "from_ledger", "to_ledger"], name="soroban_gap_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.from_ledger}–{self.to_ledger}"
