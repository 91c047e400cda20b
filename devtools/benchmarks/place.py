"""The environment of the measures: PostgreSQL, Redis, web processes, and wrk."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import psycopg

from ajo.conf.checks import SANDBOX_PASSPHRASE
from devtools.benchmarks.rows import fill
from devtools.stack import postgres, redis
from devtools.stack.process import LOW_PRIORITY, ManagedProcess, free_port, lower_priority

CONTRACT = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA"
SECRET = "bench-only-0123456789abcdefghijklmnopqrstuvwxyz"  # the key and the staff account's password
CONNECTIONS = 8
# Memory as is usual for a database of this size, and no checkpoint while a measure runs.
POSTGRES = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "synchronous_commit": "off"}


@dataclass
class Place:
    """Running servers, and the environment of every measured process."""

    home: Path
    database: str  # address without the database's name
    env: dict[str, str]

    def run(self, *args: str, env: Mapping[str, str] | None = None) -> str:
        """Run a Python process to its end, and return its output. Raises CalledProcessError."""
        done = subprocess.run(
            [sys.executable, *args], env={**self.env, **(env or {})}, stdout=subprocess.PIPE, check=True, text=True
        )
        return done.stdout

    def chain(self, measure: str, count: int, env: Mapping[str, str] | None = None) -> dict[str, float]:
        """Run a measure of devtools/benchmarks/chain.py, and return its rates."""
        output = self.run("-m", "devtools.benchmarks.chain", measure, str(count), env=env)
        found: dict[str, float] = json.loads(output.splitlines()[-1])
        return found

    def url(self, name: str) -> str:
        """Return the address of a database by its name."""
        return f"{self.database}/{name}"

    @property
    def other_redis(self) -> str:
        """Return the address of another database of the same Redis, for other tables than the large ones."""
        return self.redis(5)

    def redis(self, number: int) -> str:
        """Return the address of one of the Redis's databases by its number, up to 15; the large tables have 0."""
        return self.env["REDIS_URL"].removesuffix("/0") + f"/{number}"

    def make_database(self, name: str, groups: int = 0, contributions: int = 0) -> str:
        """Create a migrated database with a staff account, fill it with `groups`, and return its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE ajo')
        if groups:
            fill(self.url(name), CONTRACT, SANDBOX_PASSPHRASE, groups, contributions)
        return self.url(name)

    @contextmanager
    def web(self, module: str = "ajo.web", path: str = "/health/live", **env: str) -> Iterator["Web"]:
        """Run granian with the application or a yardstick until the block ends."""
        port = free_port()
        log = self.home / f"web-{port}.log"
        part = ManagedProcess("Web", [sys.executable, "-m", module], log, env={**self.env, **env, "PORT": str(port)})
        part.start()
        try:
            part.wait_until(lambda: _answers(f"http://127.0.0.1:{port}{path}"))
            assert part.process
            yield Web(port, part.process.pid, self.home)
        finally:
            part.stop()


@dataclass
class Rate:
    """A result of wrk. `p99` is in milliseconds."""

    per_second: float
    p99: float
    requests: int


@dataclass
class Web:
    """A running web server: the port, and the parent's process id."""

    port: int
    pid: int
    home: Path

    def wrk(self, paths: Sequence[str], seconds: float = 2, header: str = "", pause: int = 0) -> Rate:
        """Request these paths in turn for `seconds`. Raises SystemExit if more than 1 % of the answers are errors."""
        file = self.home / "paths"
        file.write_text("\n".join(paths) + "\n")
        env = {**os.environ, "BENCH_PATHS": str(file), "BENCH_HEADER": header, "BENCH_PAUSE": str(pause)}
        argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", "devtools/benchmarks/requests.lua"]
        done = subprocess.run(
            [*argv, f"http://127.0.0.1:{self.port}"], env=env, capture_output=True, text=True, check=True
        )
        _, requests, micros, p99, bad = done.stdout.splitlines()[-1].split()
        if int(bad) * 100 > int(requests):
            raise SystemExit(f"{bad} of {requests} answers to {paths[0]} were errors")
        return Rate(int(requests) / int(micros) * 1e6, int(p99) / 1000, int(requests))

    def memory(self) -> int:
        """Return the unshared memory of the largest worker, in bytes."""
        workers = psutil.Process(self.pid).children(recursive=True)
        return max(int(worker.memory_full_info().uss) for worker in workers)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):  # noqa: S310  # our own
            return True
    except (URLError, OSError):
        return False


@contextmanager
def place() -> Iterator[Place]:
    """Start the servers in a temporary folder. Raises SystemExit without wrk."""
    if shutil.which("wrk") is None:
        raise SystemExit("make bench needs wrk (Debian: apt-get install wrk), and cannot go on without it.")
    with ExitStack() as ends:
        home = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="ajo-bench-")))
        database, _ = ends.enter_context(postgres(home / "postgres", home / "postgres.log", POSTGRES))
        cache, _ = ends.enter_context(redis(home / "redis", home / "redis.log"))
        env = dict(os.environ) | {
            "ENV_FILE": os.devnull, "SECRET_KEY": SECRET, "AJO_CONTRACT_ID": CONTRACT, "AJO_SANDBOX": "1",
            "STELLAR_NETWORK_PASSPHRASE": SANDBOX_PASSPHRASE, "SOROBAN_RPC_URL": "http://127.0.0.1:1",
            "DJANGO_SETTINGS_MODULE": "ajo.settings", "READ_RATE": "", "CHAIN_RATE": "", "CACHE_TTL": "86400",
            "REDIS_URL": cache, "WEB_THREADS": os.environ.get("WEB_THREADS", "4"),
            "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
        }  # fmt: skip
        found = Place(home, database.rsplit("/", 1)[0], env)
        first = {"DATABASE_URL": database, "DJANGO_SUPERUSER_PASSWORD": SECRET}
        found.run("manage.py", "migrate", "-v0", env=first)
        found.run("manage.py", "createsuperuser", "--noinput", "--username=bench", "--email=", env=first)
        yield found


@contextmanager
def beside(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process that says READY and waits for a line; the block begins with that line, and ends with the process.

    From then on it has the worker's low priority. Raises SystemExit if it fails.
    """
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdin
        assert process.stdout
        if not any("READY" in line for line in process.stdout):
            raise SystemExit(f"{argv[2]} ended before it began")
        lower_priority(process.pid, LOW_PRIORITY)
        process.stdin.write("\n")
        process.stdin.flush()
        yield process
        process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{argv[2]} beside the reads failed")


def median_seconds(ask: Callable[[], object], times: int) -> float:
    """Return the median seconds of single calls. The first three, which fill caches and pools, do not count."""
    for _ in range(3):
        ask()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        found.append(time.perf_counter() - began)
    return sorted(found)[times // 2]
