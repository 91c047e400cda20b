"""The event log, and the entries and events that this version cannot decode."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

EVENT_ID_LENGTH = 30  # characters: %019d-%010d


class ContractEvent(models.Model):
    """An event of the contract as the RPC gave it (docs/chain.md §1.2). The ids sort in the chain's order."""

    id = models.CharField(
        primary_key=True, max_length=EVENT_ID_LENGTH, db_collation="C", help_text="TOID and index, as the RPC gives it."
    )
    type = models.TextField(help_text="The first topic; empty if it is no symbol.")
    is_system = models.BooleanField(
        default=False, help_text="A system event (the contract's upgrade) rather than the contract's own."
    )
    group_id = models.BigIntegerField(null=True, help_text="The contract's number of the group it speaks of.")
    round = models.BigIntegerField(null=True, help_text="The round it speaks of.")
    data = models.JSONField(null=True, help_text="Decoded, by name; null if it could not be decoded.")
    topics = models.JSONField(help_text="Topics as base64 ScVals.")
    value = models.TextField(help_text="Data as a base64 ScVal.")
    tx_hash = models.CharField(max_length=64, db_collation="C", help_text="The transaction that carried it.")
    ledger = models.BigIntegerField(help_text="The ledger that carried it.")
    created_at = models.DateTimeField(help_text="When that ledger closed.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["group_id", "id"], name="soroban_event_group"),
            models.Index(fields=["type", "id"], name="soroban_event_type"),
            models.Index(fields=["tx_hash", "id"], name="soroban_event_tx"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class UndecodedEntry(models.Model):
    """An entry or event that this version cannot decode. It is stored whole and shown to staff; the sync goes on."""

    key = models.TextField(unique=True, help_text="The LedgerKey (base64), or the event's id.")
    group_id = models.BigIntegerField(null=True, help_text="The group it belongs to, where the key says so.")
    xdr = models.TextField(help_text="What the chain holds, base64.")
    error = models.TextField(help_text="Why it could not be decoded.")
    ledger = models.BigIntegerField(help_text="The ledger at which it was read.")
    found_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "undecoded entries"
        indexes: ClassVar = [models.Index(fields=["group_id"], name="soroban_undecoded_group")]

    def __str__(self) -> str:
        return self.key
