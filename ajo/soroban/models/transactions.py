"""Transactions that were submitted through this service, and the moves that their status can make."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ajo.soroban.fields import AddressField, U64Field
from ajo.soroban.times import timestamp_to_datetime


class ChainTransactionQuerySet(models.QuerySet["ChainTransaction"]):
    def pending(self) -> ChainTransactionQuerySet:
        """Return those whose end is not proven yet."""
        return self.filter(status=ChainTransaction.Status.PENDING)

    def followed(self) -> ChainTransactionQuerySet:
        """Return those whose end is not proven yet, and those refused whose time is not over."""
        statuses = (ChainTransaction.Status.PENDING, ChainTransaction.Status.REJECTED)
        return self.filter(status__in=statuses, next_attempt_at__isnull=False)

    def found(self) -> ChainTransactionQuerySet:
        """Return those that a look-up has found to have succeeded, and that not every reader is shown yet."""
        return self.followed().filter(ledger__isnull=False)

    def proving_used(self, source: str, sequence: int) -> ChainTransactionQuerySet:
        """Return those that prove that an account has used a sequence number: a ledger has carried them."""
        return self.filter(source=source, sequence__gte=sequence, ledger__isnull=False)


class ChainTransaction(models.Model):
    """A transaction that was submitted through this service, identified by its hash.

    The row is stored before the first sending. Fees are in stroops, ledgers are sequence numbers. A trigger of the
    database refuses every change of status that MOVES does not have.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        SUCCESS = "success"
        FAILED = "failed"
        REJECTED = "rejected"
        EXPIRED = "expired"
        UNKNOWN = "unknown"

    hash = models.CharField(primary_key=True, max_length=64, db_collation="C")
    xdr = models.TextField(help_text="The signed envelope (base64).")
    # what the envelope says
    function = models.CharField(max_length=32, help_text="The contract's function that it calls.")
    group_id = U64Field(null=True, help_text="The group that it is about; a new group's once it is created.")
    source = AddressField(help_text="The account whose sequence number it uses and who pays its fee.")
    sequence = models.BigIntegerField(help_text="The source's sequence number that it uses.")
    max_time = models.BigIntegerField(help_text="It can apply in ledgers that close until then (unix seconds).")
    max_fee = models.BigIntegerField(help_text="The most that it can cost.")
    # what became of it
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    code = models.CharField(max_length=32, blank=True, default="", help_text="Why it ended so, in one word.")
    detail = models.TextField(blank=True, default="", help_text="Why it ended so, in a sentence.")
    contract_error = models.JSONField(null=True, help_text="Which contract refused: contract, code, name.")
    ledger = models.BigIntegerField(null=True, help_text="The ledger that carried it.")
    closed_at = models.DateTimeField(null=True, help_text="When that ledger closed.")
    result = models.JSONField(null=True, help_text="What the function returned, decoded.")
    fee_charged = models.BigIntegerField(null=True, help_text="What it cost.")
    bump_hash = models.CharField(
        max_length=64, blank=True, db_default="", db_collation="C", help_text="The fee bump of others that carried it."
    )
    # how it is followed
    submitted_ledger = models.BigIntegerField(help_text="The network's newest ledger when it was taken.")
    account_ledger = models.BigIntegerField(
        null=True, help_text="Its source's account was read at this ledger: its sequence number was not used yet."
    )
    attempts = models.IntegerField(default=0, help_text="How often it was sent.")
    last_answer = models.CharField(max_length=500, blank=True, default="", help_text="What a node said of it last.")
    queued_ledger = models.BigIntegerField(null=True, help_text="The newest ledger at which a node had it queued.")
    sequence_used_ledger = models.BigIntegerField(
        null=True, help_text="Its sequence number was used up to this ledger: it is in one until then, or in none."
    )
    next_attempt_at = models.DateTimeField(null=True, help_text="When it is looked at next; null: never.")
    next_send_ledger = models.BigIntegerField(default=0, help_text="It is not sent again before this ledger.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was submitted, by the database's clock.")
    updated_at = models.DateTimeField(db_default=Now())

    objects = ChainTransactionQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["status", "hash"], name="soroban_tx_status"),
            # staff and clients read them newest first
            models.Index(fields=["submitted_ledger", "hash"], name="soroban_tx_newest"),
            models.Index(fields=["status", "submitted_ledger", "hash"], name="soroban_tx_status_newest"),
            models.Index(fields=["source", "submitted_ledger", "hash"], name="soroban_tx_source_newest"),
            models.Index(fields=["group_id", "submitted_ledger", "hash"], name="soroban_tx_group_newest"),
            models.Index(fields=["function", "submitted_ledger", "hash"], name="soroban_tx_function_newest"),
            models.Index(fields=["next_attempt_at"], name="soroban_tx_due", condition=Q(next_attempt_at__isnull=False)),
        ]
        constraints: ClassVar = [
            # a pending one that nobody looks at again would be pending for ever
            models.CheckConstraint(
                condition=~Q(status="pending") | Q(next_attempt_at__isnull=False), name="soroban_tx_pending_is_followed"
            ),
            # the evidence: only a ledger makes it a success or a failure
            models.CheckConstraint(
                condition=~Q(status__in=["success", "failed"]) | Q(ledger__isnull=False), name="soroban_tx_has_ledger"
            ),
        ]

    def __str__(self) -> str:
        return self.hash

    @property
    def valid_until(self) -> datetime | None:
        """Return until when a ledger has to close to carry it."""
        return timestamp_to_datetime(self.max_time)

    @property
    def unused_ledger(self) -> int:
        """Return a ledger at which its sequence number was not used: no ledger until then carried it."""
        return int(self.submitted_ledger if self.account_ledger is None else self.account_ledger)

    @property
    def is_final(self) -> bool:
        """Return whether its end is proven. A rejected one can still be applied until its time is over."""
        return self.status != self.Status.PENDING


# From each status to those that may follow it. The trigger of migration 0011 has the same table; docs/writing.md tells
# what proves each move. Not moving is always allowed.
MOVES: Final[dict[str, frozenset[str]]] = {
    "pending": frozenset({"success", "failed", "rejected", "expired", "unknown"}),
    "rejected": frozenset({"success", "failed"}),
    "success": frozenset(),
    "failed": frozenset(),
    "expired": frozenset(),
    "unknown": frozenset(),
}
