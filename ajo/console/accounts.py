"""The admin of staff's accounts: Django's, with roles as a list to tick, and times that nobody types."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User as Account
from django.db.models import ManyToManyField
from django.http import HttpRequest


class AccountAdmin(UserAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    filter_horizontal = ("user_permissions",)
    readonly_fields: ClassVar = ("last_login", "date_joined")

    def formfield_for_manytomany(self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            help_text = "What this person may see and do. Without a role, staff status shows nothing."
            kwargs |= {"widget": forms.CheckboxSelectMultiple, "label": "Roles", "help_text": help_text}
        return super().formfield_for_manytomany(db_field, request, **kwargs)


def register_accounts() -> None:
    """Show accounts by this admin instead of Django's, which is registered by now."""
    admin.site.unregister(Account)
    admin.site.register(Account, AccountAdmin)
