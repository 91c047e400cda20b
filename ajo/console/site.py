"""The admin site. Accounts are django.contrib.auth's, which people create; no wallet of the chain has one."""

from __future__ import annotations

import math
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from ajo.adminkit.summaries import register_summary
from ajo.api.throttles import client_address, hit
from ajo.console.front_page import front_page
from ajo.console.group_actions import ACTIONS, group_action_page
from ajo.console.group_page import group_summary
from ajo.console.menu import TABLE_NAMES, arrange
from ajo.console.search import search_page
from ajo.console.second_factor import LoginForm, second_factor_page
from ajo.console.wallet_page import wallet_summary
from groups.models import Group, User

# Log-in attempts of one client address: hashing a password takes a third of a second of a core that reads share.
LOGIN_RATE: Final = "20/min"

register_summary(Group, "admin/group_summary.html", group_summary)
register_summary(User, "admin/wallet_summary.html", wallet_summary)


class StaffSite(AdminSite):
    site_header = "Ajo · staff"
    site_title = "Ajo"
    index_title = "Overview"
    site_url = None
    table_names = TABLE_NAMES  # which the pages of TableAdmin show
    login_form = LoginForm
    login_template = "admin/login_with_code.html"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("search/", self.admin_view(self.search), name="search"),
            path("second-factor/", self.admin_view(self.second_factor), name="second_factor"),
            *(
                path(
                    f"groups/group/<int:group_id>/{name}/",
                    self.admin_view(self.group_action),
                    {"name": name},
                    name=f"group_{name}",
                )
                for name in ACTIONS
            ),
            *super().get_urls(),
        ]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the menu's sections, or one app's tables for its own page."""
        apps: list[Any] = super().get_app_list(request, app_label)
        return apps if app_label else arrange(apps)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the front page; what is followed is for whoever may see the tables."""
        may_see = request.user.has_perm("soroban.view_checkpoint")
        return super().index(request, {**(extra_context or {}), **(front_page() if may_see else {})})

    def search(self, request: HttpRequest) -> HttpResponse:
        """Show what a term finds among groups, wallets, tokens, labels and transactions."""
        return search_page(request, self.each_context(request))

    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Show the page on which staff turn their own second factor on and off."""
        return second_factor_page(request, self.each_context(request))

    def group_action(self, request: HttpRequest, group_id: int, name: str) -> HttpResponse:
        """Show or run what staff can do about one group."""
        return group_action_page(request, self.each_context(request), group_id, name)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show or handle the log-in form; 429 with Retry-After beyond LOGIN_RATE."""
        wait = hit("login", LOGIN_RATE, client_address(request)) if request.method == "POST" else None
        if wait is None:
            return super().login(request, extra_context)
        seconds = math.ceil(wait)
        text = f"Too many attempts to log in. Try again in {seconds} seconds."
        return HttpResponse(text, status=429, content_type="text/plain", headers={"Retry-After": str(seconds)})

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """Raise Http404: no form here completes a field, and the stock view counts rows."""
        raise Http404
