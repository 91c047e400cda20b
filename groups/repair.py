"""Repairs databases of commits that edited a migration after it had run, before anything else is migrated.

Up to 744a3d8 `0001_initial` was edited in place, and 8d92b22 renamed and edited a `0004`. A database of such a commit
records migrations whose changes it does not have, or has columns that no present migration makes.
"""

from __future__ import annotations

import re
from typing import Any, Final

from django.apps.registry import Apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

LABELS: Final = ("soroban", "groups", "contributions")
# A field of Group. No migration was edited since it exists, so a database whose migrations record it needs no repair.
MARKER_FIELD: Final = "search_key"
FIELD_INDEX_NAME: Final = re.compile(r"_[0-9a-f]{8}(_like)?$")  # the end of the name of a field's own index


def repair(sender: object, using: str, apps: Apps, **kwargs: Any) -> None:
    """Handle `pre_migrate`: make the tables match the recorded migrations, whose state `apps` is.

    Runs in one transaction, and changes nothing where no table or column differs. Rows are kept. Added columns hold
    their default until sync, sweep and deep sweep fill them; dropped ones held what these read again.
    """
    try:
        apps.get_model("groups", "Group")._meta.get_field(MARKER_FIELD)
    except LookupError:  # an empty database
        return
    except FieldDoesNotExist:
        app_models = [apps.get_app_config(label).get_models() for label in LABELS if label in apps.app_configs]
        _repair(using, [model for some in app_models for model in some])


def _repair(using: str, migrated: list[type[models.Model]]) -> None:
    with connections[using].schema_editor() as editor:
        with editor.connection.cursor() as cursor:
            tables = editor.connection.introspection.table_names(cursor)
        created = [model for model in migrated if model._meta.db_table not in tables]
        older = [model for model in migrated if model not in created]
        for model in created:
            editor.create_model(model)
        differed = [_repair_columns(editor, model) for model in older]
        if created or any(differed):
            for model in older:
                _repair_indexes(editor, model)


def _repair_columns(editor: BaseDatabaseSchemaEditor, model: type[models.Model]) -> bool:
    """Add missing columns and drop unknown ones. Return whether any differed."""
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
    """Recreate the indexes that migrations name: some kept their name while their columns changed."""
    with editor.connection.cursor() as cursor:
        found = editor.connection.introspection.get_constraints(cursor, model._meta.db_table)
    for name, about in found.items():
        if about["index"] and not (about["unique"] or about["primary_key"] or FIELD_INDEX_NAME.search(name)):
            editor.execute(f"DROP INDEX {editor.quote_name(name)}")
    for index in model._meta.indexes:
        editor.add_index(model, index)
