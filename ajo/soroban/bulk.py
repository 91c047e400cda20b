"""Many rows in one statement whose text does not grow with their number.

They travel as one JSON parameter, which PostgreSQL takes apart: for thousands of rows a fifth of what an INSERT with a
placeholder for each value costs the ORM.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Model

Row = Mapping[str, Any]  # by column; values are what JSON can say, and times


def insert(model: type[Model], rows: Sequence[Row], *, unique: Sequence[str] = (), update: Sequence[str] = ()) -> None:
    """Insert rows with the same columns. One that is there already is left alone, or has its `update` columns written.

    `unique`: the columns of the constraint by which it is known; any constraint if none is named.
    """
    if not rows:
        return
    columns = ", ".join(rows[0])
    fields = {field.column: field for field in model._meta.concrete_fields}
    types = ", ".join(f"{column} {_type(fields[column])}" for column in rows[0])
    target = f" ({', '.join(unique)})" if unique else ""
    changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in update)
    action = f"UPDATE SET {changes}" if update else "NOTHING"
    given = f"SELECT {columns} FROM json_to_recordset(%s::json) AS r({types})"  # noqa: S608  # names of our own models
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({columns}) {given} ON CONFLICT{target} DO {action}",
            [json.dumps(rows, default=str)],
        )


def _type(field: Any) -> str:
    """Its column's type; a foreign key's is that of the column it points to."""
    return str(field.target_field.db_type(connection) if field.is_relation else field.db_type(connection)).replace(
        "bigserial", "bigint"
    )
