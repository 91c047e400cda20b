"""Staff's view of history: what was paid in, out and back."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin
from ajo.adminkit.lists import Choice, address, event_id, number, tx_hash
from ajo.soroban.admin import GroupLinkMixin
from ajo.soroban.models import ContractEvent
from contributions.models import Contribution, Payout, Refund
from groups.admin import GroupAdmin, UserAdmin
from groups.admin_columns import WalletColumnMixin, token_amount, wallet_search

for belongings in (GroupAdmin, UserAdmin):
    column = "group" if belongings is GroupAdmin else "user"
    belongings.related_links += [
        ("contributions", Contribution, column), ("payouts", Payout, column), ("refunds", Refund, column)
    ]  # fmt: skip


WITHIN = ("-order_within", "-id")


class Source(Choice):
    title = "source"
    parameter_name = "source"
    options: ClassVar = {
        "event": ("its event", {"order_key__gt": ""}),
        "state": ("the contract's state (no event)", {"order_key": ""}),
    }


class HistoryAdmin(GroupLinkMixin, WalletColumnMixin, ReadOnlyAdmin):
    list_display: tuple[str, ...] = (
        "identity",
        "its_group",
        "round",
        "wallet",
        "paid",
        "transaction",
        "ledger",
        "created_at",
    )
    list_filter = (Source,)
    ordering = ("-order_key", "-id")
    ordering_within: ClassVar = dict.fromkeys(("group", "user", "tx_hash"), WITHIN)
    searches: ClassVar = (
        number("group id", "group_id", WITHIN),
        address("wallet address", wallet_search("user_id"), WITHIN),
        tx_hash("transaction hash", "tx_hash", WITHIN),
        event_id("event id", "event_id"),
    )
    indexed_lookups = frozenset({"group", "user", "tx_hash"})
    narrowed_further_by = frozenset({"round"})
    fields: ClassVar[tuple[str, ...]] = (
        "its_group",
        "round",
        "whole_wallet",
        "paid",
        "events",
        "event_id",
        "ledger",
        "created_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("group__token")
        return rows.defer(*(f"group__{name}" for name in GroupAdmin.not_in_list))

    @admin.display(description="Row")
    def identity(self, row: Any) -> str:
        return str(row)

    @admin.display(description="Amount")
    def paid(self, row: Any) -> SafeString:
        return token_amount(row.amount, row.group.token)

    @admin.display(description="Transaction")
    def transaction(self, row: Any) -> SafeString | str:
        if row.tx_hash is None:
            return "not known"
        return display.changelist_link(ContractEvent, display.shortened(row.tx_hash), tx_hash=row.tx_hash)

    @admin.display(description="Transaction")
    def events(self, row: Any) -> SafeString | str:
        if row.tx_hash is None:
            return "not known: recovered from the contract's state"
        return display.changelist_link(ContractEvent, row.tx_hash, tx_hash=row.tx_hash)


@admin.register(Contribution)
class ContributionAdmin(HistoryAdmin):
    pass


@admin.register(Payout)
class PayoutAdmin(HistoryAdmin):
    pass


@admin.register(Refund)
class RefundAdmin(HistoryAdmin):
    list_display = (*HistoryAdmin.list_display, "reason")
    fields: ClassVar[tuple[str, ...]] = (*HistoryAdmin.fields, "reason")
