"""Databases of commits that edited a migration after it had run: put right before anything else is migrated.

Up to 744a3d8 `0001_initial` was edited in place, and 8d92b22 renamed and edited a `0004`. A database of such a commit
says that migrations have run whose changes it does not have, or has what no migration that is known now has made.
"""

from __future__ import annotations

import re
from typing import Any, Final

from django.apps.registry import Apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

LABELS: Final = ("soroban", "groups", "contributions")
# Since this field there is, no migration was edited. A database that says that it has it needs no repair.
SINCE: Final = "search_key"
OF_A_FIELD: Final = re.compile(r"_[0-9a-f]{8}(_like)?$")  # ends the name of an index that belongs to a field


def repair(sender: object, using: str, apps: Apps, **kwargs: Any) -> None:
    """Receive `pre_migrate`: bring the tables to what the recorded migrations say, whose state `apps` is.

    In one transaction, and only where a table or a column differs. Rows are kept: columns that are added hold their
    default, which sync, sweep and deep sweep replace; those that are dropped held what these read again.
    """
    try:
        apps.get_model("groups", "Group")._meta.get_field(SINCE)
    except LookupError:  # an empty database
        return
    except FieldDoesNotExist:
        models_of = [apps.get_app_config(label).get_models() for label in LABELS if label in apps.app_configs]
        _repair(using, [model for some in models_of for model in some])


def _repair(using: str, recorded: list[type[models.Model]]) -> None:
    with connections[using].schema_editor() as editor:
        with editor.connection.cursor() as cursor:
            tables = editor.connection.introspection.table_names(cursor)
        created = [model for model in recorded if model._meta.db_table not in tables]
        older = [model for model in recorded if model not in created]
        for model in created:
            editor.create_model(model)
        differed = [_repair_columns(editor, model) for model in older]
        if created or any(differed):
            for model in older:
                _repair_indexes(editor, model)


def _repair_columns(editor: BaseDatabaseSchemaEditor, model: type[models.Model]) -> bool:
    """Add what is missing and drop what is unknown; return whether there was anything."""
    table = model._meta.db_table
    with editor.connection.cursor() as cursor:
        found = {column.name for column in editor.connection.introspection.get_table_description(cursor, table)}
    missing = [field for field in model._meta.local_concrete_fields if field.column not in found]
    unknown = found.difference(field.column for field in model._meta.local_concrete_fields)
    for field in missing:
        editor.add_field(model, field)
    for column in sorted(unknown):
        editor.execute(f"ALTER TABLE {editor.quote_name(table)} DROP COLUMN {editor.quote_name(column)}")
    return bool(missing or unknown)


def _repair_indexes(editor: BaseDatabaseSchemaEditor, model: type[models.Model]) -> None:
    """Make the indexes that migrations name anew: some kept their names and changed their columns."""
    with editor.connection.cursor() as cursor:
        found = editor.connection.introspection.get_constraints(cursor, model._meta.db_table)
    for name, about in found.items():
        if about["index"] and not (about["unique"] or about["primary_key"] or OF_A_FIELD.search(name)):
            editor.execute(f"DROP INDEX {editor.quote_name(name)}")
    for index in model._meta.indexes:
        editor.add_index(model, index)
