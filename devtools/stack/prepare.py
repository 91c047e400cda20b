"""Migrations and the staff account: `python -m devtools.stack.prepare USER PASSWORD_FILE`.

It is a process of its own: Django reads its settings once, and the stack knows them only when its servers are up.
"""

import os
import sys
from pathlib import Path

import django
from django.contrib.auth import get_user_model
from django.core.management import call_command

from ajo.conf.checks import refuse_bad_settings


def prepare(name: str, password_file: Path) -> None:
    """Migrate, and create the account unless it exists. Exits with one line for each bad setting."""
    refuse_bad_settings()
    call_command("migrate", interactive=False, verbosity=1)
    accounts = get_user_model().objects
    if not accounts.filter(username=name).exists():
        accounts.create_superuser(username=name, password=password_file.read_text().strip())


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")
    django.setup()
    prepare(sys.argv[1], Path(sys.argv[2]))
