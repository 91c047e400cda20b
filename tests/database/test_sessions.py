"""Sessions with servers that begin otherwise, hand over to another server, or fall silent."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from django.conf import settings
from django.db import InternalError, close_old_connections, connection
from redis import Redis

from ajo import cache
from ajo.celery import app
from ajo.edge.pg_reader import PgReader
from ajo.settings import BASE_DIR
from ajo.soroban.models import RpcNode
from tests.support.factories import make_checkpoint, make_group

ODD = {
    "datestyle": "German, DMY",
    "intervalstyle": "sql_standard",
    "timezone": "Asia/Kolkata",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "default_transaction_isolation": "serializable",
}
ASK = """
import django
django.setup()
from django.db import connection, transaction
from django.test import Client
from ajo.edge.pg_reader import PgReader
from ajo.ops.health import chain_problems, database_problems

document = PgReader().read("7").document
client = Client(SERVER_NAME="localhost")
bodies = [client.get(path) for path in ("/api/v1/groups/7/", "/api/v1/groups/", "/api/v1/status/", "/metrics")]
assert [answer.status_code for answer in bodies] == [200] * 4, bodies
assert bodies[0].content == document.body
with connection.cursor() as cursor:
    cursor.execute("SHOW transaction_isolation")
    levels = [*cursor.fetchone()]
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("SHOW transaction_isolation")
    levels += cursor.fetchone()
print(database_problems(), chain_problems(), *levels, document.body.decode(), sep="|")
"""


@pytest.fixture
def odd_sessions() -> Iterator[str]:
    """The test database begins sessions with other settings."""
    database = connection.settings_dict
    address = f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    name = database["NAME"]
    with psycopg.connect(f"{address}/postgres", autocommit=True) as own:
        for parameter, value in ODD.items():
            own.execute(f"ALTER DATABASE \"{name}\" SET {parameter} = '{value}'")
        yield f"{address}/{name}"
        own.execute(f'ALTER DATABASE "{name}" RESET ALL')


def ask(address: str) -> list[str]:
    env = os.environ | {"DATABASE_URL": address}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("|")


@pytest.mark.django_db(transaction=True)
def test_everything_is_answered_alike_whatever_sessions_begin_with(odd_sessions: str) -> None:
    """Breaks without `begin_session`: psycopg reads no times of the German style and no intervals of the standard's."""
    make_checkpoint()
    make_group(7)
    stopped, silent, *levels, body = ask(odd_sessions)
    assert "database" not in stopped + silent
    assert levels == ["read committed", "read committed"]
    with psycopg.connect(odd_sessions, autocommit=True) as own:
        own.execute(f'ALTER DATABASE "{connection.settings_dict["NAME"]}" RESET ALL')
    assert ask(odd_sessions)[4] == body


@pytest.mark.django_db(transaction=True)
def test_a_session_that_takes_no_writes_any_more_is_not_used_again() -> None:
    """Connections stay with the server that was the primary, as after a failover. Breaks if the pool kept them."""
    connection.ensure_connection()
    connection.close()
    with ExitStack() as all_of_them:
        for _ in range(connection.pool.max_size):  # type: ignore[attr-defined]  # the stubs know of no pools
            session = all_of_them.enter_context(connection.pool.connection())  # type: ignore[attr-defined]
            session.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    with pytest.raises(InternalError, match="read-only"):
        RpcNode.objects.create(name="1: a.example")
    close_old_connections()
    RpcNode.objects.create(name="1: a.example")


def test_a_redis_that_became_a_replica_is_left(redis_client: "Redis") -> None:
    """Breaks if the pool kept its connections: whoever took over is never asked."""
    before = cache.client()
    redis_client.replicaof("127.0.0.1", 1)
    try:
        assert cache.with_redis(lambda r: r.set("key", "value")) is None
    finally:
        redis_client.replicaof("NO", "ONE")
        cache.breaker.close()
    assert cache.client() is not before
    assert cache.with_redis(lambda r: r.set("key", "value"))


def silence_ends(descriptor: int) -> None:
    """A connection that nothing comes back from is ended by TCP in well under a minute, idle or not."""
    with socket.socket(fileno=os.dup(descriptor)) as held:
        assert held.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        tcp = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
        idle, interval, count, user_timeout = (held.getsockopt(socket.IPPROTO_TCP, option) for option in tcp)
        assert idle + interval * count < 60
        assert 0 < user_timeout <= 30_000


def own_connections() -> list[int]:
    """Return the descriptors of this process's TCP connections with the broker."""
    port = urlsplit(settings.CELERY_BROKER_URL).port
    return [each.fd for each in psutil.Process().net_connections("tcp") if each.raddr[1:] == (port,)]


@pytest.mark.django_db
def test_connections_that_fall_silent_are_found_out() -> None:
    """Breaks with the systems' own limits: two hours for a connection that is idle, a quarter of one for one that is
    not, and each holds a thread.
    """
    with connection.cursor() as cursor:
        silence_ends(cursor.connection.pgconn.socket)
    tables = PgReader()
    session = tables.take_session()
    assert session is not None
    silence_ends(session[0].pgconn.socket)
    session[0].close()
    before = set(own_connections())
    with app.connection_for_read() as broker:
        broker.default_channel.client.ping()  # type: ignore[attr-defined]
        opened = set(own_connections()) - before
        assert opened
        for descriptor in opened:
            silence_ends(descriptor)
