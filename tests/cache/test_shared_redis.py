"""One Redis for several services and for cache and queue alike: nobody meets what is another's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from stellar_sdk import StrKey

from ajo.settings import BASE_DIR
from devtools.stack.process import ManagedProcess, free_port
from devtools.stack.redis_server import answers, find_server

# Everything that asks Redis: bodies, pages, version, locks, absences, rates, the queue, its control.
USE_EVERYTHING = """
import sys, time, django
django.setup()
from django.core.cache import cache as djangos
from ajo import cache
from ajo.api.throttles import hit
from ajo.cache import read_through, store
from ajo.celery import app

name = sys.argv[1]
fresh = cache.Freshness("a" * 32, 10, time.time())
document = cache.Document(name.encode(), 1, 10)

def read():
    absent = lambda: None
    found = cache.Found(document, fresh, "postgresql")
    return cache.fetch("group:7", from_rows=lambda: found, from_chain=absent, exists=lambda: True)

with read_through.single_flight("group:7") as mine:
    assert mine, "another service holds the lock"
assert cache.current_watermark() is None, "another service's watermark"
cache.start_epoch(fresh)
print(read().body.decode(), read().body.decode())
page = cache.get_page("p")
assert page.found is None
cache.set_page_if_current("p", name.encode(), "tag", 10, page.version)
cache.refresh(cache.current_watermark(), {"group:8": document}, 10)
cache.with_redis(lambda r: r.set(store.absent_key("group:9"), 1))
assert hit("read", "1/h", "198.51.100.7") is None, "another service's count"
djangos.set("key", name)
def waiting():
    with app.connection_for_read() as connection, connection.SimpleQueue(app.conf.task_default_queue) as queue:
        try:
            return [queue.get(block=False).headers["task"]]
        except queue.Empty:
            return []
assert waiting() == [], "another service's tasks"
app.send_task("contributions.tasks.sync")
assert waiting() == ["contributions.tasks.sync"]
app.send_task("contributions.tasks.sync")
app.control.broadcast("ping")
"""


def run(code: str, *arguments: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=BASE_DIR,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("AJO_CONTRACT_ID", StrKey.encode_contract(bytes(32))),
        ("STELLAR_NETWORK_PASSPHRASE", "Test SDF Network ; September 2015"),
    ],
)
def test_services_of_different_contracts_and_networks_share_nothing_in_one_redis(
    redis_client: "Redis", name: str, other: str
) -> None:
    """Breaks if a key named neither: each would answer with the other's groups, and take its tasks."""
    assert run(USE_EVERYTHING, "ours") == "ours ours\n"
    ours = keys(redis_client)
    assert run(USE_EVERYTHING, "theirs", **{name: other}) == "theirs theirs\n"
    theirs = keys(redis_client) - ours
    assert len(ours) == len(theirs) > 7
    assert len({key.split(":")[1] for key in ours}) == len({key.split(":")[1] for key in theirs}) == 1


def keys(client: Any) -> set[str]:
    return {key.decode() for key in client.keys("*")}


@contextmanager
def single_redis(home: Path) -> Iterator[str]:
    """A Redis with one database, as managed ones have."""
    port = free_port()
    config = f'bind 127.0.0.1\nport {port}\ndatabases 1\nsave ""\nappendonly no\ndir "{home}"\n'
    part = ManagedProcess("Redis", [str(find_server()), "-"], home / "redis.log", stdin=config)
    address = f"redis://127.0.0.1:{port}"
    try:
        part.start()
        part.wait_until(lambda: answers(address))
        yield address
    finally:
        part.stop()


def test_a_redis_with_one_database_is_cache_and_queue(tmp_path: Path) -> None:
    """Breaks if the queue had a database number of its own: SELECT 1 is refused."""
    with single_redis(tmp_path) as address:
        assert run(USE_EVERYTHING, "ours", REDIS_URL=address) == "ours ours\n"
