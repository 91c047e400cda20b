"""The yardsticks of the web measures: a constant answer by granian alone, and a SELECT whose row is passed on."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from psycopg_pool import ConnectionPool

from ajo.web import serve

StartResponse = Callable[[str, list[tuple[str, str]]], object]

BODY = b"x" * int(os.environ.get("BENCH_BODY", "0"))
SELECT = "SELECT row_to_json(groups_group)::text FROM groups_group WHERE id = %s"


def pool() -> ConnectionPool:
    """Return a pool with a connection for each thread of the web process."""
    size = int(os.environ["WEB_THREADS"])
    return ConnectionPool(os.environ["DATABASE_URL"], min_size=size, max_size=size, kwargs={"autocommit": True})


POOL = pool() if "BENCH_ROWS" in os.environ else None


def application(environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer every request with the same bytes, or with the row of the group that the path names."""
    body = BODY
    if POOL:
        with POOL.connection() as connection:
            row = connection.execute(SELECT, [environ["PATH_INFO"].split("/")[-2]]).fetchone()
        body = row[0].encode() if row else b""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    serve("devtools.benchmarks.bare.application")
