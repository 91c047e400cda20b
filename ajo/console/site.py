"""The staff's site. Accounts are django.contrib.auth's, made by people; nothing from the chain becomes one."""

from __future__ import annotations

import math
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from ajo.api.throttles import client_address, hit
from ajo.console.front_page import panel

# Attempts of one client address: a password's hash costs a third of a second of a core that readers share.
LOGIN_RATE: Final = "20/min"


class StaffSite(AdminSite):
    site_header = "Ajo · staff"
    site_title = "Ajo"
    index_title = "Tables"
    site_url = None

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**(extra_context or {}), "panel": panel()})

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        wait = hit("login", LOGIN_RATE, client_address(request)) if request.method == "POST" else None
        if wait is None:
            return super().login(request, extra_context)
        again = math.ceil(wait)
        text = f"Too many attempts to log in. Try again in {again} seconds."
        return HttpResponse(text, status=429, content_type="text/plain", headers={"Retry-After": str(again)})

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """No form here has a field to complete, and the stock view counts rows."""
        raise Http404
