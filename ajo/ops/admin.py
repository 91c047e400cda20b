"""Admin of the background processes' heartbeats and of log-ins."""

from __future__ import annotations

from typing import Any, ClassVar

from axes.models import AccessAttempt, AccessLog
from django.contrib import admin
from django.http import HttpRequest

from ajo.adminkit.admins import ReadOnlyAdmin, TableAdmin
from ajo.adminkit.columns import text_column
from ajo.ops.heartbeats import process_of
from ajo.ops.models import Heartbeat


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = fields = ("name", "part", "seen_at", "doing")

    @admin.display(description="Did then")
    def doing(self, row: Heartbeat) -> str:
        return process_of(row, 0.0).doing or "-"


class LoginAdmin(TableAdmin):
    """The base of both admins of log-ins. Account names and browsers are untrusted text."""

    account = text_column("username", "Account", 150)
    browser = text_column("user_agent", "Browser", 80)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AccessAttempt)
class FailedLoginAdmin(LoginAdmin):
    """Failed log-ins of the last minutes. Deleting one, for which Django's permission is needed, lifts its lock."""

    list_display = ("id", "attempt_time", "account", "ip_address", "failures_since_start", "browser")
    fields: ClassVar = ("attempt_time", "account", "ip_address", "failures_since_start", "browser")


@admin.register(AccessLog)
class SuccessfulLoginAdmin(LoginAdmin):
    """Successful log-ins of the last RUNS_KEPT_DAYS days."""

    list_display = ("id", "attempt_time", "account", "ip_address", "logout_time", "browser")
    fields: ClassVar = ("attempt_time", "account", "ip_address", "logout_time", "browser")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
