"""History: contributions, payouts and refunds.

Group, round and wallet identify a row, and of a refund the reason too: a cancelled and refunded group can be refunded
once more by a vote that was approved before (docs/chain.md §1.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, ClassVar, Final, Self

from django.db import connection, models, transaction
from django.db.models.functions import Coalesce

from ajo.database.bulk import Row, insert
from ajo.soroban.fields import I128_MAX, I128_MIN, U32_MAX, I128Field, in_range
from ajo.soroban.models import EVENT_ID_LENGTH
from groups.models import Group, User


class HistoryQuerySet(models.QuerySet[Any]):
    def newest_first(self) -> Self:
        """Order by event id, newest first; rows that were recovered without an event come last."""
        return self.order_by("-order_key", "-id")

    def lock(self) -> None:
        """Lock the table against other writers until the transaction ends; readers go on.

        Without it, one of two concurrent writers might violate the unique event_id, which ON CONFLICT does not name.
        The lock is an advisory one, since a table lock would cancel a running autovacuum.
        """
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.model._meta.db_table])

    def record(self, rows: Sequence[Row]) -> int:
        """Insert rows that events announced, and complete rows that were recovered without their event. Idempotent.

        Of two events with one identity the later one stands. Returns how many rows were inserted or changed.
        """
        return self._write(rows, newest_by="event_id", completes=True)

    def recover(self, rows: Sequence[Row]) -> int:
        """Insert rows that entries prove; existing rows stay as they are. Returns how many were inserted."""
        return self._write(rows, completes=False)

    def correct(self, rows: Sequence[Row]) -> int:
        """Insert or overwrite these rows. Returns how many were inserted or changed."""
        return self._write(rows, completes=True)

    def _write(self, rows: Sequence[Row], *, completes: bool, newest_by: str = "") -> int:
        if not rows:
            return 0
        identity = self.model.identity
        update = [name for name in rows[0] if name not in identity] if completes else ()
        with transaction.atomic():
            self.lock()
            return insert(self.model, self.model.completed(rows), unique=identity, update=update, newest_by=newest_by)


class HistoryRow(models.Model):
    """The columns that contributions, payouts and refunds share. `identity`: the columns that identify a row."""

    identity: ClassVar[tuple[str, ...]] = ("group_id", "round", "user_id")

    group = models.ForeignKey(Group, on_delete=models.PROTECT, db_index=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False)
    round = models.BigIntegerField(help_text="From 1; what the contract calls cycle.")
    amount = I128Field(help_text="In the token's smallest unit.")
    tx_hash = models.CharField(  # noqa: DJ001  # unknown is not ""
        max_length=64, null=True, db_collation="C", help_text="Null if recovered from state, not from an event."
    )
    event_id = models.CharField(  # noqa: DJ001
        max_length=EVENT_ID_LENGTH, null=True, unique=True, db_collation="C", help_text="Null if recovered from state."
    )
    ledger = models.BigIntegerField(
        null=True,
        help_text="The ledger that carried it. Of a row recovered from state the one at which its entry was last "
        "written: the same, or a later one if the entry was restored from the archive since.",
    )
    created_at = models.DateTimeField(
        null=True, help_text="By the chain; null if recovered from state, but for refunds, whose entries tell it."
    )
    order_key = models.GeneratedField(
        expression=Coalesce("event_id", models.Value("")),
        output_field=models.CharField(max_length=EVENT_ID_LENGTH, db_collation="C"),
        db_persist=True,
    )

    # Filtered lists are ordered by it: with `order_key` the planner, which takes rows of a kind to be spread evenly,
    # may walk the whole history in search of the few old ones.
    order_within = models.GeneratedField(
        expression=Coalesce("event_id", models.Value("")),
        output_field=models.CharField(max_length=EVENT_ID_LENGTH, db_collation="C"),
        db_persist=True,
        help_text="The order key again, for whose order only the filters' own indexes exist.",
    )

    objects = HistoryQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["group", "round", "user"], name="%(class)s_once"),
            in_range("amount", I128_MIN, I128_MAX),
            in_range("round", 0, U32_MAX),
        ]
        # each of the API's filters, ending in the one order that history has
        indexes: ClassVar = [
            models.Index(fields=["order_key", "id"], name="%(class)s_order"),
            models.Index(fields=["group", "order_within", "id"], name="%(class)s_group"),
            models.Index(fields=["user", "order_within", "id"], name="%(class)s_user"),
            models.Index(fields=["round", "order_within", "id"], name="%(class)s_round"),
            models.Index(fields=["tx_hash", "order_within", "id"], name="%(class)s_tx"),
            models.Index(fields=["created_at", "order_key"], name="%(class)s_created"),
        ]

    def __str__(self) -> str:
        return f"{self.group_id}-{self.round}-{self.user_id}"

    @classmethod
    def plural(cls) -> str:
        """Return the table's name in counts and answers, as "payouts"."""
        return f"{cls.__name__.lower()}s"

    @classmethod
    def completed(cls, rows: Sequence[Row]) -> Sequence[Row]:
        """Return these rows with the columns that are not made from the chain: none, except in subclasses."""
        return rows


class Contribution(HistoryRow):
    """A member paid a round."""


class Payout(HistoryRow):
    """A member took a round's pool."""


class Refund(HistoryRow):
    """A member got back what a round had collected; `round` is the round that was refunded."""

    class Reason(models.IntegerChoices):
        CREATOR_CANCELLED = 0, "creator_cancelled"
        MEMBER_VOTE = 1, "member_vote"
        EMERGENCY = 2, "emergency"

    identity: ClassVar[tuple[str, ...]] = (*HistoryRow.identity, "reason")

    reason = models.BigIntegerField(choices=Reason.choices)
    ordinal = models.BigIntegerField(
        db_default=1,
        help_text="1 for the first refund of this wallet and round that was known here, 2 for the second: the API's id "
        "of a row does not change when another one turns up.",
    )

    class Meta(HistoryRow.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["group", "round", "user", "reason"], name="refund_once"),
            models.UniqueConstraint(fields=["group", "round", "user", "ordinal"], name="refund_ordinal_once"),
            *HistoryRow.Meta.constraints[1:],
        ]
        indexes: ClassVar = [
            *HistoryRow.Meta.indexes,
            models.Index(fields=["created_at"], condition=models.Q(event_id=None), name="refund_recovered"),
        ]

    def __str__(self) -> str:
        return super().__str__() if self.ordinal == 1 else f"{super().__str__()}-{self.ordinal}"

    @classmethod
    def completed(cls, rows: Sequence[Row]) -> Sequence[Row]:
        """Return these rows with ordinals: a stored refund keeps its own, a new one gets the first free number."""
        stored = cls.objects.filter(group_id__in={row["group_id"] for row in rows})
        taken: dict[tuple[int, ...], dict[int, int]] = {}
        for *place, reason, ordinal in stored.values_list(*cls.identity, "ordinal"):
            taken.setdefault(tuple(place), {})[reason] = ordinal
        numbered = []
        for row in rows:
            known = taken.setdefault((row["group_id"], row["round"], row["user_id"]), {})
            free = (number for number in count(1) if number not in known.values())
            numbered.append({**row, "ordinal": known.setdefault(row["reason"], next(free))})
        return numbered


HISTORY: Final[Sequence[type[HistoryRow]]] = (Contribution, Payout, Refund)
