"""Admin of wallets, tokens, groups, members and refund requests. Staff write the labels; the rest is read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from stellar_sdk import StrKey

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin, ReadOnlyInline, TableAdmin
from ajo.adminkit.columns import Column, column, multiline_column, raw_column, row_column, text_column
from ajo.adminkit.links import RelatedTable, register_links
from ajo.adminkit.lists import Rows, address_search, number_search, text_search
from ajo.soroban.admin import GroupLinkMixin
from ajo.soroban.models import ContractEvent
from groups import schedule
from groups.admin_columns import WalletColumnMixin, by_wallet, token_amount, token_cell, with_label
from groups.admin_filters import ArchivalFilter, DriftFilter, DueFilter, HistoryFilter, SolvencyFilter, StatusFilter
from groups.dues import is_paid_out
from groups.models import Group, GroupMember, RefundRequest, Token, User, WalletLabel

PAYOUT_ORDER = ("position",)  # the order of one group's members
MAX_WALLET_GROUPS = 100  # the newest groups of a wallet that a search finds; its page links to all of them
PART = "three characters or more (of Chinese, Japanese and Korean two)"
INVALID_ADDRESS = "An account (G…) or contract (C…) address of 56 characters is expected."


class LabelForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    def clean_address(self) -> str:
        """Return the address in upper case. Raises ValidationError where its checksum or kind is wrong."""
        address = str(self.cleaned_data["address"]).strip().upper()
        if not (StrKey.is_valid_ed25519_public_key(address) or StrKey.is_valid_contract(address)):
            raise forms.ValidationError(INVALID_ADDRESS)
        return address


@admin.register(WalletLabel)
class WalletLabelAdmin(TableAdmin):
    """The admin of labels, which staff write by Django's permissions. The history says who wrote each one."""

    form = LabelForm
    list_display = ("shown_label", "address", "shown_note")
    searches: ClassVar = (
        address_search("address", "address"),
        text_search(f"or {PART} of a label", "search_key__finds"),
    )
    shown_label = text_column("label", "Label")
    shown_note = text_column("note", "Note", 120)


def _solvency_columns(show: Callable[[int, Token], SafeString]) -> tuple[Column, Column, Column]:
    """Return the columns of what the contract holds of a token, what it owes, and the premiums that it booked."""

    def column_of(title: str, amount: Callable[[Token], int | None], nothing: str) -> Column:
        def cell(token: Token) -> SafeString | str:
            found = amount(token)
            return nothing if found is None else show(found, token)

        return row_column(title, cell)

    return (
        column_of("The contract holds", lambda token: token.balance, "not known"),
        column_of("The contract owes", lambda token: int(token.owed) if token.checked_ledger else None, "not known"),
        column_of("Premiums booked, collected from nobody", lambda token: int(token.booked_premiums) or None, "none"),
    )


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    list_display = ("short_address", "short_symbol", "held_cell", "owes_cell", "premiums_cell", "decimals", "verified")
    list_filter = (SolvencyFilter,)
    searches: ClassVar = (address_search("token address", "address"),)
    fieldsets = (
        (None, {"fields": ("address", "short_symbol", "whole_name", "decimals", "verified", "is_asset_contract")}),
        ("The contract's", {"fields": ("held", "owes", "premiums", "checked_ledger")}),
        ("Cache", {"fields": ("read_ledger", "groups")}),
    )
    short_symbol = text_column("symbol", "Symbol", missing="unknown")
    whole_name = multiline_column("name", "Name")
    short_address = column("address", "Address", display.shortened)

    held, owes, premiums = _solvency_columns(token_amount)
    held_cell, owes_cell, premiums_cell = _solvency_columns(token_cell)
    groups = row_column("See also", lambda token: display.changelist_link(Group, "groups", token=token.address))


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("wallet_address", "label", "created_at", "updated_at")
    searches: ClassVar = (address_search("wallet address", "wallet_address"), number_search("row id", "pk"))
    fields = ("wallet_address", "label_with_link", "see_also", "created_at", "updated_at")
    label = text_column("wallet_label", "Label")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        may_label = Value(request.user.has_perm("groups.add_walletlabel"))
        rows: QuerySet[User] = with_label(super().get_queryset(request), "wallet_address")
        return rows.annotate(may_label=may_label)

    @admin.display(description="Label")
    def label_with_link(self, row: Any) -> SafeString | str:
        """Return a link to the wallet's label, or to the form of a new one for staff who may add labels."""
        found = WalletLabel.objects.filter(address=row.wallet_address).first()
        if found is not None:
            return display.change_link(WalletLabel, found.pk, display.safe_text(found.label))
        if not row.may_label:
            return "-"
        form = reverse("admin:groups_walletlabel_add")
        return format_html('<a href="{}?address={}">Label this wallet</a>', form, row.wallet_address)


