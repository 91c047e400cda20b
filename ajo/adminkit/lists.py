"""Tables of any size: no page counts rows, and page one thousand costs what page one costs."""

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
from rest_framework.exceptions import APIException

from ajo.api.pagination import Cursor, read_page

Rows = QuerySet[Any]


@dataclass(frozen=True, slots=True)
class Search:
    """One kind of term: what it is called, what it looks like, and the one index look-up that finds it."""

    what: str
    pattern: re.Pattern[str]
    find: Callable[[Rows, str], Rows]


def _search(pattern: str, tidy: Callable[[str], str]) -> Callable[..., Search]:
    def search(what: str, find: str | Callable[[Rows, str], Rows], order: Sequence[str] = ()) -> Search:
        """`find` is the column, or a function of rows and term; `order` the one that the column's index has."""

        def found(rows: Rows, term: str) -> Rows:
            some = rows.filter(**{find: tidy(term)}) if isinstance(find, str) else find(rows, tidy(term))
            return some.order_by(*order) if order else some

        return Search(what, compiled, found)

    compiled = re.compile(pattern)
    return search


number = _search(r"[0-9]{1,20}", str)
address = _search(r"[GCgc][A-Za-z2-7]{55}", str.upper)
tx_hash = _search(r"[0-9A-Fa-f]{64}", str.lower)
event_id = _search(r"[0-9]{19}-[0-9]{10}", str)
words = _search(r"(?s).{3,}", str)  # a trigram index needs three characters


class Choice(SimpleListFilter):
    """A filter with a few choices: look-ups, each of them the beginning of an index, or a function of the rows."""

    options: ClassVar[Mapping[str, tuple[str, Mapping[str, object] | Callable[[Rows], Rows]]]]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(value, label) for value, (label, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        value = self.value()
        if value is None:
            return queryset
        if value not in self.options:
            raise IncorrectLookupParameters
        which = self.options[value][1]
        return which(queryset) if callable(which) else queryset.filter(**which)


class KeysetChangeList(ChangeList):
    """A changelist with the API's keyset pages: the page parameter says where another page ended.

    The admin's `ordering` is the only order there is: unique, of one direction, and an index of its own. Narrowed by
    a column of `ordering_within`, it is that one, which only the column's index has.
    """

    previous_page: str | None
    next_page: str | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = str(self.opts.verbose_name_plural).capitalize()

    def get_ordering(self, request: HttpRequest, queryset: Rows) -> list[Any]:
        admin: Any = self.model_admin
        within = (order for column, order in admin.ordering_within.items() if column in self.filter_params)
        return list(next(within, admin.ordering))

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Rows:
        rows = super().get_queryset(request, exclude_parameters)
        return rows.defer(*getattr(self.model_admin, "not_in_list", ()))

    def get_results(self, request: HttpRequest) -> None:
        scope = f"{request.path}{self.get_query_string()}"
        page = read_page(self.queryset, self.list_per_page, self._place(request, scope))
        self.result_list = page.rows
        self.next_page = self._link(page.next, scope)
        self.previous_page = self._link(page.previous, scope)
        # Nobody knows how many there are; equal figures keep the template from telling any.
        self.result_count = self.full_result_count = len(page.rows)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _place(self, request: HttpRequest, scope: str) -> Cursor | None:
        text = request.GET.get(PAGE_VAR)
        if not text:
            return None
        try:
            return Cursor.verify(text, scope)
        except APIException as wrong:
            raise IncorrectLookupParameters from wrong

    def _link(self, cursor: Cursor | None, scope: str) -> str | None:
        return None if cursor is None else self.get_query_string({PAGE_VAR: cursor.sign(scope)})
