"""Changelists for tables of any size: keyset pages without a count, searches and filters that an index answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from ajo.database.keyset import BadCursor, Cursor, read_page

Rows = QuerySet[Any]


@dataclass(frozen=True, slots=True)
class Search:
    """A kind of search term: its name in the help text, its form, and the index lookup that finds its rows."""

    label: str
    pattern: re.Pattern[str]
    apply: Callable[[Rows, str], Rows]


def _search_kind(pattern: str, normalize: Callable[[str], str]) -> Callable[..., Search]:
    """Return a factory of searches for terms of this form."""
    compiled = re.compile(pattern)

    def search(label: str, lookup: str | Callable[[Rows, str], Rows], order: Sequence[str] = ()) -> Search:
        """Return a search by a field lookup, or by a function of rows and term.

        `order` is the order of that lookup's index, where it is not the table's.
        """

        def apply(rows: Rows, term: str) -> Rows:
            value = normalize(term)
            found = rows.filter(**{lookup: value}) if isinstance(lookup, str) else lookup(rows, value)
            return found.order_by(*order) if order else found

        return Search(label, compiled, apply)

    return search


number_search = _search_kind(r"[0-9]{1,20}", str)
address_search = _search_kind(r"[GCgc][A-Za-z2-7]{55}", str.upper)
hash_search = _search_kind(r"[0-9A-Fa-f]{64}", str.lower)
event_id_search = _search_kind(r"[0-9]{19}-[0-9]{10}", str)
# What a trigram index finds (groups.search): three characters, or two with an ideograph among them.
text_search = _search_kind(r"(?s).{3,}|[\u2e80-\U0010ffff].|.[\u2e80-\U0010ffff]", str)

Options = Mapping[str, tuple[str, Mapping[str, object] | Callable[[Rows], Rows]]]


class ChoiceFilter(SimpleListFilter):
    """A filter with a few choices. `options`: by value a label and field lookups, or a function of the rows.

    Each choice is the beginning of an index. An unknown value raises IncorrectLookupParameters.
    """

    options: ClassVar[Options]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(value, label) for value, (label, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        value = self.value()
        if value is None:
            return queryset
        if value not in self.options:
            raise IncorrectLookupParameters
        condition = self.options[value][1]
        return condition(queryset) if callable(condition) else queryset.filter(**condition)


def choice_filter(title: str, options: Options, *, parameter: str = "") -> type[ChoiceFilter]:
    """Return a filter of these options. `parameter` is its name in the address; the title where none is given."""
    attributes = {"title": title, "parameter_name": parameter or title, "options": options}
    return type("ChoiceFilter", (ChoiceFilter,), attributes)


def column_options(column: str, choices: Sequence[tuple[Any, Any]]) -> Options:
    """Return one option for each of a column's choices, `(value, label)`."""
    return {value: (label, {column: value}) for value, label in choices}


class KeysetChangeList(ChangeList):
    """A changelist with the API's keyset pages: the page parameter is a signed cursor.

    The order is the admin's `ordering`: unique, in one direction, with an index of its own. Filtered by a lookup of
    `ordering_by_lookup`, it is the order of that lookup's index.
    """

    previous_page: str | None
    next_page: str | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = str(self.opts.verbose_name_plural).capitalize()

    def get_ordering(self, request: HttpRequest, queryset: Rows) -> list[Any]:
        admin: Any = self.model_admin
        orders = (order for lookup, order in admin.ordering_by_lookup.items() if lookup in self.filter_params)
        return list(next(orders, admin.ordering))

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Rows:
        rows = super().get_queryset(request, exclude_parameters)
        return rows.defer(*getattr(self.model_admin, "deferred_columns", ()))

    def get_results(self, request: HttpRequest) -> None:
        scope = f"{request.path}{self.get_query_string()}"
        page = read_page(self.queryset, self.list_per_page, self._cursor(request, scope))
        self.result_list = page.rows
        self.next_page = self._link(page.next, scope)
        self.previous_page = self._link(page.previous, scope)
        # The total is not counted. Equal figures keep the template from showing one.
        self.result_count = self.full_result_count = len(page.rows)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _cursor(self, request: HttpRequest, scope: str) -> Cursor | None:
        """Return the request's cursor. Raises IncorrectLookupParameters for one that was not signed for this scope."""
        text = request.GET.get(PAGE_VAR)
        if not text:
            return None
        try:
            return Cursor.verify(text, scope)
        except BadCursor as error:
            raise IncorrectLookupParameters from error

    def _link(self, cursor: Cursor | None, scope: str) -> str | None:
        return None if cursor is None else self.get_query_string({PAGE_VAR: cursor.sign(scope)})
