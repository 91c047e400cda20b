"""Filters and orderings of the list of groups. Wallets are looked up first: a constant plans better than a join."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import F, FilteredRelation, Q, QuerySet

from ajo.api.clock import chain_now
from ajo.api.filters import AddressFilter, AmountFilter, BoolFilter, ChoiceFilter, GroupIdsFilter, parsed_filter
from groups import deadlines
from groups.models import Group, User
from groups.queries import memberships
from groups.search import MIN_SEARCH, is_searchable

ORDERINGS: Final = ("id", "contribution_amount", "member_count")
INDEXED_FILTERS: Final = ("status", "creator", "token", "joinable")  # each begins indexes that `number` closes
MAX_SEARCH = 50  # characters, a letter and its accents being one; a name's bytes on the chain


def parse_search(text: str) -> str:
    """Return a part of a name, with composed letters. Raise ValidationError where it is too short or too long."""
    text = unicodedata.normalize("NFC", text)
    if not is_searchable(text) or len(text) > MAX_SEARCH:
        raise ValidationError(
            f"From {MIN_SEARCH} to {MAX_SEARCH} characters are expected; of Chinese, Japanese and Korean two will do."
        )
    return text


SearchFilter = parsed_filter(parse_search, {"type": "string", "minLength": 2, "maxLength": MAX_SEARCH})


class UserGroupFilter(django_filters.FilterSet):
    """The groups of one wallet, whose rows are its memberships."""

    status = ChoiceFilter(choices=Group.Status.choices, field_name="group__status", help_text="Groups in this state.")


class GroupFilter(django_filters.FilterSet):
    status = ChoiceFilter(choices=Group.Status.choices, help_text="Groups in this state.")
    creator = AddressFilter(method="by_creator", help_text="Groups that this wallet made.")
    member = AddressFilter(method="by_member", help_text="Groups that this wallet has joined.")
    token = AddressFilter(field_name="token_id", help_text="Groups that pay in this token.")
    joinable = BoolFilter(field_name="is_joinable", help_text="Active and not full.")
    amount_min = AmountFilter(
        field_name="contribution_amount", lookup_expr="gte", help_text="The least contribution, in the smallest unit."
    )
    amount_max = AmountFilter(
        field_name="contribution_amount", lookup_expr="lte", help_text="The largest contribution, in the smallest unit."
    )
    ids = GroupIdsFilter(
        field_name="pk",
        lookup_expr="in",
        help_text="These groups, at most 200; those that do not exist are left out.",
    )
    overdue = BoolFilter(
        method="by_overdue",
        help_text="Active groups whose round has ended before everyone paid, the longest overdue first; `false`: all "
        "others. By the time of asking.",
    )
    payout_due = BoolFilter(
        method="by_payout_due",
        help_text="Active groups that everyone has paid and whose grace period is over: anybody may call the payout. "
        "The longest due first; `false`: all others. By the time of asking.",
    )
    search = SearchFilter(
        field_name="search_key",
        lookup_expr="finds",
        help_text="In names, whatever case and accents; three characters or more, of Chinese, Japanese and Korean two.",
    )
    ordering = ChoiceFilter(
        choices=[(f"{sign}{name}", f"{sign}{name}") for name in ORDERINGS for sign in ("", "-")],
        method="by_ordering",
        help_text="-id (newest first) if not given; see `overdue` and `payout_due`.",
    )

    def by_creator(self, queryset: QuerySet[Group], name: str, value: str) -> QuerySet[Group]:
        user = User.objects.filter(wallet_address=value).first()
        return queryset.filter(creator=user) if user else queryset.none()

    def by_member(self, queryset: QuerySet[Group], name: str, value: str) -> QuerySet[Any]:
        user = User.objects.filter(wallet_address=value).first()
        if user is None:
            return queryset.none()
        given = {name for name, value in self.form.cleaned_data.items() if value not in (None, "")}
        if given <= {"member", "ordering"} and self.form.cleaned_data["ordering"] in ("", "id", "-id"):
            return memberships(user)
        membership = FilteredRelation("memberships", condition=Q(memberships__user=user))
        rows = queryset.annotate(membership=membership).filter(membership__user=user)
        return rows.order_by("-membership__group_id")

    def by_overdue(self, queryset: QuerySet[Group], name: str, value: bool) -> QuerySet[Any]:
        return deadlines.overdue(queryset, chain_now(), wanted=value)

    def by_payout_due(self, queryset: QuerySet[Group], name: str, value: bool) -> QuerySet[Any]:
        return deadlines.payout_due(queryset, chain_now(), wanted=value)

    def filter_queryset(self, queryset: QuerySet[Group]) -> QuerySet[Any]:
        """Choose the default order so that the planner takes the filter's own index.

        With one of INDEXED_FILTERS the order is by `number`, with bounds of the amount by `id + 0`: no other index has
        these orders. What is overdue or due comes in the order of its deadline.
        """
        given = self.form.cleaned_data
        by_deadline = "round_end" if given["overdue"] else "grace_end" if given["payout_due"] else ""
        if by_deadline or any(given[name] not in (None, "") for name in INDEXED_FILTERS):
            queryset = queryset.order_by("-number")
        elif given["amount_min"] is not None or given["amount_max"] is not None:
            queryset = queryset.annotate(planner_id=F("id") + 0).order_by("-planner_id")
        found: QuerySet[Any] = super().filter_queryset(queryset)
        return found.order_by(by_deadline, "id") if by_deadline and not given["ordering"] else found

    def by_ordering(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Order by the column, with the default order's column as the tie-breaker."""
        sign = "-" if value.startswith("-") else ""
        order_column = str(queryset.query.order_by[-1]).removeprefix("-")
        if value.removeprefix("-") == "id":
            return queryset.order_by(f"{sign}{order_column}")
        return queryset.order_by(value, f"{sign}{'id' if order_column == 'planner_id' else order_column}")
