"""What we know of the chain itself: how far we have read it, what it announced, and what we could not read.

Nothing here knows a savings group's tables; `group_id` is the contract's number, not a foreign key.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Least, Now

from ajo.cache import Freshness
from ajo.soroban.fields import U32_MAX, U64_MAX, AddressField, U64Field, in_range

EVENT_ID_LENGTH = 30  # %019d-%010d
ASK_AGAIN = timedelta(hours=1)
MAX_BACKOFF = timedelta(minutes=5)  # that an RPC node which goes on failing is left alone
# Each ledger closes in a later second than the one before; on the public networks it takes about five.
SHORTEST_CLOSE = 1  # seconds
LEDGER_SLACK = 5  # ledgers that one node may be ahead of another


class CheckpointQuerySet(models.QuerySet["Checkpoint"]):
    def current(self) -> Checkpoint | None:
        """The one checkpoint: a database follows one contract on one network."""
        return self.order_by("id").first()

    def freshness(self) -> Freshness:
        """What the tables say of themselves. Read it before the rows: an older label on newer rows is right.

        Ledger 0 and stale before the first sync.
        """
        row = self.order_by("id").values_list("dataset_id", "ledger", "heard_at", Now()).first()
        if row is None:
            return Freshness("", 0, 0.0)
        dataset_id, ledger, heard_at, asked_at = row
        return Freshness(dataset_id.hex, ledger, heard_at.timestamp() if heard_at else 0.0, asked_at.timestamp())

    def chain_ledger(self) -> int:
        """The network's newest ledger, as last heard; 0: not yet."""
        return int(self.order_by("id").values_list("chain_ledger", flat=True).first() or 0)

    def chain_heard(self) -> tuple[int, float]:
        """The network's newest ledger, as last heard (0: not yet), and the seconds since, by the database's clock."""
        row = self.order_by("id").values_list("chain_ledger", "heard_at", Now()).first()
        if row is None or row[1] is None:
            return 0, 0.0
        return row[0], max(0.0, (row[2] - row[1]).total_seconds())

    def newest_possible(self) -> int:
        """The newest ledger that the network can have reached since it was last heard, by the database's clock.

        U32_MAX before it was first heard.
        """
        row = self.order_by("id").values_list("chain_ledger", "heard_at", Now()).first()
        if row is None or row[1] is None:
            return U32_MAX
        seconds = max((row[2] - row[1]).total_seconds(), 0)  # a clock may have stepped back
        return min(int(row[0]) + int(seconds) // SHORTEST_CLOSE + LEDGER_SLACK, U32_MAX)

    def advance(self, checkpoint: Checkpoint, **values: object) -> bool:
        """Move the cursor by compare-and-set: False if another pass has moved it since `checkpoint` was read."""
        moved = self.filter(
            pk=checkpoint.pk, dataset_id=checkpoint.dataset_id, cursor=checkpoint.cursor, halted=""
        ).update(**values)
        return moved == 1


class Checkpoint(models.Model):
    """How far the tables follow the chain, and what the contract's instance entry says."""

    network_passphrase = models.CharField(max_length=255, help_text="The network that the tables were filled from.")
    contract = AddressField(help_text="The contract that the tables were filled from.")
    dataset_id = models.UUIDField(
        default=uuid.uuid4,
        editable=False,
        db_column="era",
        help_text="Another fill of the tables has another: caches tell them apart by it.",
    )
    cursor = models.CharField(
        max_length=EVENT_ID_LENGTH,
        blank=True,
        default="",
        help_text="getEvents cursor of the last page; empty before the first.",
    )
    is_loaded = models.BooleanField(default=False, help_text="Whether every group was read at `start_ledger` or later.")
    start_ledger = models.BigIntegerField(help_text="The first ledger whose events were asked for.")
    ledger = models.BigIntegerField(default=0, help_text="Everything announced up to this ledger is in the tables.")
    chain_ledger = models.BigIntegerField(default=0, help_text="The network's newest ledger, as last heard.")
    chain_closed_at = models.DateTimeField(null=True, help_text="When that ledger closed, by the chain.")
    heard_at = models.DateTimeField(null=True, help_text="When the chain was last heard from, by the database's clock.")
    swept_to = models.BigIntegerField(default=0, help_text="A sweep has done the groups up to this id; 0: none is on.")
    deep_swept_to = models.BigIntegerField(default=0, help_text="Likewise, a deep one.")
    events_checked_to = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="The event log was compared with a second asking up to this ledger.",
    )
    tokens_swept_to = models.BigIntegerField(
        default=0, db_default=0, help_text="A round of the sweeps has read the tokens whose rows have ids up to this."
    )
    balances_swept_to = models.BigIntegerField(
        default=0, db_default=0, help_text="Likewise a round of deep sweeps, what the contract holds of them and owes."
    )
    admin = AddressField(null=True, help_text="The contract's admin.")
    paused = models.BooleanField(default=False, help_text="Whether the contract refuses new business.")
    group_count = U64Field(default=0, help_text="GCOUNTER: group ids run from 1 to this.")
    wasm_hash = models.CharField(max_length=64, blank=True, default="", help_text="The contract code's hash, hex.")
    instance_xdr = models.TextField(
        blank=True, default="", help_text="The contract's instance entry (LedgerEntryData, base64)."
    )
    instance_ledger = models.BigIntegerField(default=0, help_text="The ledger at which the instance entry was read.")
    live_until_ledger = models.BigIntegerField(
        null=True, help_text="When the instance entry is archived; 0: archived or unknown."
    )
    code_live_until_ledger = models.BigIntegerField(
        null=True, help_text="Likewise the contract's code, as a deep sweep saw it."
    )
    rebuilt_to = models.BigIntegerField(
        default=0, help_text="A rebuild has done the groups up to this id; 0: none is on."
    )
    drift_state = models.BigIntegerField(
        default=0, help_text="Groups that sweeps found changed though no event had announced it."
    )
    drift_metadata = models.BigIntegerField(default=0, help_text="Likewise of their names, which no event announces.")
    drift_history = models.BigIntegerField(
        default=0,
        help_text="Contributions, payouts, refunds and events whose rows sweeps found missing, invented or wrong.",
    )
    halted = models.TextField(
        blank=True, default="", help_text="Why the sync refuses to go on; empty while it goes on."
    )

    objects = CheckpointQuerySet.as_manager()
    earliest_live_until: ClassVar = Least("live_until_ledger", "code_live_until_ledger")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["network_passphrase", "contract"], name="soroban_checkpoint_chain"),
            in_range("ledger", 0, U32_MAX),
            in_range("group_count", 0, U64_MAX),
        ]

    def __str__(self) -> str:
        return f"{self.contract} at ledger {self.ledger}"

    @property
    def drift(self) -> dict[str, int]:
        """Differences that sweeps found, by kind."""
        return {"state": self.drift_state, "metadata": self.drift_metadata, "history": self.drift_history}

    @property
    def drift_total(self) -> int:
        return sum(self.drift.values())

    @property
    def halt_reason(self) -> str:
        """Why nothing of the configured chain may be written, and what a person can do; empty while it may."""
        why = self.halted
        if (self.network_passphrase, self.contract) != (settings.STELLAR_NETWORK_PASSPHRASE, settings.AJO_CONTRACT_ID):
            why = (
                "the tables were filled from another network or contract than STELLAR_NETWORK_PASSPHRASE and "
                "AJO_CONTRACT_ID name"
            )
        return f"{why}; `manage.py reset_chain --yes` starts afresh" if why else ""


