"""Admin of history: contributions, payouts and refunds. All of it is read-only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin
from ajo.adminkit.columns import column
from ajo.adminkit.links import RelatedTable, register_links
from ajo.adminkit.lists import Rows, address_search, choice_filter, event_id_search, hash_search, number_search
from ajo.soroban.admin import GroupLinkMixin
from ajo.soroban.models import ContractEvent
from contributions.models import Contribution, Payout, Refund
from contributions.periods import PERIODS, Period, within
from groups.admin import GroupAdmin
from groups.admin_columns import WalletColumnMixin, by_wallet, token_amount
from groups.models import Group, User

for owner, lookup in ((Group, "group"), (User, "user")):
    register_links(
        owner,
        RelatedTable("contributions", Contribution, lookup),
        RelatedTable("payouts", Payout, lookup),
        RelatedTable("refunds", Refund, lookup),
    )

FILTERED_ORDER = ("-order_within", "-id")  # the order of the indexes that begin with a filter's column

SourceFilter = choice_filter(
    "source",
    {
        "event": ("its event", {"order_key__gt": ""}),
        "state": ("the contract's state (no event)", {"order_key": ""}),
    },
)


def _in_period(period: Callable[[datetime], Period], rows: Rows) -> Rows:
    return within(rows, *period(timezone.now()))


PeriodFilter = choice_filter(
    "period (UTC)",
    {name: (label, partial(_in_period, period)) for name, (label, period) in PERIODS.items()},
    parameter="period",
)


class HistoryAdmin(GroupLinkMixin, WalletColumnMixin, ReadOnlyAdmin):
    """The base of the admins of the three history tables."""

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
    list_filter = (PeriodFilter, SourceFilter)
    ordering = ("-order_key", "-id")
    ordering_by_lookup: ClassVar = dict.fromkeys(("group", "user", "tx_hash"), FILTERED_ORDER)
    searches: ClassVar = (
        number_search("group id", "group_id", FILTERED_ORDER),
        address_search("wallet address", by_wallet("user_id"), FILTERED_ORDER),
        hash_search("transaction hash", "tx_hash", FILTERED_ORDER),
        event_id_search("event id", "event_id"),
    )
    indexed_lookups = frozenset({"group", "user", "tx_hash"})
    secondary_lookups = frozenset({"round"})
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
    transaction = column(
        "tx_hash", "Transaction", lambda tx: _events_link(tx, display.shortened(tx)), missing="not known"
    )
    events = column(
        "tx_hash",
        "Transaction",
        lambda tx: _events_link(tx, tx),
        missing="not known: recovered from the contract's state",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("group__token")
        return rows.defer(*(f"group__{name}" for name in GroupAdmin.deferred_columns))

    @admin.display(description="Row")
    def identity(self, row: Any) -> str:
        return str(row)

    @admin.display(description="Amount")
    def paid(self, row: Any) -> SafeString:
        return token_amount(row.amount, row.group.token)


def _events_link(tx_hash: str, text: str) -> SafeString:
    """Return a link to the events of a transaction."""
    return display.changelist_link(ContractEvent, text, tx_hash=tx_hash)


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
