"""`make run` on a disk that is full for a while: reads go on, and everything comes back by itself."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import requests
from django.core.management.utils import get_random_secret_key

from ajo.settings import BASE_DIR
from devtools.stack.process import free_port
from tests.support.services import TEST_VARIABLES
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system_long
DISK = "160m"
# A file system of its own, in a namespace that ends with the stack.
MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && exec "$3" -m devtools.stack'


def fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def status(url: str) -> int:
    try:
        return requests.get(url, timeout=10).status_code
    except requests.RequestException:
        return 0


def test_the_stack_outlives_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    """Breaks if the files of counts had holes (SIGBUS ends web and worker with the next new label), and if the stack
    ended with PostgreSQL, which does when its log has no room.
    """
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name not in TEST_VARIABLES}
    env |= {"DATA_DIR": str(tmp_path / "disk"), "PORT": str(port), "SANDBOX_PORT": str(free_port())}
    env |= {"ENV_FILE": os.devnull, "WEB_WORKERS": "1", "SECRET_KEY": get_random_secret_key()}
    (tmp_path / "disk").mkdir()
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", DISK, str(tmp_path / "disk")]
    out = (tmp_path / "out").open("wb")
    stack = subprocess.Popen([*argv, sys.executable], cwd=BASE_DIR, env=env, stdout=out, stderr=out)
    disk = Path(f"/proc/{stack.pid}/root{tmp_path}/disk")
    site = f"http://127.0.0.1:{port}"

    def answer(text: str) -> bool:
        assert stack.poll() is None, (tmp_path / "out").read_text()
        return text in (tmp_path / "out").read_text()

    try:
        wait_for(lambda: answer("  Data"), 90, "the stack")
        group = requests.get(f"{site}/api/v1/groups/?limit=1", timeout=10).json()["results"][0]["id"]
        known = f"{site}/api/v1/groups/{group}/"
        wait_for(lambda: status(known) == 200, what="a group")
        fill(disk / "fill")
        for path in ("/metrics", "/admin/login/", "/nowhere", "/api/v1/nowhere/", "/health/ready", "/api/v1/status/"):
            assert status(f"{site}{path}") in (200, 404)  # labels that are new
        assert status(known) == 200
        address = next(line.split("'")[1] for line in (disk / "env").read_text().splitlines() if "DATABASE_URL" in line)
        with suppress(psycopg.OperationalError), psycopg.connect(address, autocommit=True) as own:
            for _ in range(30):  # its log grows until there is no room for another segment
                own.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 9000000))")
        wait_for(lambda: answer("The disk is full: PostgreSQL starts again"), 60, "PostgreSQL ends")
        assert status(known) == 200
        (disk / "fill").unlink()
        wait_for(lambda: status(f"{site}/api/v1/groups/?limit=2") == 200, 60, "lists again")
        wait_for(lambda: requests.get(f"{site}/health/ready", timeout=10).json()["problems"] == [], 60, "ready")
        assert "ajo_request_seconds" in requests.get(f"{site}/metrics", timeout=10).text
    finally:
        stack.terminate()
        stack.wait(60)
        out.close()
    assert stack.returncode == 0
