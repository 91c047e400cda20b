"""State: wallets, tokens, groups, members and refund requests, as the contract's ledger entries have them.

The sync writes these tables (groups/sync.py). Wallet labels are the exception: staff write them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Least, Now

from ajo.soroban.fields import I128_MAX, I128_MIN, U32_MAX, U64_MAX, AddressField, I128Field, U64Field, in_range
from groups import deadlines
from groups.search import SearchKeyField


class WalletLabel(models.Model):
    """Staff's own words for an address. They never appear in the API; rebuild and reset leave them alone."""

    address = AddressField(unique=True)
    label = models.CharField(max_length=100)
    note = models.TextField(blank=True)
    search_key = SearchKeyField()

    class Meta:
        indexes: ClassVar = [GinIndex(fields=["search_key"], opclasses=["gin_trgm_ops"], name="label_search_key")]

    def __str__(self) -> str:
        return self.label


# What the contract owes, less the premiums that it booked without collecting them (docs/chain.md §1.3).
OWED_AND_COLLECTED = models.F("owed") - models.F("booked_premiums")


class TokenQuerySet(models.QuerySet["Token"]):
    def short(self) -> Self:
        """Return the tokens of which the contract held less than it owed, booked premiums aside, when last compared."""
        return self.filter(balance__lt=OWED_AND_COLLECTED)

    def short_of_premiums(self) -> Self:
        """Return the tokens of which the contract held less than it owed, by booked premiums alone."""
        return self.filter(balance__lt=models.F("owed"), balance__gte=OWED_AND_COLLECTED)


class Token(models.Model):
    """A token contract that a group collects, as its own contract instance describes it."""

    address = AddressField(unique=True)
    symbol = models.TextField(null=True, help_text="As the token says; null if it says nothing that can be read.")  # noqa: DJ001  # unknown is not ""
    name = models.TextField(blank=True, default="")
    decimals = models.BigIntegerField(null=True, help_text="Digits after the point of the token's unit.")
    is_asset_contract = models.BooleanField(
        default=False, help_text="A Stellar Asset Contract: the network keeps its rules."
    )
    verified = models.BooleanField(default=False, help_text="The native asset, or listed in VERIFIED_TOKENS.")
    read_ledger = models.BigIntegerField(default=0, help_text="The ledger at which it was read; 0: not yet.")

    balance = I128Field(null=True, help_text="What the contract holds of it; null where its entry has another form.")
    owed = models.DecimalField(
        max_digits=60, decimal_places=0, default=0,
        help_text="Rounds collected and not paid out yet, and the insurance pool's book.",
    )  # fmt: skip
    booked_premiums = models.DecimalField(
        max_digits=60, decimal_places=0, default=0, db_default=0,
        help_text="Premiums that the contract booked in the insurance pool and collected from nobody, be they paid out "
        "since: so much less than it owes it holds by its own rules.",
    )  # fmt: skip
    checked_ledger = models.BigIntegerField(
        default=0, help_text="The ledger at which balance and debt became these, as a deep sweep found; 0: not yet."
    )

    objects = TokenQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [in_range("decimals", 0, U32_MAX)]
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=models.Q(balance__lt=models.F("owed")), name="groups_token_short"),
            models.Index(
                fields=["id"], condition=models.Q(balance__lt=OWED_AND_COLLECTED), name="groups_token_unexplained"
            ),
            models.Index(fields=["id"], condition=models.Q(verified=True), name="groups_token_verified"),
        ]

    def __str__(self) -> str:
        return self.symbol or self.address


class UserQuerySet(models.QuerySet["User"]):
    def ensure(self, addresses: Iterable[str]) -> dict[str, int]:
        """Return the primary key of each wallet by address, and insert the wallets that are missing.

        Idempotent, and safe when several processes run it at once.
        """
        wanted = sorted(set(addresses))
        known = self._keys(wanted)
        missing = [self.model(wallet_address=address) for address in wanted if address not in known]
        if missing:
            self.bulk_create(missing, ignore_conflicts=True)
            known = self._keys(wanted)
        return known

    def _keys(self, addresses: list[str]) -> dict[str, int]:
        return dict(self.filter(wallet_address__in=addresses).values_list("wallet_address", "pk"))


class User(models.Model):
    """A wallet that appears on the chain. Not a staff account: those are django.contrib.auth's."""

    wallet_address = AddressField(unique=True, help_text="G… or C… strkey.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When this row was made, by the database's clock.")
    updated_at = models.DateTimeField(
        db_default=Now(), help_text="When this row was last written, by the database's clock."
    )

    objects = UserQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.wallet_address)


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
        return f"{self.group_id}/{self.position}"


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