# Staff count from 1, as rounds do: the member at position 3 is paid out in round 3. The contract counts from 0.
position_column = column("position", "Position", lambda position: str(position + 1))


class MemberInline(WalletColumnMixin, ReadOnlyInline):
    """The members of a group. They need no pages: the contract allows 100."""

    model = GroupMember
    payout_position = position_column
    fields = readonly_fields = (
        "payout_position", "whole_wallet", "joined_at", "has_contributed", "has_received_payout",
    )  # fmt: skip
    ordering = ("position",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[GroupMember]:
        return super().get_queryset(request).select_related("group")

    @admin.display(description="Paid out", boolean=True)
    def has_received_payout(self, row: GroupMember) -> bool:
        return is_paid_out(row)


class RefundRequestInline(WalletColumnMixin, ReadOnlyInline):
    wallet_field = "requester"
    model = RefundRequest
    fields = readonly_fields = (
        "whole_wallet", "created_at", "voting_deadline", "votes_for", "votes_against", "executed", "approved",
    )  # fmt: skip


def _with_member_or_token(rows: Rows, term: str) -> Rows:
    """Return the groups that collect this token, else the newest groups of this wallet.

    A wallet's memberships include the groups that it created: a creator is the first member. They are looked up before
    the groups: with a join the planner may read all newer groups first.
    """
    if term.startswith("C") and Token.objects.filter(address=term).exists():
        return rows.filter(token=term)
    memberships = by_wallet("user_id")(GroupMember.objects.order_by("-group_id"), term)
    return rows.filter(pk__in=list(memberships.values_list("group_id", flat=True)[:MAX_WALLET_GROUPS]))


def _coming_column(title: str, render: Callable[[Group], SafeString | str]) -> Column:
    """Return a column of what comes next in a group: `-` where nothing does any more."""
    return row_column(title, lambda group: render(group) if schedule.pays_out(group) else "-")


@admin.register(Group)
class GroupAdmin(WalletColumnMixin, ReadOnlyAdmin):
    wallet_field = "creator"
    list_display = ("id", "short_name", "status", "members", "round", "each_pays", "paid", "made_by", "created_at")
    list_filter = (StatusFilter, DueFilter, ArchivalFilter, HistoryFilter, DriftFilter)
    searches: ClassVar = (
        number_search("group id", "pk"),
        address_search(
            f"address of a token, or of a member (its newest {MAX_WALLET_GROUPS})", _with_member_or_token, ("-number",)
        ),
        text_search(f"or {PART} of a name", "search_key__finds"),
    )
    ordering_by_lookup: ClassVar = dict.fromkeys(("creator", "token", "status"), ("-number",))
    indexed_lookups = frozenset({"creator", "token", "status"})
    deferred_columns = ("description", "rules", "entry_xdr", "metadata_xdr")
    inlines = (RefundRequestInline, MemberInline)
    fieldsets = (
        (None, {
            "fields": ("id", "whole_name", "whole_description", "whole_rules", "creator_link", "status", "see_also"),
        }),
        ("Money", {
            "fields": ("amount", "paid", "collected", "payout", "token_link", "penalty_rate", "insurance_rate_bps"),
            "classes": ("collapse",),
        }),
        ("Rounds", {
            "fields": (
                "members", "round", "next_position", "cycle_duration", "grace_period",
                "created_at", "round_started_at", "round_ends", "grace_ends",
            ),
            "classes": ("collapse",),
        }),
        ("Cache", {
            "fields": (
                "modified_ledger", "synced_ledger", "changed_at", "revision", "synced_at", "live_until_ledger",
                "history_live_until_ledger", "unproven_rows", "drifted_at", "unreadable_since",
            ),
            "classes": ("collapse",),
        }),
        ("Raw entries", {"fields": ("raw_entry", "raw_metadata"), "classes": ("collapse",)}),
    )  # fmt: skip
    short_name = text_column("name", "Name")
    whole_name = multiline_column("name", "Name")
    whole_description = multiline_column("description", "Description")
    whole_rules = multiline_column("rules", "Rules")
    round = column("current_round", "Round", str)
    token_link = column("token", "Token", lambda token: display.change_link(Token, token.pk, token.address))
    members = row_column("Members", lambda group: f"{group.member_count} of {group.max_members}")
    paid = row_column("Paid this round", lambda group: f"{group.contributions_received} of {group.member_count}")
    amount = row_column("Each pays", lambda group: token_amount(group.contribution_amount, group.token))
    each_pays = row_column("Each pays", lambda group: token_cell(group.contribution_amount, group.token))
    collected = row_column(
        "Collected this round", lambda group: token_amount(schedule.collected_amount(group), group.token)
    )
    payout = _coming_column("Next payout", lambda group: token_amount(schedule.payout_amount(group), group.token))
    next_position = _coming_column("Payout index", lambda group: str(group.payout_index))
    round_ends = _coming_column("Round ends", lambda group: display.format_time(schedule.round_ends_at(group)))
    grace_ends = _coming_column("Grace ends", lambda group: display.format_time(schedule.grace_ends_at(group)))
    raw_entry = raw_column("entry_xdr", "GROUP entry")
    raw_metadata = raw_column("metadata_xdr", "METADATA entry")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).select_related("token")

    @admin.display(description="Creator")
    def made_by(self, row: Group) -> SafeString:
        return self.wallet(row)

    @admin.display(description="Creator")
    def creator_link(self, row: Group) -> SafeString:
        return self.whole_wallet(row)


