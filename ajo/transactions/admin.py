"""Admin of the transactions that were submitted here: who did what, and what became of it. All of it is read-only."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin
from ajo.adminkit.columns import column, json_column, multiline_column, raw_column, text_column
from ajo.adminkit.links import RelatedTable, register_links
from ajo.adminkit.lists import address_search, choice_filter, column_options, hash_search, number_search
from ajo.soroban.admin import GroupLinkMixin
from ajo.soroban.models import ChainTransaction, ContractEvent
from ajo.transactions.filters import FUNCTIONS
from groups.admin_columns import with_label
from groups.models import Group, User

Status: Final = ChainTransaction.Status
# What staff tell a person who asks what became of a payment.
WORDS: Final[dict[str, str]] = {
    Status.PENDING: "under way: sent, or to be sent again; not to be paid again",
    Status.SUCCESS: "done",
    Status.FAILED: "failed in its ledger: the fee was charged, nothing else changed",
    Status.REJECTED: "refused before any ledger: nothing was charged",
    Status.EXPIRED: "never applied, and never will be: nothing was charged",
    Status.UNKNOWN: "not known: older than every node's history",
}
CALLS: Final[dict[str, str]] = {name: name.replace("_", " ") for name, _ in FUNCTIONS}

register_links(Group, RelatedTable("transactions", ChainTransaction, "group_id"))

StatusFilter = choice_filter("status", column_options("status", Status.choices))
FunctionFilter = choice_filter("function", column_options("function", list(CALLS.items())))


SUBMITTED_FIELDS = ("created_at", "submitted_ledger", "account_ledger", "sequence", "valid_until", "max_fee")


@admin.register(ChainTransaction)
class ChainTransactionAdmin(GroupLinkMixin, ReadOnlyAdmin):
    ordering = ("-submitted_ledger", "-hash")
    list_display = (
        "short_hash",
        "what",
        "wallet",
        "its_group",
        "in_words",
        "short_reason",
        "ledger",
        "created_at",
    )
    list_filter = (StatusFilter, FunctionFilter)
    searches: ClassVar = (
        number_search("group id", "group_id"),
        address_search("wallet address", "source"),
        hash_search("transaction hash", "pk"),
    )
    indexed_lookups = frozenset({"group_id", "source"})
    deferred_columns = ("xdr", "result", "detail")
    fieldsets = (
        (None, {"fields": ("hash", "what", "whole_wallet", "its_group", "in_words")}),
        ("Why", {"fields": ("code", "whole_reason", "refusal")}),
        ("On the chain", {"fields": ("ledger", "closed_at", "fee_charged", "bump_hash", "returned", "events")}),
        (
            "Submitted",
            {"fields": SUBMITTED_FIELDS},
        ),
        ("Followed", {"fields": ("attempts", "whole_answer", "queued_ledger", "next_attempt_at", "updated_at")}),
        ("Of this wallet", {"fields": ("others",)}),
        ("Signed envelope", {"fields": ("raw_xdr",), "classes": ("collapse",)}),
    )
    short_hash = column("hash", "Transaction", display.shortened)
    what = column("function", "What", lambda name: display.safe_text(CALLS.get(name, name)))
    in_words = column("status", "What became of it", lambda status: display.safe_text(WORDS[status], 80))
    short_reason = text_column("code", "Why", 40)
    whole_reason = multiline_column("detail", "Why")
    whole_answer = multiline_column("last_answer", "A node's last answer")
    refusal = json_column("contract_error", "The contract's refusal", 300)
    returned = json_column("result", "Returned", 300)
    raw_xdr = raw_column("xdr", "XDR")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChainTransaction]:
        wallet_id = Subquery(User.objects.filter(wallet_address=OuterRef("source")).values("pk"))
        rows: QuerySet[ChainTransaction] = with_label(super().get_queryset(request), "source")
        return rows.annotate(wallet_id=wallet_id)

    @admin.display(description="Who")
    def wallet(self, row: Any) -> SafeString:
        return self._wallet(row, display.shortened(row.source))

    @admin.display(description="Who")
    def whole_wallet(self, row: Any) -> SafeString:
        return self._wallet(row, row.source)

    @staticmethod
    def _wallet(row: Any, text: str) -> SafeString:
        """Return the source's address with staff's label; a link where it is a wallet of the groups."""
        shown = display.change_link(User, row.wallet_id, text) if row.wallet_id else format_html("{}", text)
        return format_html("{} {}", shown, display.safe_text(row.wallet_label)) if row.wallet_label else shown

    @admin.display(description="Valid until")
    def valid_until(self, row: ChainTransaction) -> str:
        return display.format_time(row.valid_until)

    @admin.display(description="Events")
    def events(self, row: ChainTransaction) -> SafeString:
        return display.changelist_link(ContractEvent, "what it announced", tx_hash=row.bump_hash or row.hash)

    @admin.display(description="Transactions")
    def others(self, row: ChainTransaction) -> SafeString:
        return display.changelist_link(ChainTransaction, "all that it submitted here", source=row.source)
