"""Base classes of the tables' admins: changelists for tables of any size, and read-only rows."""

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
from ajo.adminkit.links import related_tables
from ajo.adminkit.lists import KeysetChangeList, Search
from ajo.adminkit.summaries import summary_context


class TableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    """An admin whose changelist never counts rows, sorts by one index, and searches by index lookups only."""

    change_list_template = "admin/table.html"
    change_form_template = "admin/row.html"
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    sortable_by = ()
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    # By lookup of `indexed_lookups`: the order of rows that are filtered by it, where it is not `ordering`.
    ordering_by_lookup: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    searches: ClassVar[Sequence[Search]] = ()
    indexed_lookups: ClassVar[frozenset[str]] = frozenset()  # each begins an index
    # Allowed only beside one of `indexed_lookups`, which leaves few rows to look through.
    secondary_lookups: ClassVar[frozenset[str]] = frozenset()
    deferred_columns: ClassVar[Sequence[str]] = ()  # large columns that the changelist does not read

    @property
    def table_name(self) -> str:
        """Return the table's name on the pages: the menu's, or the model's where the site has no name for it."""
        names: Mapping[str, str] = getattr(self.admin_site, "table_names", {})
        return names.get(self.opts.label, str(self.opts.verbose_name_plural).capitalize())

    @property
    def search_help_text(self) -> str:  # type: ignore[override]  # a plain attribute in the stubs
        return f"In full: {', '.join(search.label for search in self.searches)}."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("pk",) if self.searches else ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows of the first search whose form the term has; none, with a message, where no search has it."""
        term = search_term.strip()
        if not term:
            return queryset, False
        for search in self.searches:
            if search.pattern.fullmatch(term):
                return search.apply(queryset, term), False
        messages.info(request, f"Nothing here is looked up by that. {self.search_help_text}")
        return queryset.none(), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return None for a key with NUL in it: PostgreSQL refuses such text, so no row has it."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow only lookups that an index answers. Django's default allows any column of the table."""
        return lookup in self._allowed_lookups(request)

    def _allowed_lookups(self, request: HttpRequest) -> set[str]:
        """Return the filters and lookups that this request may use."""
        filters = {str(getattr(each, "parameter_name", "")) for each in self.get_list_filter(request)}
        secondary = set() if self.indexed_lookups.isdisjoint(request.GET) else self.secondary_lookups
        return filters | self.indexed_lookups | secondary

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the table. A redirect drops unknown parameters, and a message names them: none is ignored silently."""
        known = {*self._allowed_lookups(request), SEARCH_VAR, PAGE_VAR, ERROR_FLAG}
        unknown = [name for name in request.GET if name not in known]
        if unknown:
            named = ", ".join(display.short(display.escape_invisible(name), 40) for name in unknown[:5])
            messages.warning(request, f"This table takes no {named}. {self._lookup_help(request)}")
            kept = [(name, value) for name, values in request.GET.lists() if name in known for value in values]
            return HttpResponseRedirect(f"{request.path}?{urlencode(kept)}" if kept else request.path)
        if ERROR_FLAG in request.GET:  # Django redirects here from a value that it cannot use
            messages.warning(request, "A value in that address cannot be used here: this is the whole table.")
        return super().changelist_view(request, {"title": self.table_name, **(extra_context or {})})

    def _lookup_help(self, request: HttpRequest) -> str:
        """Return the sentence that names the allowed lookups."""
        lookups = ", ".join(sorted(self._allowed_lookups(request)))
        beside = f", beside these also {', '.join(sorted(self.secondary_lookups))}" * bool(self.secondary_lookups)
        return (f"It is narrowed by {lookups}{beside}; " if lookups else "It is not narrowed; ") + "its order is fixed."

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if context.get("subtitle"):
            context["subtitle"] = display.short(display.escape_invisible(context["subtitle"]), 80)
        context.update(summary_context(request, context.get("original")), table_name=self.table_name)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="See also")
    def see_also(self, row: Model) -> SafeString:
        """Return links to the registered tables that belong to this row (ajo/adminkit/links.py)."""
        links = (
            (display.changelist_link(table.model, table.title, **{table.lookup: row.pk}),)
            for table in related_tables(self.model)
        )
        return format_html_join(" · ", "{}", links)


class _ReadOnly:
    """The permissions of rows that nobody may change here."""

    def _refuse(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_add_permission = has_change_permission = has_delete_permission = _refuse


class ReadOnlyAdmin(_ReadOnly, TableAdmin):
    """The admin of a table that the sync alone writes: every view and form of it refuses changes."""

    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [str(name) for name in flatten_fieldsets(self.get_fieldsets(request, obj))]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Raise Http404: these rows have no history, and the stock page would show a row's name unescaped."""
        raise Http404


class ReadOnlyInline(_ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """Read-only rows of another table on a row's page."""

    template = "admin/read_only_rows.html"
    extra = 0
    can_delete = False
