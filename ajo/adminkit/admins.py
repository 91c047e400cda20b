"""The base of every table's admin: tables of any size, and rows that nobody but the sync may write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.options import ShowFacets
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.lists import KeysetChangeList, Search


class TableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    """A changelist that never counts, sorts by one index, and searches for whole ids only."""

    change_list_template = "admin/table.html"
    change_form_template = "admin/row.html"
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    sortable_by = ()
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    # By the column of `indexed_lookups` that rows are narrowed by: their order, where it is another one.
    ordering_within: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    searches: ClassVar[Sequence[Search]] = ()
    indexed_lookups: ClassVar[frozenset[str]] = frozenset()  # columns and filters that begin an index
    narrowed_further_by: ClassVar[frozenset[str]] = frozenset()  # columns that only few rows are left for, beside those
    not_in_list: ClassVar[Sequence[str]] = ()  # large columns that the changelist does not show
    related_links: ClassVar[list[tuple[str, type[Model], str]]] = []  # title, table and column of what belongs to a row

    @property
    def search_help_text(self) -> str:  # type: ignore[override]  # a plain attribute in the stubs
        return f"In full: {', '.join(search.what for search in self.searches)}."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("pk",) if self.searches else ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        for search in self.searches:
            if search.pattern.fullmatch(term):
                return search.find(queryset, term), False
        messages.info(request, f"Nothing here is looked up by that. {self.search_help_text}")
        return queryset.none(), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """No row has a key with NUL in it, and PostgreSQL takes no such text."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what an index answers; Django would let staff filter by any column of the table."""
        return lookup in self._parameters(request)

    def _parameters(self, request: HttpRequest) -> set[str]:
        """What narrows this table, given what it is narrowed by already."""
        choices = {str(getattr(choice, "parameter_name", "")) for choice in self.get_list_filter(request)}
        further = set() if self.indexed_lookups.isdisjoint(request.GET) else self.narrowed_further_by
        return choices | self.indexed_lookups | further

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The table; parameters that it does not have are named and left out, none is passed over in silence."""
        known = {*self._parameters(request), SEARCH_VAR, PAGE_VAR, ERROR_FLAG}
        unknown = [name for name in request.GET if name not in known]
        if unknown:
            named = ", ".join(display.short(display.escape_invisible(name), 40) for name in unknown[:5])
            messages.warning(request, f"This table takes no {named}. {self._narrowing_help(request)}")
            left = [(name, value) for name, values in request.GET.lists() if name in known for value in values]
            return HttpResponseRedirect(f"{request.path}?{urlencode(left)}" if left else request.path)
        if ERROR_FLAG in request.GET:  # where Django leads from a value that it cannot use
            messages.warning(request, "A value in that address cannot be used here: this is the whole table.")
        return super().changelist_view(request, extra_context)

    def _narrowing_help(self, request: HttpRequest) -> str:
        columns = ", ".join(sorted(self._parameters(request)))
        beside = f", beside these also {', '.join(sorted(self.narrowed_further_by))}" * bool(self.narrowed_further_by)
        return (f"It is narrowed by {columns}{beside}; " if columns else "It is not narrowed; ") + "its order is fixed."

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Every staff account may look: all of it is public on the chain, or staff's own words."""
        return self.admin_site.has_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if context.get("subtitle"):
            context["subtitle"] = display.short(display.escape_invisible(context["subtitle"]), 80)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="See also")
    def see_also(self, row: Model) -> SafeString:
        links = (
            (display.changelist_link(model, title, **{column: row.pk}),) for title, model, column in self.related_links
        )
        return format_html_join(" · ", "{}", links)


class ReadOnlyAdmin(TableAdmin):
    """For what comes from the chain: sync writes it, staff look at it, by whatever address or form they try."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [str(name) for name in flatten_fieldsets(self.get_fieldsets(request, obj))]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Nobody writes these rows, so they have no history; the stock page would show a row's name as it is."""
        raise Http404


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]
    """Rows of another table on a row's page."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.admin_site.has_permission(request)
