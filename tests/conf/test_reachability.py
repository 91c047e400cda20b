"""A server that cannot be used: a line that names the variable and says what to change, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ajo.conf.reachability import why_not_redis
from ajo.settings import BASE_DIR
from devtools.stack.process import ManagedProcess, free_port
from tests.support.running import CELERY
from tests.support.waiting import wait_for

POSTGRES, REDIS = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]
WRONG = {
    "password": (POSTGRES.replace("ajo:", "ajo:hunter2"), "the user or the password is wrong"),
    "user": (POSTGRES.replace("//ajo:", "//hunter2:"), "the user or the password is wrong"),
    "database": (POSTGRES + "hunter2", "there is no such database on that server"),
    "host": ("postgres://u:hunter2@nowhere.invalid/n", "there is no host of that name"),
    "port": ("postgres://u:hunter2@127.0.0.1:1/n", "nobody listens on that host and port"),
    "TLS": (POSTGRES + "?sslmode=require", "TLS fails"),
    "value": (POSTGRES + "?sslmode=hunter2", "an option behind the ? has a value"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_command_that_cannot_reach_postgresql_says_why_in_a_line(what: str) -> None:
    address, said = WRONG[what]
    env = os.environ | {"DATABASE_URL": address, "LOG_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate"], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("DATABASE_URL: ")
    assert said in line
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (REDIS.replace("redis://:", "redis://:hunter2"), "the user or the password is wrong"),
        (REDIS.replace("redis://:", "redis://someone:"), "the user or the password is wrong"),
        (f"redis://127.0.0.1:{urlsplit(REDIS).port}/0", "the user or the password is wrong"),
        (REDIS[:-1] + "99", "that server has no database of that number"),
        ("redis://nowhere.invalid", "there is no host of that name"),
        ("redis://127.0.0.1:1", "nobody listens on that host and port"),
        (REDIS, ""),
    ],
    ids=["password", "user", "no-password", "database", "host", "port", "right"],
)
def test_a_redis_that_cannot_be_used_is_said_why(address: str, said: str) -> None:
    found = why_not_redis(address)
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    "command", [("-m", "ajo.web"), (*CELERY, "worker", "-c", "1"), (*CELERY, "beat", "--pidfile=")]
)
def test_a_process_that_cannot_reach_its_servers_says_so_when_it_starts(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """It starts all the same: servers may be away for a while."""
    env = os.environ | {
        "DATABASE_URL": POSTGRES.replace("ajo:", "ajo:hunter2"),
        "REDIS_URL": REDIS.replace("redis://:", "redis://:hunter2"),
        "PORT": str(free_port()),
        "WEB_WORKERS": "1",
    }
    part = ManagedProcess("process", [sys.executable, *command], tmp_path / "log", env=env)
    part.start()
    lines = [f"Warning. {name}: the user or the password is wrong." for name in ("DATABASE_URL", "REDIS_URL")]
    try:
        wait_for(lambda: set(lines) <= set((tmp_path / "log").read_text().splitlines()), what="both lines")
        part.check()
    finally:
        part.stop()
    assert "hunter2" not in (tmp_path / "log").read_text()
