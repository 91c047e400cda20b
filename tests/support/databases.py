"""Databases of a test's own on the tests' server: with another locale, or at another release's schema."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings

from ajo.settings import BASE_DIR

LOCALE_C = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"


@contextmanager
def database(name: str, options: str = "") -> Iterator[str]:
    """The address of a new, empty database, which is dropped afterwards. `options`: of CREATE DATABASE."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    found = settings.DATABASES["default"]
    assert found["USER"] == parts.username
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        connection.execute(f'CREATE DATABASE "{name}" {options}'.encode())
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def manage(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` on the database at this address."""
    env = os.environ | {"DATABASE_URL": address}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=120
    )
