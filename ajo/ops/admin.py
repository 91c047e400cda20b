"""Admin of the background processes' heartbeats, and the audit: log-ins and what staff changed."""

from __future__ import annotations

from typing import Any, ClassVar

from axes.models import AccessAttempt, AccessLog
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.http import HttpRequest
from django.utils.safestring import SafeString

from ajo.adminkit.admins import ReadOnlyAdmin, TableAdmin
from ajo.adminkit.columns import multiline_column, text_column
from ajo.adminkit.display import safe_multiline, safe_text
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


@admin.register(LogEntry)
class AuditAdmin(ReadOnlyAdmin):
    """What staff added, changed and deleted, and which button they pressed. Rows are never deleted here."""

    list_display = ("action_time", "account", "action", "table", "short_row", "short_change")
    fields = ("action_time", "account", "action", "table", "object_id", "whole_row", "whole_change")
    list_select_related = ("user", "content_type")
    account = text_column("user.username", "Account", 150)
    table = text_column("content_type.name", "Table", missing="-")
    short_row = text_column("object_repr", "Row", 60)
    whole_row = multiline_column("object_repr", "Row")

    @admin.display(description="Action")
    def action(self, row: LogEntry) -> str:
        return str(row.get_action_flag_display())

    @admin.display(description="Change")
    def short_change(self, row: LogEntry) -> SafeString:
        return safe_text(row.get_change_message(), 120)

    @admin.display(description="Change")
    def whole_change(self, row: LogEntry) -> SafeString:
        return safe_multiline(row.get_change_message())
