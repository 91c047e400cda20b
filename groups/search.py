"""Search in names, in every script, by one index that works alike in every locale of the database.

PostgreSQL's trigrams consist of letters and digits, and the locale decides which characters are letters: under `C`,
which many managed servers have, only A-Z are. A row therefore keeps a search key of its name, `digest=normalized text`.
The digest consists of ASCII letters and digits, so it has trigrams in every locale. The text beside it makes the result
exact. A trigger writes the key (migration 0006_search_key), so that it follows the name whichever statement writes it.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import models
from django.db.models.lookups import Lookup

MIN_SEARCH: Final = 3  # characters; the index has no shorter text
IDEOGRAPHS: Final = 0x2E80  # characters from here on count twice in the digest (migration 0006_search_key)


def is_searchable(text: str) -> bool:
    """Return whether a text, an accent and its letter being one character, is long enough for the index."""
    return len(text) + sum(ord(char) >= IDEOGRAPHS for char in text) >= MIN_SEARCH


class SearchKeyField(models.TextField):  # type: ignore[type-arg]  # generic only in the stubs
    """The search key, which a trigger keeps. A value that Python assigns is silently overwritten with the next write.

    `search_key__finds=text` matches rows whose name contains the text, ignoring case and accents. A text that is too
    short for the index matches none.
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
    """One LIKE on digest and text. The planner would take two conditions for independent, and expect few rows."""

    lookup_name = "finds"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, column_parameters = self.process_lhs(compiler, connection)
        text, text_parameters = self.process_rhs(compiler, connection)
        return f"{column} LIKE ajo_search_pattern({text})", (*column_parameters, *text_parameters)
