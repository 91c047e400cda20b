"""History: what was paid in, out and back. Group, round and wallet identify a row; the contract allows one each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from django.db import connection, models, transaction
from django.db.models.functions import Coalesce

from ajo.soroban.bulk import Row, insert
from ajo.soroban.fields import I128_MAX, I128_MIN, U32_MAX, I128Field, in_range
from ajo.soroban.models import EVENT_ID_LENGTH
from groups.models import Group, User

IDENTITY = ("group_id", "round", "user_id")


class HistoryQuerySet(models.QuerySet[Any]):
    def for_group(self, group_id: int) -> Self:
        return self.filter(group_id=group_id)

    def for_user(self, address: str) -> Self:
        return self.filter(user__wallet_address=address)

    def for_transaction(self, tx_hash: str) -> Self:
        """One transaction can carry several: a router contract pays for many members at once."""
        return self.filter(tx_hash=tx_hash)

    def newest_first(self) -> Self:
        """By event id; rows that were recovered without one come last."""
        return self.order_by("-order_key", "-id")

    def record(self, rows: Sequence[Row]) -> None:
        """Insert what events announced. Again changes nothing; a row recovered without its event is completed.

        Of two events about the same thing the later one stands: a vote can refund once more who was refunded.
        """
        if not rows:
            return
        with transaction.atomic(), connection.cursor() as cursor:
            # One after the other: of two writers at once one might meet the other's event_id first, which is no
            # conflict that ON CONFLICT names. Of locks on tables autovacuum would be the victim.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.model._meta.db_table])
            update = [name for name in rows[0] if name not in IDENTITY]
            insert(self.model, rows, unique=IDENTITY, update=update, newest_by="event_id")


class HistoryRow(models.Model):
    """What contributions, payouts and refunds have in common."""

    group = models.ForeignKey(Group, on_delete=models.PROTECT, db_index=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False)
    round = models.BigIntegerField(help_text="From 1; what the contract calls cycle.")
    amount = I128Field(help_text="In the token's smallest unit.")
    tx_hash = models.CharField(  # noqa: DJ001  # unknown is not ""
        max_length=64, null=True, db_collation="C", help_text="Null if recovered from state, not from an event."
    )
    event_id = models.CharField(  # noqa: DJ001
        max_length=EVENT_ID_LENGTH, null=True, unique=True, db_collation="C", help_text="Null likewise."
    )
    ledger = models.BigIntegerField(null=True, help_text="Null likewise.")
    created_at = models.DateTimeField(null=True, help_text="By the chain; null likewise.")
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

    reason = models.BigIntegerField(choices=Reason.choices)

    class Meta(HistoryRow.Meta):
        constraints: ClassVar = [
            *HistoryRow.Meta.constraints,
            models.UniqueConstraint(fields=["group", "user"], name="refund_once_per_member"),
        ]
