"""Savings groups, their members, and their requests for a refund by vote."""

from __future__ import annotations

from typing import ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Least, Now

from ajo.soroban.fields import I128_MAX, I128_MIN, U32_MAX, U64_MAX, I128Field, U64Field, in_range
from groups import deadlines
from groups.models.tokens import Token
from groups.models.wallets import User
from groups.search import SearchKeyField


class GroupQuerySet(models.QuerySet["Group"]):
    def unconfirmed(self) -> Self:
        """Return the groups with history rows that the entries contradicted at the last deep sweep."""
        return self.filter(unproven_rows__gt=0)

    def touch(self) -> None:
        """Mark the bodies as changed for another reason than the entries, so that cached ones become stale."""
        self.update(revision=models.F("revision") + 1, changed_at=Now())


EARLIEST_LIVE_UNTIL = Least("live_until_ledger", "history_live_until_ledger")  # LEAST ignores NULL


class Group(models.Model):
    """One savings group, equal to the contract's entries at `synced_ledger` (docs/chain.md §1.1)."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        COMPLETED = "completed"
        CANCELLED = "cancelled"

    id = models.BigIntegerField(primary_key=True, help_text="The contract's number.")
    name = models.TextField(
        blank=True, default="", help_text="At most 50 bytes on the chain; what is no text there is replaced."
    )
    search_key = SearchKeyField()
    description = models.TextField(blank=True, default="")
    rules = models.TextField(blank=True, default="")
    creator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="created_groups", db_index=False)
    token = models.ForeignKey(
        Token, on_delete=models.PROTECT, to_field="address", db_column="token_address", null=True, db_index=False,
        help_text="The token contract's address; null in groups that older contracts wrote.",
    )  # fmt: skip
    contribution_amount = I128Field(help_text="What each member pays each round, in the token's smallest unit.")
    cycle_duration = U64Field(help_text="Seconds that a round lasts.")
    grace_period = U64Field(null=True, help_text="Seconds after a round's end in which paying is not late.")
    penalty_rate = models.BigIntegerField(
        null=True, help_text="Percent; declared by the creator, charged by nobody today."
    )
    insurance_rate_bps = models.BigIntegerField(null=True, help_text="Premium in hundredths of a percent.")
    max_members = models.BigIntegerField()
    member_count = models.BigIntegerField()
    current_round = models.BigIntegerField(help_text="From 1; what the contract calls cycle.")
    payout_index = models.BigIntegerField(help_text="Position of the member who is paid next.")
    contributions_received = models.BigIntegerField(help_text="Members who have paid this round.")
    status = models.CharField(max_length=9, choices=Status.choices)
    is_active = models.GeneratedField(
        expression=models.ExpressionWrapper(models.Q(status="active"), output_field=models.BooleanField()),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    is_joinable = models.GeneratedField(
        expression=models.ExpressionWrapper(
            models.Q(status="active", member_count__lt=models.F("max_members")), output_field=models.BooleanField()
        ),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    number = models.GeneratedField(
        expression=models.ExpressionWrapper(models.F("id"), output_field=models.BigIntegerField()),
        output_field=models.BigIntegerField(),
        db_persist=True,
        help_text="The id again. Filtered lists are ordered by it, for whose order only their own indexes exist.",
    )
    created_at = models.DateTimeField(null=True, help_text="By the chain; null if no calendar holds it.")
    round_started_at = models.DateTimeField(null=True, help_text="By the chain; null if no calendar holds it.")

    entry_xdr = models.TextField(help_text="The GROUP entry (LedgerEntryData, base64); empty while unreadable.")
    metadata_xdr = models.TextField(blank=True, default="", help_text="The METADATA entry; empty while none is set.")
    modified_ledger = models.BigIntegerField(help_text="When any entry that this row shows last changed on the chain.")
    synced_ledger = models.BigIntegerField(help_text="The ledger at which this row's entries were last read.")
    changed_at = models.DateTimeField(db_default=Now(), help_text="When it last changed, by the database's clock.")
    revision = models.BigIntegerField(
        default=1, help_text="Counts the changes of this row: what a cached body is compared by."
    )
    verified_round = models.BigIntegerField(
        default=0, help_text="Rounds up to this were compared with the chain's entries after they had closed."
    )
    synced_at = models.DateTimeField(db_default=Now(), help_text="By the database's clock.")
    live_until_ledger = models.BigIntegerField(
        null=True, help_text="When the first of its GROUP and METADATA entries is archived; 0: archived or unknown."
    )
    history_live_until_ledger = models.BigIntegerField(
        null=True,
        help_text="When its first PAYOUT, REFUND, REFREQ or open rounds' CONTRIB entry is archived.",
    )
    unproven_rows = models.BigIntegerField(
        default=0,
        help_text="Rows of its history of which the entries say something else, or nothing; by the deep sweep.",
    )
    drifted_at = models.DateTimeField(
        null=True,
        help_text="When a sweep last found it other than the chain has it, and no event had told.",
    )
    unreadable_since = models.DateTimeField(
        null=True, help_text="When its entries became such as this version cannot read: the row says what was before."
    )

    objects = GroupQuerySet.as_manager()
    earliest_live_until: ClassVar = EARLIEST_LIVE_UNTIL

    class Meta:
        permissions: ClassVar = [
            ("reread_group", "Can read a group again from the chain"),
            ("heal_group", "Can heal a group"),
        ]
        constraints: ClassVar = [
            in_range("id", 1, 2**63 - 1),
            in_range("contribution_amount", I128_MIN, I128_MAX),
            in_range("cycle_duration", 0, U64_MAX),
            in_range("grace_period", 0, U64_MAX),
            in_range("penalty_rate", 0, U32_MAX),
            in_range("insurance_rate_bps", 0, U32_MAX),
            in_range("max_members", 0, U32_MAX),
            in_range("current_round", 0, U32_MAX),
            in_range("payout_index", 0, U32_MAX),
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "completed", "cancelled"]), name="groups_group_status"
            ),
            models.CheckConstraint(
                condition=models.Q(contributions_received__gte=0, contributions_received__lte=models.F("member_count")),
                name="groups_group_contributions_received",
            ),
        ]
        # One for each filter of the API's list with each ordering; `number` closes it: a keyset page is a range.
        indexes: ClassVar = [
            *(
                models.Index(
                    fields=[prefix, *order, "number"],
                    name="_".join(["grp", prefix[:7], *(o[:7] for o in order)]) + "_n",
                )
                for prefix in ("status", "creator", "token", "is_joinable")
                for order in ([], ["contribution_amount"], ["member_count"])
            ),
            models.Index(fields=["contribution_amount", "id"], name="grp_contrib_x"),
            # The amount is in it for index-only scans; `+ 0` keeps the planner from the primary key, which reads rows.
            models.Index(models.F("id") + 0, "contribution_amount", name="grp_id_amount"),
            models.Index(fields=["member_count", "id", "contribution_amount"], name="grp_member_amount"),
            *deadlines.INDEXES,
            models.Index(fields=["changed_at"], name="grp_changed_at"),
            models.Index(EARLIEST_LIVE_UNTIL, name="grp_first_end"),
            models.Index(fields=["id"], condition=models.Q(unproven_rows__gt=0), name="grp_unproven"),
            models.Index(fields=["id"], condition=models.Q(drifted_at__isnull=False), name="grp_drifted"),
            GinIndex(fields=["search_key"], opclasses=["gin_trgm_ops"], name="grp_search_key"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.name}" if self.name else str(self.pk)


class GroupMember(models.Model):
    """A wallet's membership of a group. `position` is join order, which is payout order (docs/chain.md §1.1)."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships", db_index=False)
    position = models.BigIntegerField(help_text="0-based.")
    joined_at = models.DateTimeField(null=True, help_text="By the chain; null when its event is out of reach.")
    has_contributed = models.BooleanField(help_text="Whether this round is paid.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["group", "user"], name="groups_member_once"),
            models.UniqueConstraint(fields=["group", "position"], name="groups_member_position"),
            in_range("position", 0, U32_MAX),
        ]
        indexes: ClassVar = [models.Index(fields=["user", "group"], name="groups_member_user")]

    def __str__(self) -> str:
        return f"Group {self.group_id}, position {self.position + 1}"  # counted from 1, as rounds are


class RefundRequest(models.Model):
    """A group's one request for a refund by vote; the contract counts the votes (docs/chain.md §1.1)."""

    group = models.OneToOneField(Group, on_delete=models.CASCADE, primary_key=True, related_name="refund_request")
    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="refund_requests")
    created_at = models.DateTimeField(null=True)
    voting_deadline = models.DateTimeField(null=True)
    votes_for = models.BigIntegerField()
    votes_against = models.BigIntegerField()
    executed = models.BooleanField()
    approved = models.BooleanField()
    entry_xdr = models.TextField(help_text="The REFREQ entry (LedgerEntryData, base64).")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["voting_deadline"], condition=models.Q(executed=False), name="groups_refund_vote_open")
        ]

    def __str__(self) -> str:
        return f"refund request of {self.group_id}"
