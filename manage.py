#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import OperationalError

from ajo.conf.reachability import why_not_postgresql


def main() -> None:
    """Run a command. One that cannot reach PostgreSQL ends with a line that says what to change."""
    try:
        execute_from_command_line(sys.argv)
    except OperationalError:
        why = why_not_postgresql(settings.DATABASES["default"])
        if not why or "--traceback" in sys.argv:
            raise
        sys.exit(f"DATABASE_URL: {why}.")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")
    main()
