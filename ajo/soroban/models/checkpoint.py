"""The checkpoint: up to where the tables follow which chain, and the contract's instance entry."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Least, Now

from ajo.cache import Freshness
from ajo.soroban.fields import U32_MAX, U64_MAX, AddressField, U64Field, in_range
from ajo.soroban.models.events import EVENT_ID_LENGTH

# Each ledger closes in a later second than the one before; on the public networks it takes about five.
MIN_CLOSE_SECONDS = 1
LEDGER_SLACK = 5  # ledgers that one node may be ahead of another


class CheckpointQuerySet(models.QuerySet["Checkpoint"]):
    def current(self) -> Checkpoint | None:
        """Return the one checkpoint, None before the first sync: a database follows one contract on one network."""
        return self.order_by("id").first()

    def freshness(self) -> Freshness:
        """Return up to which ledger the tables are fresh, and since when; ledger 0 and stale before the first sync.

        Callers read it before the rows: an older label on newer rows is right.
        """
        row = self.order_by("id").values_list("dataset_id", "ledger", "chain_advanced_at", Now()).first()
        if row is None:
            return Freshness("", 0, 0.0)
        dataset_id, ledger, chain_advanced_at, asked_at = row
        return Freshness(
            dataset_id.hex, ledger, chain_advanced_at.timestamp() if chain_advanced_at else 0.0, asked_at.timestamp()
        )

    def chain_ledger(self) -> int:
        """Return the network's newest ledger, as last heard; 0 before the first time."""
        return int(self.order_by("id").values_list("chain_ledger", flat=True).first() or 0)

    def chain_heard(self) -> tuple[int, float]:
        """Return the network's newest ledger, as last heard, and the seconds since, by the database's clock.

        Ledger 0 before the first time.
        """
        row = self.order_by("id").values_list("chain_ledger", "chain_advanced_at", Now()).first()
        if row is None or row[1] is None:
            return 0, 0.0
        return row[0], max(0.0, (row[2] - row[1]).total_seconds())  # a clock may have stepped back

    def newest_possible(self) -> int:
        """Return the newest ledger that the network can have reached since it was last heard, by the database's clock.

        U32_MAX before it was first heard.
        """
        ledger, seconds = self.chain_heard()
        return min(ledger + int(seconds) // MIN_CLOSE_SECONDS + LEDGER_SLACK, U32_MAX) if ledger else U32_MAX

    def advance(self, checkpoint: Checkpoint, **values: object) -> bool:
        """Move the cursor by compare-and-set.

        Return False, and write nothing, if another pass has moved it since `checkpoint` was read, or the sync has
        halted.
        """
        moved = self.filter(
            pk=checkpoint.pk, dataset_id=checkpoint.dataset_id, cursor=checkpoint.cursor, halted=""
        ).update(**values)
        return moved == 1


class Checkpoint(models.Model):
    """Up to where the tables follow the chain, and the contract's instance entry (docs/chain.md §1.1).

    Four records in one row: the cursor, the chain's head, the instance, and the progress of jobs with their drift.
    """

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
    chain_advanced_at = models.DateTimeField(
        null=True, db_column="heard_at", help_text="When that ledger was first heard of, by the database's clock."
    )
    swept_to = models.BigIntegerField(default=0, help_text="A sweep has done the groups up to this id; 0: none is on.")
    deep_swept_to = models.BigIntegerField(default=0, help_text="Likewise, a deep one.")
    events_checked_to = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="The event log was compared with a second reading up to this ledger.",
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
        """Return how many differences sweeps found, by kind."""
        return {"state": self.drift_state, "metadata": self.drift_metadata, "history": self.drift_history}

    @property
    def drift_total(self) -> int:
        return sum(self.drift.values())

    @property
    def halt_reason(self) -> str:
        """Return why nothing of the configured chain may be written, and what a person can do; empty while it may."""
        why = self.halted
        if (self.network_passphrase, self.contract) != (settings.STELLAR_NETWORK_PASSPHRASE, settings.AJO_CONTRACT_ID):
            why = (
                "the tables were filled from another network or contract than STELLAR_NETWORK_PASSPHRASE and "
                "AJO_CONTRACT_ID name"
            )
        return f"{why}; `manage.py reset_chain --yes` starts afresh" if why else ""
