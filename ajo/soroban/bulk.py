"""Many rows in one statement whose text does not grow with their number.

They travel as one JSON parameter, which PostgreSQL takes apart: for thousands of rows a fifth of what an INSERT with a
placeholder for each value costs the ORM.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import Model


def insert(rows: Sequence[Model], *, unique: Sequence[str] = (), update: Sequence[str] = ()) -> None:
    """Insert rows of one model. One that is there already is left alone, or has its `update` columns written.

    `unique`: the columns of the constraint by which it is known; any constraint if none is named. Values are what JSON
    can say, and times.
    """
    if not rows:
        return
    meta = rows[0]._meta
    given = [f for f in meta.concrete_fields if not f.generated and not (f.primary_key and rows[0].pk is None)]
    names = [(str(f.attname), str(f.column)) for f in given]
    text = json.dumps([{column: getattr(row, name) for name, column in names} for row in rows], default=str)
    columns = ", ".join(f'"{column}"' for _, column in names)
    types = ", ".join(f'"{f.column}" {_type(f)}' for f in given)
    target = f" ({', '.join(unique)})" if unique else ""
    changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in update)
    action = f"UPDATE SET {changes}" if update else "NOTHING"
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{meta.db_table}" ({columns}) SELECT {columns} FROM json_to_recordset(%s::json) AS r({types})'  # noqa: S608  # names of our own models
            f" ON CONFLICT{target} DO {action}",
            [text],
        )


def _type(field: Any) -> str:
    """Its column's type; a foreign key's is that of the column it points to."""
    return str(field.target_field.db_type(connection) if field.is_relation else field.db_type(connection)).replace(
        "bigserial", "bigint"
    )
