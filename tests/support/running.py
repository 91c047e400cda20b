"""The whole service in real processes, on servers of its own that a test may stop, freeze and kill.

PostgreSQL, Redis, granian, Celery's worker and beat are children of the test; the chain and the proxies before it are
threads of it, so that a test can switch them. The test's own Django looks into the service's database.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import requests
from django.db import connection
from redis import Redis

from ajo.conf.addresses import redis_namespace
from ajo.soroban.models import Checkpoint, ContractEvent, Lease, RpcNode, SyncRun
from devtools.sandbox.sandbox import Sandbox
from devtools.stack import postgres, redis
from devtools.stack.process import ManagedProcess, free_port
from groups.bodies import group_bodies
from groups.models import Group
from tests.support.comparison import differences
from tests.support.histories import History, contract_entries
from tests.support.proxy import Proxy, TcpProxy
from tests.support.services import FAST, SETTINGS
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
CELERY = ("-m", "celery", "-q", "-A", "ajo.celery")
QUICK = {
    "SYNC_INTERVAL": "1",
    "SWEEP_INTERVAL": "3600",
    "STALE_AFTER": "5",
    "RPC_TIMEOUT": "1",
    "RPC_RETRIES": "1",
    "RPC_EVENTS_LIMIT": "5",  # pages end anywhere, inside transactions too
    "WEB_WORKERS": "1",
    "WEB_THREADS": "4",
}
UNANNOUNCED = ("name", "description", "rules")  # no event tells of them: that is the sweep's affair


@dataclass
class Seen:
    """Answers that readers got: (path, status, seconds, whether it was marked stale)."""

    answers: list[tuple[str, int, float, bool]] = field(default_factory=list)

    def failures(self, *but: str) -> list[tuple[str, int]]:
        return [(path, status) for path, status, _, _ in self.answers if status != 200 and path not in but]

    @property
    def stale(self) -> bool:
        """Tell whether the newest answers are marked stale."""
        return bool(self.answers) and self.answers[-1][3]

    def slow(self, seconds: float) -> int:
        return sum(took > seconds for _, _, took, _ in self.answers)


class Running:
    """The processes of one service (see the module). `chain` lives while `life()` runs; `first` and `second` are the
    RPC addresses, in that order.
    """

    def __init__(self, home: Path, ends: ExitStack, retention: int, **env: str) -> None:
        self.home, self._ends = home, ends
        self.database_url, self.postgres = ends.enter_context(postgres(home / "postgres", home / "postgres.log", FAST))
        self.redis_url, self.redis = ends.enter_context(redis(home / "redis", home / "redis.log"))
        self.redis_gate = ends.enter_context(TcpProxy(urlsplit(self.redis_url).port or 0))
        self.sandbox = ends.enter_context(Sandbox(retention=retention))
        self.first = ends.enter_context(Proxy(self.sandbox.url))
        self.second = ends.enter_context(Proxy(self.sandbox.url))
        self.history = History(self.sandbox.chain, 3)
        self.history.walk(12)
        self.port = free_port()
        self.env = os.environ | SETTINGS | QUICK
        self.env |= {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SOROBAN_RPC_URL": f"{self.first.url},{self.second.url}",
            "AJO_CONTRACT_ID": self.sandbox.contract,
            "STELLAR_NETWORK_PASSPHRASE": self.sandbox.chain.passphrase,
            "PORT": str(self.port),
            "PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            **env,
        }
        self.manage("migrate")

    def manage(self, *arguments: str) -> str:
        """Run a management command to its end."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, *arguments: str, **env: str) -> ManagedProcess:
        part = ManagedProcess(name, [sys.executable, *arguments], self.home / f"{name}.log", env=self.env | env)
        self._ends.callback(part.stop)
        part.start()
        return part

    def start_web(self) -> None:
        self.web = self.start("web", "-m", "ajo.web")

    def start_worker(self, name: str = "worker", **env: str) -> ManagedProcess:
        more = ("-c", "3", "-n", f"{name}@test", "--without-gossip", "--without-mingle")
        return self.start(name, *CELERY, "worker", *more, **env)

    def start_beat(self, name: str = "beat", *more: str, **env: str) -> ManagedProcess:
        return self.start(name, *CELERY, "beat", "--pidfile=", *more, **env)

    def start_all(self) -> None:
        self.start_web()
        self.worker, self.beat = self.start_worker(), self.start_beat()
        wait_for(lambda: self.get("/health/live").status_code == 200, what="web")
        self.settle()

    @property
    def namespace(self) -> str:
        """Return the prefix of its keys in Redis; the test's own settings name another contract."""
        return redis_namespace(self.env["STELLAR_NETWORK_PASSPHRASE"], self.env["AJO_CONTRACT_ID"])

    @property
    def queued(self) -> int:
        """Return how many tasks wait for a worker."""
        with Redis.from_url(self.redis_url) as broker:
            return int(broker.llen(f"{self.namespace}celery:ajo"))

    # -- what readers see

    def get(self, path: str) -> requests.Response:
        """Send one GET. The status is 0 while nobody listens."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=15)
        except requests.RequestException:
            nobody = requests.Response()
            nobody.status_code = 0
            return nobody

    @contextmanager
    def reading(self, *paths: str) -> Iterator[Seen]:
        """Read known rows one after the other while the block runs."""
        seen, ended = Seen(), threading.Event()
        wanted = paths or ("/api/v1/groups/1/", "/api/v1/groups/", "/api/v1/groups/1/members/")

        def read() -> None:
            while not ended.wait(0.02):
                for path in wanted:
                    began = time.monotonic()
                    answer = self.get(path)
                    stale = answer.headers.get("Ajo-Stale") == "true"
                    seen.answers.append((path, answer.status_code, time.monotonic() - began, stale))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()

    # -- the chain

    @contextmanager
    def life(self) -> Iterator[None]:
        """Close ledgers and let people pay while the block runs."""
        ended = threading.Event()

        def live() -> None:
            while not ended.wait(0.3):
                self.history.walk(1)

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    # -- what the tables say

    def checkpoint(self) -> Checkpoint:
        """Read the checkpoint by a new connection, for a test may have ended the one before."""
        connection.close()
        return Checkpoint.objects.get()

    def advances(self, seconds: float = 40) -> None:
        """Wait until the tables have passed what is the newest ledger now; the chain has to live."""
        newest = self.sandbox.chain.latest + 1
        wait_for(lambda: self.checkpoint().ledger >= newest, seconds, f"the tables at ledger {newest}")

    def begins_another_pass(self, seconds: float) -> None:
        """Wait for the next pass that gets the lease."""
        connection.close()
        runs = SyncRun.objects.count()
        wait_for(lambda: SyncRun.objects.count() > runs, seconds, "the next pass")

    def node(self, proxy: Proxy) -> RpcNode:
        connection.close()
        return RpcNode.objects.get(name__endswith=f":{urlsplit(proxy.url).port}")

    def forgive(self) -> None:
        """End the backoff of all nodes, as five minutes do."""
        connection.close()
        RpcNode.objects.update(failures=0, left_until=None, last_error="")

    def expire_lease(self) -> None:
        """End every lease, as half a minute does after a runner died."""
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {Lease._meta.db_table} SET until = now() - interval '1 second'")

    def settle(self, seconds: float = 60) -> None:
        """Wait for the sync while the chain stands still, then assert that nothing is lost, doubled or stale."""
        self.sandbox.chain.close_ledger()
        latest = self.sandbox.chain.latest
        wait_for(self._is_there(latest), seconds, f"the tables at ledger {latest}; worker: {self._worker_said()}")
        assert [d for d in self.differences() if d.split(": ")[1] not in UNANNOUNCED] == []
        bodies = group_bodies(Group.objects.values_list("id", flat=True))
        some = random.Random(latest).sample(sorted(bodies), min(10, len(bodies)))
        wait_for(lambda: all(self.get(f"/api/v1/groups/{i}/").content == bodies[i].body for i in some), what="bodies")

    def _is_there(self, ledger: int) -> Callable[[], bool]:
        def is_there() -> bool:
            connection.close()
            return Checkpoint.objects.filter(ledger=ledger).exists()

        return is_there

    def differences(self) -> list[str]:
        connection.close()
        return differences(contract_entries(self.sandbox.chain))

    def events_lost(self) -> set[str]:
        """Return the events of the chain that the log lacks. None can be there twice: the id is its key."""
        connection.close()
        chain = self.sandbox.chain
        with chain.lock:
            told = {event.id for event in chain.store.events("", "9", "AND contract = ?", [chain.contract])}
        return told - set(ContractEvent.objects.values_list("id", flat=True))

    def _worker_said(self) -> str:
        log = self.home / "worker.log"
        return log.read_text(errors="replace")[-1500:] if log.exists() else ""


def kill_children(part: ManagedProcess) -> None:
    """Send SIGKILL to the processes that run a worker's tasks; the worker itself stays."""
    assert part.process is not None
    for child in psutil.Process(part.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()


@contextmanager
def judging(url: str) -> Iterator[None]:
    """Lead Django's default connection of this process to that database, without a pool."""
    parts = urlsplit(url)
    old = connection.settings_dict
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # the stubs know of no pools
    connection.settings_dict = old | {
        "NAME": parts.path[1:], "USER": parts.username, "PASSWORD": parts.password,
        "HOST": parts.hostname, "PORT": parts.port, "OPTIONS": {"connect_timeout": 5},
    }  # fmt: skip
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict = old


@contextmanager
def running(home: Path, retention: int = 120_960, **env: str) -> Iterator[Running]:
    """Start the service's servers, yield it, and stop everything that it started."""
    with ExitStack() as ends:
        up = Running(home, ends, retention, **env)
        with judging(up.database_url):
            yield up
