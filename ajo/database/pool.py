"""Statistics of this process's pool of database sessions."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS

from ajo.database.base import DatabaseWrapper


def pool_statistics() -> dict[str, int]:
    """Return psycopg_pool's statistics (`pool_size`, `pool_available`, `requests_waiting`, …); empty without a pool.

    Opens no pool: a process that has asked nothing of the database has none.
    """
    pool = DatabaseWrapper._connection_pools.get(DEFAULT_DB_ALIAS)  # type: ignore[attr-defined]  # not in the stubs
    return {} if pool is None else dict(pool.get_stats())
