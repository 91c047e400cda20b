"""Redis and PostgreSQL refuse, freeze, forget and drop connections: reads go on, and afterwards the sync by itself."""

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from select import select
from threading import Thread

import psycopg
import pytest
from django.conf import settings
from redis import Redis

from ajo.cache import VERSION_KEY
from devtools.stack.postgres_server import answers as postgres_answers
from devtools.stack.process import ManagedProcess
from devtools.stack.redis_server import answers as redis_answers
from tests.support.running import Running, Seen
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.system_long,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
KNOWN = "/api/v1/groups/1/"


@pytest.fixture(autouse=True)
def in_peace(up: Running) -> Iterator[None]:
    yield
    up.settle()
    assert up.events_lost() == set()
    assert up.queued < 5  # expired tasks do not pile up


@contextmanager
def frozen(part: ManagedProcess) -> Iterator[None]:
    assert part.process is not None
    part.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        part.process.send_signal(signal.SIGCONT)


def until_stale(up: Running, seen: Seen) -> None:
    """Somebody reads while the chain goes on and the sync does not."""
    up.history.walk(3)
    wait_for(lambda: seen.stale, 20, "answers marked stale")


def comes_back(up: Running, seconds: float) -> None:
    with up.life():
        up.advances(seconds)
        wait_for(lambda: "Ajo-Stale" not in up.get(KNOWN).headers, what="the mark goes")


def test_redis_refuses_and_comes_back_empty(up: Running) -> None:
    """Breaks without `cache.with_redis` catching RedisError (500 for every read), and for good without Celery's
    CELERY_BROKER_CONNECTION_MAX_RETRIES = None only after longer than a test may take.
    """
    with up.reading() as seen:
        up.redis.stop()
        until_stale(up, seen)
        up.redis.start()
        wait_for(lambda: redis_answers(up.redis_url), what="Redis")
        comes_back(up, 40)
    assert seen.failures() == []


def test_redis_freezes(up: Running) -> None:
    """Breaks without the circuit breaker: each request pays Redis' timeout, and the throttles' too."""
    with up.reading(KNOWN, "/api/v1/groups/") as seen:
        with frozen(up.redis):
            until_stale(up, seen)
            began = len(seen.answers)
            wait_for(lambda: len(seen.answers) > began + 60, 15, "60 answers")
        comes_back(up, 60)
    assert seen.failures() == []
    assert seen.slow(0.4) < len(seen.answers) / 10


def test_redis_is_flushed_while_everything_runs(up: Running) -> None:
    """Breaks without `cache.start_epoch` after a pass that finds no watermark: nothing would be cached again. Of the
    broker's side, no code of ours: tasks go to a queue by its name, which needs nothing that Redis keeps.
    """
    version_key = VERSION_KEY.replace(settings.REDIS_NAMESPACE, up.namespace)
    with up.life(), up.reading() as seen, Redis.from_url(up.redis_url) as cached:
        for _ in range(5):
            cached.flushall()
            up.advances(20)
            wait_for(lambda: cached.exists(version_key), 20, "bodies count again")
    assert seen.failures() == []


def test_postgresql_stops_and_starts(up: Running) -> None:
    """Breaks without the pool's `reconnect_timeout` (it sleeps on for as long as PostgreSQL was away), and if a body in
    Redis were not answered before a table is asked.
    """
    assert up.get(KNOWN).status_code == 200
    with up.reading(KNOWN) as seen:
        up.postgres.stop()
        for _ in range(3):  # each waits for a connection, while the pool's pauses grow
            listed = up.get("/api/v1/groups/")
            assert (listed.status_code, listed.headers["Retry-After"]) == (503, "5")
        wait_for(lambda: seen.stale, 20, "answers marked stale")
        assert up.get("/health/ready").status_code == 503
        up.postgres.start()
        wait_for(lambda: postgres_answers(up.database_url), what="PostgreSQL")
        wait_for(lambda: up.get("/api/v1/groups/").status_code == 200, 4, "lists")
        comes_back(up, 60)
    assert seen.failures() == []


