"""Token contracts that groups collect, and what the contract holds and owes of each."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models

from ajo.soroban.fields import U32_MAX, AddressField, I128Field, in_range

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
