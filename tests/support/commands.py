"""Management commands."""

from io import StringIO

from django.core.management import call_command


def run_command(*arguments: str) -> str:
    """Run a command of manage.py in this process, and return what it printed."""
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()
