"""The base of every table's admin: tables of any size, and rows that nobody but the sync may write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import ShowFacets
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from ajo.staff import display
from ajo.staff.lists import KeysetChangeList, Search


class TableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    """A changelist that never counts, sorts by one index, and searches for whole ids only."""

    change_list_template = "admin/table.html"
    change_form_template = "admin/row.html"
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    sortable_by = ()
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    ordering_within: ClassVar[tuple[str, ...]] = ()  # of rows narrowed by one of `narrowed_by`; empty: the same
    searches: ClassVar[Sequence[Search]] = ()
    narrowed_by: ClassVar[frozenset[str]] = frozenset()  # columns and filters that begin an index
    not_in_list: ClassVar[Sequence[str]] = ()  # large columns that the changelist does not show
    elsewhere: ClassVar[list[tuple[str, type[Model], str]]] = []  # title, table and column of what belongs to a row

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
        parameters = {getattr(choice, "parameter_name", None) for choice in self.get_list_filter(request)}
        return lookup in self.narrowed_by or lookup in parameters

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Every staff account may look: all of it is public on the chain, or staff's own words."""
        return self.admin_site.has_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if context.get("subtitle"):
            context["subtitle"] = display.short(display.visible(context["subtitle"]), 80)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="See also")
    def see_also(self, row: Model) -> SafeString:
        links = ((display.list_of(model, title, **{column: row.pk}),) for title, model, column in self.elsewhere)
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

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)  # type: ignore[return-value]


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
