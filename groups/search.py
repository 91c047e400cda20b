"""Search in names of every script, by one index that works the same in every locale of the database.

PostgreSQL's trigrams are of letters and digits, and its locale decides which characters are letters: under `C`, which
many managed servers have, only A-Z are. A row therefore keeps a key of its name, `digest=comparable text`. The digest
is of ASCII letters and digits, so it has trigrams everywhere; the text beside it makes the answer exact. A trigger of
the database makes the key (migration 0006_search_key), so that it follows the name whoever writes it.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.lookups import Lookup


class SearchKeyField(models.TextField):  # type: ignore[type-arg]  # generic only in the stubs
    """The search key that the database keeps; what is assigned counts for nothing when its name is written.

    `search_key__finds=text` finds the rows whose name contains the text, whatever case and accents; none for a text
    that is too short for the index.
    """

    _pyi_private_set_type: str
    _pyi_private_get_type: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"editable": False, "db_default": "", "db_collation": "C"})

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for fixed in ("editable", "db_default", "db_collation"):
            del kwargs[fixed]
        return name, path, args, kwargs


@SearchKeyField.register_lookup
class Finds(Lookup):
    """One LIKE for digest and text: of two conditions the planner takes each for independent, and expects few rows."""

    lookup_name = "finds"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, given = self.process_lhs(compiler, connection)
        text, more = self.process_rhs(compiler, connection)
        return f"{column} LIKE ajo_search_pattern({text})", (*given, *more)