@admin.register(GroupMember)
class GroupMemberAdmin(GroupLinkMixin, WalletColumnMixin, ReadOnlyAdmin):
    payout_position = position_column
    list_display = ("id", "its_group", "payout_position", "wallet", "joined_at", "has_contributed")
    ordering = ("-group_id", "-position")
    ordering_by_lookup: ClassVar = {"group": PAYOUT_ORDER}
    searches: ClassVar = (
        number_search("group id", "group_id", PAYOUT_ORDER),
        address_search("wallet address", by_wallet("user_id")),
    )
    indexed_lookups = frozenset({"group", "user"})
    fields = ("its_group", "payout_position", "whole_wallet", "joined_at", "has_contributed")


@admin.register(RefundRequest)
class RefundRequestAdmin(GroupLinkMixin, WalletColumnMixin, ReadOnlyAdmin):
    wallet_field = "requester"
    list_display = (
        "pk", "its_group", "wallet", "created_at", "voting_deadline",
        "votes_for", "votes_against", "executed", "approved",
    )  # fmt: skip
    searches: ClassVar = (
        number_search("group id", "group_id"),
        address_search("requester's address", by_wallet("requester_id")),
    )
    fields = (
        "its_group", "whole_wallet", "created_at", "voting_deadline",
        "votes_for", "votes_against", "executed", "approved", "raw_entry",
    )  # fmt: skip
    raw_entry = raw_column("entry_xdr", "REFREQ entry")


register_links(
    User,
    RelatedTable("groups created", Group, "creator"),
    RelatedTable("memberships", GroupMember, "user"),
)
register_links(
    Group,
    RelatedTable("members", GroupMember, "group"),
    RelatedTable("events", ContractEvent, "group_id"),
    id_column="group_id",
)
