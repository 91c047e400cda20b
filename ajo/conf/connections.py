"""Options of connections that stand for long: one that fell silent, as a NAT leaves it, is found out in seconds."""

from __future__ import annotations

import socket
from typing import Any, Final

from psycopg import IsolationLevel

KEEPALIVE: Final = (10, 5, 3)  # seconds of silence until TCP probes, seconds between two, probes without an answer
UNACKED_TIMEOUT: Final = 20  # seconds that sent data may stay unacknowledged


def postgresql_options(pool_size: int) -> dict[str, Any]:
    """Return libpq's options of a connection, and those of a process's pool of at most `pool_size`."""
    return {
        "connect_timeout": 5,
        "keepalives_idle": KEEPALIVE[0],
        "keepalives_interval": KEEPALIVE[1],
        "keepalives_count": KEEPALIVE[2],
        "tcp_user_timeout": UNACKED_TIMEOUT * 1000,
        # Set in each transaction: behind a pooler no session can be relied on.
        "isolation_level": IsolationLevel.READ_COMMITTED,
        # A pool backs off exponentially for `reconnect_timeout` seconds, then retries when it is next asked: with
        # the default of 300 it might sleep for two minutes after PostgreSQL is back.
        "pool": {
            "min_size": 1,
            "max_size": pool_size,
            "timeout": 5,
            "reconnect_timeout": 5,
            # seconds: after a failover the server that was the primary is asked no longer
            "max_lifetime": 60,
        },
    }


def broker_options(namespace: str, longest_task: int) -> dict[str, Any]:
    """Return the transport options of Celery's Redis. `longest_task` is in seconds; keys begin with `namespace`."""
    return {
        "global_keyprefix": f"{namespace}celery:",
        # Above the longest task, or Redis hands a running task to a second worker.
        "visibility_timeout": 2 * longest_task,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        # Workers wait for tasks without a time limit: the connection must be found out when it falls silent.
        "socket_keepalive": True,
        "socket_keepalive_options": {
            **dict(zip((socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT), KEEPALIVE, strict=True)),
            socket.TCP_USER_TIMEOUT: UNACKED_TIMEOUT * 1000,
        },
        "health_check_interval": 10,
    }
