"""Begin sessions with PostgreSQL: set what each relies on, and open some apart from Django's own."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from django.db import connection

# Roles, databases and servers may begin sessions with other values (ALTER ROLE … SET, ALTER DATABASE … SET): psycopg
# reads neither times nor intervals of another style, and our statements count on each seeing what was committed before.
_SESSION_SETTINGS: Final = {
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
}
_SET: Final = "SELECT set_config(name, value, false) FROM (VALUES {}) wanted (name, value)".format(  # noqa: S608  # ours
    ", ".join(f"('{name}', '{value}')" for name, value in _SESSION_SETTINGS.items())
)


def begin_session(session: psycopg.Connection) -> None:
    """Set the values that differ, in one round trip. Raise psycopg.Error.

    A pooler in transaction mode keeps for its client what PostgreSQL reports, as the styles and the time zone. Of the
    rest each transaction sets the isolation itself, and no statement depends on the others.
    """
    session.execute(f"{_SET} WHERE current_setting(name) <> value")


def connect_apart(**options: Any) -> psycopg.Connection:
    """Open a session apart from Django's connections, with their parameters and these. Raise psycopg.Error."""
    parameters = connection.get_connection_params() | options
    for name in ("pool", "cursor_factory", "context"):  # only Django's own take them
        parameters.pop(name, None)
    return psycopg.connect(**parameters, autocommit=True)
