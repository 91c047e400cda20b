"""Wallets by the names that staff gave them: the label first, the address beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from django.utils.html import format_html
from django.utils.safestring import SafeString

from ajo.adminkit import display
from groups.models import User, WalletLabel


@dataclass(frozen=True, slots=True)
class People:
    """The labels of some wallets, and their rows, by address."""

    labels: dict[str, str]
    users: dict[str, User]

    @classmethod
    def of(cls, addresses: Iterable[str]) -> Self:
        """Return the labels and rows of these wallets, in two queries."""
        wanted = set(addresses)
        labels = WalletLabel.objects.filter(address__in=wanted).values_list("address", "label")
        users = {user.wallet_address: user for user in User.objects.filter(wallet_address__in=wanted)}
        return cls(dict(labels), users)

    def name(self, address: str) -> SafeString:
        """Return `Amina`, or `GBXXFE…KGOP4Z` with the whole address as its tooltip."""
        label = self.labels.get(address)
        return display.safe_text(label) if label else display.shortened(address)

    def link(self, user: User) -> SafeString:
        """Return `Amina · GBXXFE…KGOP4Z`, a link to the wallet's page with the whole address as its tooltip."""
        address = user.wallet_address
        label = self.labels.get(address)
        link = display.change_link(User, user.pk, display.shortened(address))
        return format_html("{} · {}", display.safe_text(label), link) if label else link

    def link_of(self, address: str) -> SafeString:
        """Return the link of a wallet's address; a wallet that these rows do not have is shown without one."""
        user = self.users.get(address)
        return self.link(user) if user else display.shortened(display.escape_invisible(address))
