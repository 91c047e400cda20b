"""Staff's view of the background processes."""

from django.contrib import admin

from ajo.ops.models import Heartbeat
from ajo.staff.admins import ReadOnlyAdmin


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = fields = ("name", "part", "seen_at")