def test_without_postgresql_one_thread_is_left_for_what_needs_no_table(up: Running) -> None:
    """Breaks without ajo/database: while as many lists as threads wait for a connection, nobody else is answered."""
    assert up.get(KNOWN).status_code == 200
    up.postgres.stop()
    lists = [Thread(target=up.get, args=(f"/api/v1/users/?limit={number}",)) for number in range(1, 5)]
    for thread in lists:
        thread.start()
    wait_for(lambda: sum(thread.is_alive() for thread in lists) == 3, what="one list refused, three waiting")
    assert {up.get(path).status_code for path in (KNOWN, "/health/live") * 10} == {200}
    assert sum(thread.is_alive() for thread in lists) == 3
    for thread in lists:
        thread.join()
    up.postgres.start()
    wait_for(lambda: postgres_answers(up.database_url), what="PostgreSQL")


def test_connections_to_postgresql_are_killed_again_and_again(up: Running) -> None:
    """Breaks without CONN_HEALTH_CHECKS (the next request gets a dead connection: 503), and without the one transaction
    of rows and cursor (`settle`: something would be lost or doubled).
    """
    others = "FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"
    with up.life(), up.reading(KNOWN) as seen:
        for _ in range(4):
            assert up.get("/api/v1/groups/").status_code == 200
            with psycopg.connect(up.database_url, autocommit=True) as own:
                own.execute(f"SELECT pg_terminate_backend(pid, 5000) {others}")
            assert [up.get("/api/v1/groups/").status_code for _ in range(8)] == [200] * 8
            up.begins_another_pass(60)
        up.advances(60)
    assert seen.failures() == []


def test_postgresql_takes_no_writes(up: Running) -> None:
    """As after a failover to a standby. Breaks if a read wrote anything: known rows would be answered with an error."""
    with psycopg.connect(up.database_url, autocommit=True) as own, up.reading() as seen:
        try:
            _make_read_only(up, own, "on")
            until_stale(up, seen)
        finally:
            _make_read_only(up, own, "off")
        comes_back(up, 60)
    assert seen.failures() == []


def _make_read_only(up: Running, own: psycopg.Connection, switch: str) -> None:
    """The server, for everybody, by its file of settings: our role may not."""
    assert up.postgres.process is not None
    with (up.home / "postgres" / "data" / "postgresql.conf").open("a") as settings:
        settings.write(f"\ndefault_transaction_read_only = {switch}\n")
    up.postgres.process.send_signal(signal.SIGHUP)
    wait_for(lambda: own.execute("SHOW default_transaction_read_only").fetchone() == (switch,), what="it is read")


def test_redis_is_full(up: Running) -> None:
    """Nothing can be put into it, neither a body nor a task. Breaks without dropping what cannot be replaced: answers
    stay where Redis stopped, though the tables go on.
    """
    # one group alone: lists, which nobody can keep either, would have the breaker send everything to PostgreSQL
    with up.reading(KNOWN) as seen, Redis.from_url(up.redis_url) as cached:
        cached.config_set("maxmemory-policy", "noeviction")
        try:
            cached.config_set("maxmemory", "1mb")
            until_stale(up, seen)
            up.manage("sync")  # somebody helps by hand: rows move on, what is in Redis cannot
            ledger = up.checkpoint().ledger
            wait_for(lambda: int(up.get(KNOWN).headers["Latest-Ledger"]) >= ledger, 20, "newer answers than in Redis")
        finally:
            cached.config_set("maxmemory", "0")
        comes_back(up, 60)
    assert seen.failures() == []


def test_redis_takes_no_writes(up: Running) -> None:
    """As after a failover, from the server that was the primary. Breaks if the worker ended with it: READONLY is no
    connection error for Celery, and connections to such a server would be used for ever.
    """
    with up.reading(KNOWN) as seen, Redis.from_url(up.redis_url) as server:
        server.replicaof("127.0.0.1", 1)
        try:
            until_stale(up, seen)
        finally:
            server.replicaof("NO", "ONE")
        comes_back(up, 60)
    assert seen.failures() == []
    for part in (up.web, up.worker, up.beat):
        part.check()


def test_an_idle_connection_outlasts_the_balancer_that_keeps_it(up: Running) -> None:
    """Most balancers keep theirs for 60 seconds. Breaks if the server closed first: the next request on it is a 502."""
    with closing(HTTPConnection("127.0.0.1", up.port, timeout=10)) as balancer:
        for idle in (62, 0):
            balancer.request("GET", "/health/live", headers={"Host": "localhost"})
            answer = balancer.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"status": "live"}')
            held = balancer.sock
            assert select([held], [], [], idle)[0] == [], "the server closed the connection"
        assert balancer.sock is held
