"""Staff's view of the background processes, and of who tried to log in."""

from __future__ import annotations

from typing import Any, ClassVar

from axes.models import AccessAttempt, AccessLog
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin, TableAdmin
from ajo.ops.models import Heartbeat


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = fields = ("name", "part", "seen_at")


class LoginAdmin(TableAdmin):
    """Names and browsers are whatever somebody sent."""

    @admin.display(description="Account")
    def account(self, row: Any) -> SafeString:
        return display.safe_text(row.username or "", 150)

    @admin.display(description="Browser")
    def browser(self, row: Any) -> SafeString:
        return display.safe_text(row.user_agent, 80)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AccessAttempt)
class FailedLoginAdmin(LoginAdmin):
    """Failed log-ins of the last minutes; whoever may delete them lifts the lock."""

    list_display = ("id", "attempt_time", "account", "ip_address", "failures_since_start", "browser")
    fields: ClassVar = ("attempt_time", "account", "ip_address", "failures_since_start", "browser")


@admin.register(AccessLog)
class SuccessfulLoginAdmin(LoginAdmin):
    """Who logged in, for as long as runs are kept."""

    list_display = ("id", "attempt_time", "account", "ip_address", "logout_time", "browser")
    fields: ClassVar = ("attempt_time", "account", "ip_address", "logout_time", "browser")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