class ContractEvent(models.Model):
    """The contract's events as they came, append-only. The id sorts as the chain does."""

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


class HistoryGapQuerySet(models.QuerySet["HistoryGap"]):
    def missing(self) -> Self:
        """Those whose events nobody has read since."""
        return self.filter(filled_at=None)

    def to_ask_for(self) -> Self:
        """Of these the ones that no node has left events out of within the hour, newest first."""
        return self.missing().exclude(asked_at__gt=Now() - ASK_AGAIN).order_by("-to_ledger")


class HistoryGap(models.Model):
    """A stretch of ledgers whose events can no longer be had from the RPC. Recorded and shown, never hidden."""

    network_passphrase = models.CharField(max_length=255)
    contract = AddressField()
    from_ledger = models.BigIntegerField(
        help_text="The first ledger whose events are missing; 0: from the contract's beginning. Moves up as a node "
        "with a longer memory tells them."
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
        help_text="When a node with a longer memory had told all its events after all; null: they are missing.",
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


class SyncRunQuerySet(models.QuerySet["SyncRun"]):
    def ended(self) -> Self:
        """Newest first."""
        return self.exclude(outcome=SyncRun.Outcome.RUNNING).order_by("-id")


class SyncRun(models.Model):
    """What one pass or job of the indexer read, wrote and found, and how it ended."""

    class Kind(models.TextChoices):
        SYNC = "sync"
        SWEEP = "sweep"
        DEEP_SWEEP = "deep"
        REBUILD = "rebuild"
        REDECODE = "redecode"

    class Outcome(models.TextChoices):
        RUNNING = "running"
        OK = "ok"
        SUPERSEDED = "superseded", "another pass was first"
        FAILED = "failed"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=Outcome.choices, default=Outcome.RUNNING)
    reason = models.TextField(blank=True, default="", help_text="Why it failed, in words.")
    ledger = models.BigIntegerField(null=True, help_text="The ledger up to which it went.")
    counts = models.JSONField(default=dict, help_text="RPC calls, events, groups read and written, drift.")

    objects = SyncRunQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["kind", "-id"], name="soroban_run_kind"),
            models.Index(fields=["outcome", "-id"], name="soroban_run_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.outcome}"


class Lease(models.Model):
    """Who runs a job that only one may run at a time, and until when, by the database's clock."""

    name = models.CharField(primary_key=True, max_length=16)
    holder = models.CharField(max_length=32, blank=True, default="")
    until = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class RpcNodeQuerySet(models.QuerySet["RpcNode"]):
    def left(self) -> Self:
        """Those that are left alone for now. An end that is further ahead was set by a clock that has stepped back."""
        return self.filter(left_until__gt=Now(), left_until__lte=Now() + MAX_BACKOFF)


class RpcNode(models.Model):
    """How an RPC address has been doing. The name holds neither path nor credentials."""

    name = models.CharField(primary_key=True, max_length=300)
    failures = models.BigIntegerField(default=0, help_text="In a row.")
    left_until = models.DateTimeField(null=True, help_text="Left alone until then, unless every address is.")
    last_error = models.TextField(blank=True, default="")
    failed_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    protocol_version = models.BigIntegerField(null=True, help_text="Of the network, as the node said within the hour.")

    objects = RpcNodeQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class UndecodedEntry(models.Model):
    """An entry or event that this version cannot read: kept whole, shown to staff, in nobody's way."""

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


class ChainTransaction(models.Model):
    """A transaction that was submitted through this service. The hash is its identity."""

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
