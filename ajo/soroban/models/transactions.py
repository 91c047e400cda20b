"""Transactions that were submitted through this service."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class ChainTransaction(models.Model):
    """A transaction that was submitted through this service, identified by its hash."""

    class Status(models.TextChoices):
        PENDING = "pending"
        SUCCESS = "success"
        FAILED = "failed"
        EXPIRED = "expired"
        UNKNOWN = "unknown"

    hash = models.CharField(primary_key=True, max_length=64, db_collation="C")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    xdr = models.TextField(help_text="The signed envelope (base64).")
    submitted_ledger = models.BigIntegerField(help_text="The network's newest ledger when it was first sent.")
    ledger = models.BigIntegerField(null=True, help_text="The ledger that carried it.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["status", "hash"], name="soroban_tx_status"),
            # staff read them newest first
            models.Index(fields=["submitted_ledger", "hash"], name="soroban_tx_newest"),
            models.Index(fields=["status", "submitted_ledger", "hash"], name="soroban_tx_status_newest"),
        ]

    def __str__(self) -> str:
        return self.hash
