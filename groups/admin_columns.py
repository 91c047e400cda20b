"""Admin columns of wallets and amounts, for this app and for contributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

from django.contrib import admin
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.lists import Rows
from groups.models import Token, User, WalletLabel

Row = TypeVar("Row", bound=Model)


def with_label(rows: QuerySet[Row], column: str) -> QuerySet[Row]:
    """Annotate `wallet_label`: staff's label of the wallet whose address is in `column`, or None."""
    label = WalletLabel.objects.filter(address=OuterRef(column)).values("label")
    return cast("QuerySet[Row]", rows.annotate(wallet_label=Subquery(label)))


def by_wallet(column: str) -> Callable[[Rows, str], Rows]:
    """Return a search function: rows whose foreign key `column` is the wallet of the term's address.

    The wallet's key is looked up in a subquery, so that the index of `column` gives the order.
    """

    def find(rows: Rows, term: str) -> Rows:
        return rows.filter(**{column: Subquery(User.objects.filter(wallet_address=term).values("pk"))})

    return find


def token_amount(amount: int, token: Token | None) -> SafeString:
    """Return an amount, given in the token's smallest unit, as `display.money` writes it."""
    if token is None:
        return display.money(amount, None, None, verified=False)
    return display.money(amount, token.symbol, token.decimals, verified=token.verified)


def token_cell(amount: int, token: Token | None) -> SafeString:
    """Return an amount for a cell of a list, as `display.money_cell` writes it."""
    if token is None:
        return display.money_cell(amount, None, None, verified=False)
    return display.money_cell(amount, token.symbol, token.decimals, verified=token.verified)


def token_text(amount: int, token: Token | None) -> str:
    """Return an amount as plain text, as `display.amount_text` writes it."""
    if token is None:
        return display.amount_text(amount, None, None, verified=False)
    return display.amount_text(amount, token.symbol, token.decimals, verified=token.verified)


class WalletColumnMixin:
    """Columns of an admin or inline whose rows belong to a wallet: its address with staff's label."""

    wallet_field: ClassVar[str] = "user"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)  # type: ignore[misc]  # of the admin that this is mixed into
        return with_label(rows.select_related(self.wallet_field), f"{self.wallet_field}__wallet_address")

    @admin.display(description="Wallet")
    def wallet(self, row: Any) -> SafeString:
        user = getattr(row, self.wallet_field)
        return self._link(user, display.shortened(user.wallet_address), row.wallet_label)

    @admin.display(description="Wallet")
    def whole_wallet(self, row: Any) -> SafeString:
        user = getattr(row, self.wallet_field)
        return self._link(user, user.wallet_address, row.wallet_label)

    @staticmethod
    def _link(user: User, address: str, label: str | None) -> SafeString:
        link = display.change_link(User, user.pk, address)
        return format_html("{} {}", link, display.safe_text(label)) if label else link
