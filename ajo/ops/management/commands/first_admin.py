from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = (
        "Make the first staff account, a superuser, from ADMIN_USERNAME and ADMIN_PASSWORD. Does nothing where a "
        "superuser exists, or where no password is set: it may run at every start."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = get_user_model().objects
        name = settings.ADMIN_USERNAME
        if not settings.ADMIN_PASSWORD:
            self.stdout.write("first_admin: ADMIN_PASSWORD is not set, no account is made")
        elif accounts.filter(is_superuser=True, is_active=True).exists():
            self.stdout.write("first_admin: there is a superuser, nothing is changed; ADMIN_PASSWORD can be taken away")
        elif accounts.filter(username=name).exists():
            raise CommandError(f"ADMIN_USERNAME: {name} exists and is no superuser; name another")
        else:
            self._make(name, settings.ADMIN_PASSWORD)

    def _make(self, name: str, password: str) -> None:
        accounts = get_user_model()
        try:
            validate_password(password, accounts(username=name))
        except ValidationError as failure:
            raise CommandError(f"ADMIN_PASSWORD: {' '.join(failure.messages)}") from failure
        accounts.objects.create_superuser(username=name, password=password)
        self.stdout.write(f"first_admin: made the account {name}; ADMIN_PASSWORD can be taken away")
