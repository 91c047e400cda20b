"""Wallets that appear on the chain, and staff's words for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now

from ajo.soroban.fields import AddressField
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
