"""Admin of history: contributions, payouts and refunds. All of it is read-only."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin
from ajo.adminkit.columns import column, row_column
from ajo.adminkit.links import RelatedTable, register_links
from ajo.adminkit.lists import Rows, address_search, choice_filter, event_id_search, hash_search, number_search
from ajo.api.clock import chain_now
from ajo.api.throttles import client_address
from ajo.soroban.admin import GroupLinkMixin
from ajo.soroban.models import ContractEvent
from contributions.admin_exports import csv_download, list_totals
from contributions.models import Contribution, Payout, Refund
from contributions.periods import NAMED, parse_period, within
from groups.admin import GroupAdmin
from groups.admin_columns import WalletColumnMixin, by_wallet, token_amount, token_cell
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


class PeriodFilter(SimpleListFilter):
    """History of a named period, or from one date to another."""

    title = "period (UTC)"
    parameter_name = "period"
    template = "admin/period_filter.html"

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        super().__init__(request, *args)
        self.others = [
            (name, value)
            for name, values in request.GET.lists()
            if name not in (self.parameter_name, PAGE_VAR, ERROR_FLAG)
            for value in values
        ]

    @property
    def dates(self) -> list[str]:
        """Return the two dates that are chosen, for the form; empty where none is, or a named period."""
        text = self.value() or ""
        return ["", ""] if text in NAMED else text.split("..")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in NAMED.items()]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        if not (text := self.value()):
            return queryset
        try:
            return within(queryset, parse_period(text, chain_now()), "order_key")
        except ValueError as failure:
            raise IncorrectLookupParameters from failure


class HistoryAdmin(GroupLinkMixin, WalletColumnMixin, ReadOnlyAdmin):
    """The base of the admins of the three history tables."""

    list_display: tuple[str, ...] = (
        "identity",
        "its_group",
        "round",
        "wallet",
        "amount_cell",
        "transaction",
        "ledger",
        "created_at",
    )
    change_list_template = "admin/history.html"
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

    amount_cell = row_column("Amount", lambda row: token_cell(row.amount, row.group.token))

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_csv"
        return [path("csv/", self.admin_site.admin_view(self.csv_view), name=name), *super().get_urls()]

    def csv_view(self, request: HttpRequest) -> HttpResponseBase:
        """Send all rows that the list's filters leave, as CSV, in the list's order."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse(self._list_name()))
        return csv_download(rows, str(self.opts.verbose_name_plural), client_address(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list with the totals of what its filters leave. `from` and `to` of the form become `period`."""
        if dates := {"from", "to"} & set(request.GET):
            query = request.GET.copy()
            query["period"] = "..".join(query.get(name, "") for name in ("from", "to"))
            for name in [*dates, *["period"] * (query["period"] == "..")]:
                del query[name]
            return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")
        response = super().changelist_view(request, extra_context)
        changelist = getattr(response, "context_data", {}).get("cl")
        if isinstance(response, TemplateResponse) and changelist is not None:
            address = reverse(f"{self._list_name().removesuffix('changelist')}csv")
            query_string = changelist.get_query_string()  # the page is not in it
            is_narrowed = bool(changelist.params or changelist.query)
            totals = list_totals(changelist.queryset) if is_narrowed else None
            response.context_data = {
                **(response.context_data or {}), "totals": totals, "csv_address": address + query_string
            }  # fmt: skip
        return response

    def _list_name(self) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"

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
