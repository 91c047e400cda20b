"""The staff's site. Accounts are django.contrib.auth's, made by people; nothing from the chain becomes one."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from ajo.ops.panel import panel


class StaffSite(AdminSite):
    site_header = "Ajo · staff"
    site_title = "Ajo"
    index_title = "Tables"
    site_url = None

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**(extra_context or {}), "panel": panel()})

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """No form here has a field to complete, and the stock view counts rows."""
        raise Http404
