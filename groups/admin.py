"""Staff's view of wallets, groups, members and refund requests. Labels are the one thing here that staff write."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import F, QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from stellar_sdk import StrKey

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin, ReadOnlyInline, TableAdmin
from ajo.adminkit.lists import Choice, Rows, address, number, words
from ajo.soroban.admin import GroupLinkMixin
from ajo.soroban.archival import archived, expiring_soon
from ajo.soroban.models import Checkpoint, ContractEvent
from groups import schedule
from groups.admin_columns import WalletColumnMixin, token_amount, wallet_search, with_label
from groups.models import BACKED, Group, GroupMember, RefundRequest, Token, User, WalletLabel

PAYOUT_ORDER = ("position",)  # of one group's members
NEWEST = 100  # groups of one wallet in a search; all of them are linked from its page
ADDRESS_FORM = "An account (G…) or contract (C…) address of 56 characters is expected."


class LabelForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    def clean_address(self) -> str:
        given = str(self.cleaned_data["address"]).strip().upper()
        if not (StrKey.is_valid_ed25519_public_key(given) or StrKey.is_valid_contract(given)):
            raise forms.ValidationError(ADDRESS_FORM)
        return given


@admin.register(WalletLabel)
class WalletLabelAdmin(TableAdmin):
    """Labels are notes among colleagues, and exist nowhere else: who writes them has Django's permission for it.

    The history says whose they are.
    """

    form = LabelForm
    list_display = ("shown_label", "address", "shown_note")
    searches: ClassVar = (
        address("address", "address"),
        words("or part of a label", "search_key__finds"),
    )

    @admin.display(description="Label")
    def shown_label(self, row: WalletLabel) -> SafeString:
        return display.safe_text(row.label)

    @admin.display(description="Note")
    def shown_note(self, row: WalletLabel) -> SafeString:
        return display.safe_text(row.note, 120)


class Solvency(Choice):
    title = "solvency"
    parameter_name = "solvency"
    options: ClassVar = {
        "short": ("less held than owed", {"balance__lt": BACKED}),
        "premiums": (
            "less held by booked premiums alone",
            {"balance__lt": F("owed"), "balance__gte": BACKED},
        ),
    }


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    list_display = ("address", "short_symbol", "held", "owes", "premiums", "decimals", "verified", "is_asset_contract")
    list_filter = (Solvency,)
    searches: ClassVar = (address("token address", "address"),)
    fieldsets = (
        (None, {"fields": ("address", "short_symbol", "whole_name", "decimals", "verified", "is_asset_contract")}),
        ("The contract's", {"fields": ("held", "owes", "premiums", "checked_ledger")}),
        ("Cache", {"fields": ("read_ledger", "groups")}),
    )

    @admin.display(description="The contract holds")
    def held(self, row: Token) -> SafeString | str:
        return "not known" if row.balance is None else token_amount(row.balance, row)

    @admin.display(description="The contract owes")
    def owes(self, row: Token) -> SafeString | str:
        return token_amount(int(row.owed), row) if row.checked_ledger else "not known"

    @admin.display(description="Premiums booked, collected from nobody")
    def premiums(self, row: Token) -> SafeString | str:
        return token_amount(int(row.booked_premiums), row) if row.booked_premiums else "none"

    @admin.display(description="Symbol")
    def short_symbol(self, row: Token) -> SafeString | str:
        return "unknown" if row.symbol is None else display.safe_text(row.symbol)

    @admin.display(description="Name")
    def whole_name(self, row: Token) -> SafeString:
        return display.safe_multiline(row.name)

    @admin.display(description="See also")
    def groups(self, row: Token) -> SafeString:
        return display.changelist_link(Group, "groups", token=row.address)


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("wallet_address", "label", "created_at", "updated_at")
    searches: ClassVar = (address("wallet address", "wallet_address"), number("row id", "pk"))
    fields = ("wallet_address", "label_with_link", "see_also", "created_at", "updated_at")
    related_links: ClassVar = [("groups created", Group, "creator"), ("memberships", GroupMember, "user")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        may_label = Value(request.user.has_perm("groups.add_walletlabel"))
        rows: QuerySet[User] = with_label(super().get_queryset(request), "wallet_address")
        return rows.annotate(may_label=may_label)

    @admin.display(description="Label")
    def label(self, row: Any) -> SafeString | str:
        return display.safe_text(row.wallet_label) if row.wallet_label else ""

    @admin.display(description="Label")
    def label_with_link(self, row: Any) -> SafeString | str:
        found = WalletLabel.objects.filter(address=row.wallet_address).first()
        if found is not None:
            return display.change_link(WalletLabel, found.pk, display.safe_text(found.label))
        if not row.may_label:
            return "-"
        blank = reverse("admin:groups_walletlabel_add")
        return format_html('<a href="{}?address={}">Label this wallet</a>', blank, row.wallet_address)


class MemberInline(WalletColumnMixin, ReadOnlyInline):
    """A contract's group has 100 members at most."""

    model = GroupMember
    fields = readonly_fields = ("position", "whole_wallet", "joined_at", "has_contributed", "has_received_payout")
    ordering = ("position",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[GroupMember]:
        return super().get_queryset(request).select_related("group")

    @admin.display(description="Paid out", boolean=True)
    def has_received_payout(self, row: GroupMember) -> bool:
        return row.position < row.group.payout_index


class RefundRequestInline(WalletColumnMixin, ReadOnlyInline):
    wallet_field = "requester"
    model = RefundRequest
    fields = readonly_fields = (
        "whole_wallet", "created_at", "voting_deadline", "votes_for", "votes_against", "executed", "approved",
    )  # fmt: skip


class GroupStatus(Choice):
    title = "status"
    parameter_name = "status"
    options: ClassVar = {
        "active": ("active", {"status": Group.Status.ACTIVE}),
        "joinable": ("active and not full", {"is_joinable": True}),
        "completed": ("completed", {"status": Group.Status.COMPLETED}),
        "cancelled": ("cancelled", {"status": Group.Status.CANCELLED}),
    }


class Life(Choice):
    title = "life on the chain"
    parameter_name = "life"
    options: ClassVar = {
        "ends": ("ends within a week", lambda rows: expiring_soon(rows, Checkpoint.objects.chain_ledger())),
        "archived": ("archived, or not known", lambda rows: archived(rows, Checkpoint.objects.chain_ledger())),
    }


class HistoryProof(Choice):
    title = "history"
    parameter_name = "history"
    options: ClassVar = {"unproven": ("has rows that no entry proves", {"unproven_rows__gt": 0})}


def _with_member_or_token(rows: Rows, term: str) -> Rows:
    """Groups that collect this token, else the newest that this wallet belongs to; a creator is the first member.

    A join would be cheaper to write; of a wallet with few old groups it may read all others first.
    """
    if term.startswith("C") and Token.objects.filter(address=term).exists():
        return rows.filter(token=term)
    places = wallet_search("user_id")(GroupMember.objects.order_by("-group_id"), term)
    return rows.filter(pk__in=list(places.values_list("group_id", flat=True)[:NEWEST]))


@admin.register(Group)
class GroupAdmin(WalletColumnMixin, ReadOnlyAdmin):
    wallet_field = "creator"
    list_display = ("id", "short_name", "status", "members", "round", "amount", "paid", "made_by", "created_at")
    list_filter = (GroupStatus, Life, HistoryProof)
    searches: ClassVar = (
        number("group id", "pk"),
        address(f"address of a token, or of a member (its newest {NEWEST})", _with_member_or_token, ("-number",)),
        words("or at least three characters of a name", "search_key__finds"),
    )
    ordering_within: ClassVar = dict.fromkeys(("creator", "token", "status"), ("-number",))
    indexed_lookups = frozenset({"creator", "token", "status"})
    not_in_list = ("description", "rules", "entry_xdr", "metadata_xdr")
    inlines = (RefundRequestInline, MemberInline)
    related_links: ClassVar = [("members", GroupMember, "group"), ("events", ContractEvent, "group_id")]
    fieldsets = (
        (None, {
            "fields": ("id", "whole_name", "whole_description", "whole_rules", "creator_link", "status", "see_also"),
        }),
        ("Money", {
            "fields": ("amount", "paid", "collected", "payout", "token_link", "penalty_rate", "insurance_rate_bps"),
        }),
        ("Rounds", {
            "fields": (
                "members", "round", "next_position", "cycle_duration", "grace_period",
                "created_at", "round_started_at", "round_ends", "grace_ends",
            ),
        }),
        ("Cache", {
            "fields": (
                "modified_ledger", "synced_ledger", "changed_at", "revision", "synced_at", "live_until_ledger",
                "history_live_until_ledger", "unproven_rows", "unreadable_since",
            ),
        }),
        ("Raw entries", {"fields": ("raw_entry", "raw_metadata"), "classes": ("collapse",)}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).select_related("token")

    @admin.display(description="Name")
    def short_name(self, row: Group) -> SafeString:
        return display.safe_text(row.name)

    @admin.display(description="Name")
    def whole_name(self, row: Group) -> SafeString:
        return display.safe_multiline(row.name)

    @admin.display(description="Description")
    def whole_description(self, row: Group) -> SafeString:
        return display.safe_multiline(row.description)

    @admin.display(description="Rules")
    def whole_rules(self, row: Group) -> SafeString:
        return display.safe_multiline(row.rules)

    @admin.display(description="Creator")
    def made_by(self, row: Group) -> SafeString:
        return self.wallet(row)

    @admin.display(description="Creator")
    def creator_link(self, row: Group) -> SafeString:
        return self.whole_wallet(row)

    @admin.display(description="Members")
    def members(self, row: Group) -> str:
        return f"{row.member_count} of {row.max_members}"

    @admin.display(description="Round")
    def round(self, row: Group) -> int:
        return row.current_round

    @admin.display(description="Paid this round")
    def paid(self, row: Group) -> str:
        return f"{row.contributions_received} of {row.member_count}"

    @admin.display(description="Each pays")
    def amount(self, row: Group) -> SafeString:
        return token_amount(row.contribution_amount, row.token)

    @admin.display(description="Collected this round")
    def collected(self, row: Group) -> SafeString:
        return token_amount(schedule.collected_amount(row), row.token)

    @admin.display(description="Next payout")
    def payout(self, row: Group) -> SafeString | str:
        return token_amount(schedule.payout_amount(row), row.token) if schedule.pays_out(row) else "-"

    @admin.display(description="Payout index")
    def next_position(self, row: Group) -> str:
        return str(row.payout_index) if schedule.pays_out(row) else "-"

    @admin.display(description="Token")
    def token_link(self, row: Group) -> SafeString | str:
        return "-" if row.token is None else display.change_link(Token, row.token.pk, row.token.address)

    @admin.display(description="Round ends")
    def round_ends(self, row: Group) -> str:
        return display.format_time(schedule.round_ends_at(row)) if schedule.pays_out(row) else "-"

    @admin.display(description="Grace ends")
    def grace_ends(self, row: Group) -> str:
        return display.format_time(schedule.grace_ends_at(row)) if schedule.pays_out(row) else "-"

    @admin.display(description="GROUP entry")
    def raw_entry(self, row: Group) -> SafeString:
        return display.preformatted(row.entry_xdr)

    @admin.display(description="METADATA entry")
    def raw_metadata(self, row: Group) -> SafeString:
        return display.preformatted(row.metadata_xdr)


GroupLinkMixin.group_model = Group


@admin.register(GroupMember)
class GroupMemberAdmin(GroupLinkMixin, WalletColumnMixin, ReadOnlyAdmin):
    list_display = ("id", "its_group", "position", "wallet", "joined_at", "has_contributed")
    ordering = ("-group_id", "-position")
    ordering_within: ClassVar = {"group": PAYOUT_ORDER}
    searches: ClassVar = (
        number("group id", "group_id", PAYOUT_ORDER),
        address("wallet address", wallet_search("user_id")),
    )
    indexed_lookups = frozenset({"group", "user"})
    fields = ("its_group", "position", "whole_wallet", "joined_at", "has_contributed")


@admin.register(RefundRequest)
class RefundRequestAdmin(GroupLinkMixin, WalletColumnMixin, ReadOnlyAdmin):
    wallet_field = "requester"
    list_display = (
        "pk", "its_group", "wallet", "created_at", "voting_deadline",
        "votes_for", "votes_against", "executed", "approved",
    )  # fmt: skip
    searches: ClassVar = (number("group id", "group_id"), address("requester's address", wallet_search("requester_id")))
    fields = (
        "its_group", "whole_wallet", "created_at", "voting_deadline",
        "votes_for", "votes_against", "executed", "approved", "raw_entry",
    )  # fmt: skip

    @admin.display(description="REFREQ entry")
    def raw_entry(self, row: RefundRequest) -> SafeString:
        return display.preformatted(row.entry_xdr)
