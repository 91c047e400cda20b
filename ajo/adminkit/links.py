"""The registry of links between the tables of different apps.

Each app registers the links of its own tables. No app changes another app's admin classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Model


@dataclass(frozen=True, slots=True)
class RelatedTable:
    """A changelist that belongs to a row of another table.

    `title` is the link's text. `lookup` is the parameter of that changelist which takes the row's primary key.
    """

    title: str
    model: type[Model]
    lookup: str


_related: dict[type[Model], list[RelatedTable]] = {}
_id_columns: dict[str, type[Model]] = {}


def register_links(model: type[Model], *tables: RelatedTable, id_column: str = "") -> None:
    """Add `tables` to the links of each of this model's rows, after those that are registered already.

    `id_column`: a column that holds this model's primary key in tables without a foreign key to it, such as those of
    an app below.
    """
    _related.setdefault(model, []).extend(tables)
    if id_column:
        _id_columns[id_column] = model


def related_tables(model: type[Model]) -> list[RelatedTable]:
    """Return the tables that belong to a row of this model, in the order of their registration."""
    return list(_related.get(model, ()))


def id_column_model(column: str) -> type[Model] | None:
    """Return the model whose primary key `column` holds, or None while no app has registered it."""
    return _id_columns.get(column)
