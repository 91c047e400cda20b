"""Statements of others that hold up ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection


@contextmanager
def holding(statement: str) -> Iterator[None]:
    """A transaction of somebody else's that has run this and does not end."""
    known = connection.settings_dict
    with psycopg.connect(
        host=known["HOST"], port=known["PORT"], user=known["USER"], password=known["PASSWORD"], dbname=known["NAME"]
    ) as other:
        other.execute(statement)
        yield
        other.rollback()
