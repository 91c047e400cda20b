"""Databases of a test's own on the tests' server, and transactions that hold ours up."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connection

from ajo.settings import BASE_DIR

LOCALE_C = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"


@contextmanager
def use_database(name: str, options: str = "") -> Iterator[str]:
    """Create an empty database, yield its address, and drop it afterwards. `options` are those of CREATE DATABASE."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    found = settings.DATABASES["default"]
    assert found["USER"] == parts.username
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        server.execute(f'CREATE DATABASE "{name}" {options}'.encode())
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            # FORCE is refused while autovacuum, which is another role's, works in the database. Without it PostgreSQL
            # ends autovacuum itself, and the sessions of ours that are left are ended by name.
            server.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND usename = %s",
                [name, parts.username],
            )
            server.execute(f'DROP DATABASE "{name}"'.encode())


def manage(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` on the database at this address."""
    env = os.environ | {"DATABASE_URL": address}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=120
    )


@contextmanager
def hold_transaction(statement: str) -> Iterator[None]:
    """Run a statement in another session's transaction, which stays open until the block ends."""
    known = connection.settings_dict
    with psycopg.connect(
        host=known["HOST"], port=known["PORT"], user=known["USER"], password=known["PASSWORD"], dbname=known["NAME"]
    ) as other:
        other.execute(statement)
        yield
        other.rollback()
