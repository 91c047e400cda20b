"""The stack: its processes, the order of their start, and the condition under which each counts as up."""

import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from celery import Celery

from ajo.conf.addresses import in_url, local_address, redis_namespace
from ajo.conf.checks import SANDBOX_PASSPHRASE, WARNING, redis_problem
from ajo.conf.env import Reader
from ajo.conf.reachability import why_not_postgresql, why_not_redis
from devtools.stack.config import StackConfig
from devtools.stack.postgres_server import postgres
from devtools.stack.probes import contract_of, health, is_healthy, is_stopped, serves_reads, wallet_of
from devtools.stack.process import LOW_PRIORITY, ManagedProcess, StackError, require_free
from devtools.stack.redis_server import redis
from devtools.stack.secret import stable_secret, write_private
from devtools.stack.state import locked, write_state
from devtools.stack.watch import Watch

STAFF = "staff"
FIRST_SYNC = 60  # seconds that the first pass may take before the addresses are printed without it


class Stack:
    """The servers and processes of `make run`. They are stopped in the opposite order of their start."""

    def __init__(self, config: StackConfig, env: Mapping[str, str], env_file: Path) -> None:
        """`env` holds the variables of `env_file` already."""
        self.config = config
        self.env_file = env_file
        self.logs = config.data / "logs"
        self.parts: list[ManagedProcess] = []
        self.env = dict(env) | {"PYTHONUNBUFFERED": "1", "PORT": str(config.port), "ENV_FILE": os.devnull}
        self.host = local_address(config.host)
        self.env.setdefault("PUBLIC_URL", f"http://{in_url(self.host)}:{config.port}")
        self.beat_file = config.data / "beat"
        self.sandbox: ManagedProcess | None = None
        self.began = time.monotonic()

    def run(self) -> None:
        """Start everything, print the addresses, and watch, until a signal or a StackError."""
        # locked before the ports are tried: a second start is told that it is one, not that a port is taken
        with locked(self.config.data), ExitStack() as ends:
            if not self.config.rpc_url:
                require_free(self.config.sandbox_port, "SANDBOX_PORT")
            require_free(self.config.port, "PORT", self.config.host)
            self._write_state()  # before any part runs, so that `make stop` ends a start too
            print(f"Starting in {self.config.data}", flush=True)
            self._servers(ends)
            self._prepare(ends)
            self._processes(ends)
            self._print_addresses()
            watch = Watch(self.parts, self.config.data, self._write_state)
            try:
                while True:
                    watch.check()
                    time.sleep(0.3)
            finally:
                print("Stopping.", flush=True)

    def _say(self, what: str) -> None:
        """Print what is started now, and how long the start has taken so far."""
        print(f"  {time.monotonic() - self.began:5.1f} s  {what} …", flush=True)

    def _write_state(self) -> None:
        write_state(self.config.data, self.host, self.config.port, self.parts)

    def _python(
        self, ends: ExitStack, name: str, *args: str, env: Mapping[str, str] | None = None, niceness: int = 0
    ) -> ManagedProcess:
        log = self.logs / f"{name.lower().replace(' ', '-')}.log"
        part = ManagedProcess(name, [sys.executable, *args], log, env=env or self.env, niceness=niceness)
        ends.callback(part.stop)
        part.start()
        self._add(part)
        return part

    def _add(self, part: ManagedProcess) -> None:
        self.parts.append(part)
        self._write_state()

    def _servers(self, ends: ExitStack) -> None:
        data = self.config.data
        self.env["SECRET_KEY"] = self.env.get("SECRET_KEY") or stable_secret(data / "secret-key", 48)
        if self.config.database_url:
            reader = Reader()
            database = reader.database("DATABASE_URL")
            wrong = [what for _, what in reader.problems] or [why_not_postgresql(database)]
            if wrong[0]:
                raise StackError(f"DATABASE_URL: {wrong[0]}")
        else:
            self._say("PostgreSQL")
            self.env["DATABASE_URL"], part = ends.enter_context(postgres(data / "postgres", self.logs / "postgres.log"))
            self._add(part)
        if self.config.redis_url:
            problem = redis_problem(self.config.redis_url) or why_not_redis(self.config.redis_url)
            if problem:
                raise StackError(f"REDIS_URL: {problem}")
        else:
            self._say("Redis")
            self.env["REDIS_URL"], part = ends.enter_context(redis(data / "redis", self.logs / "redis.log"))
            self._add(part)
        if not self.config.rpc_url:
            self._sandbox(ends)

    def _sandbox(self, ends: ExitStack) -> None:
        self.env |= {
            "SANDBOX_PORT": str(self.config.sandbox_port),
            "SANDBOX_DIR": str(self.config.data / "sandbox"),
            "SOROBAN_RPC_URL": f"http://127.0.0.1:{self.config.sandbox_port}",
            "STELLAR_NETWORK_PASSPHRASE": SANDBOX_PASSPHRASE,
            "AJO_SANDBOX": "1",
        }
        is_new = not (self.config.data / "sandbox").exists()
        has_demo = (self.env.get("SANDBOX_DEMO") or "1").lower() not in ("0", "false", "off", "no")
        about = ", whose demo population takes some seconds at first" if has_demo else ", without a demo population"
        self._say("a sandbox chain" + about * (is_new or not has_demo))
        self.sandbox = sandbox = self._python(ends, "Sandbox chain", "-m", "devtools.sandbox")
        sandbox.wait_until(lambda: bool(contract_of(sandbox)) and is_healthy(self.config.sandbox_port))
        self.env["AJO_CONTRACT_ID"] = contract_of(sandbox)

    def _prepare(self, ends: ExitStack) -> None:
        self._say("migrations and the staff account")
        self.password_file = self.config.data / "staff-password"
        stable_secret(self.password_file, 12)
        # For a second terminal: ENV_FILE=.data/env .venv/bin/python manage.py …
        names = ("DATABASE_URL", "REDIS_URL", "SOROBAN_RPC_URL", "AJO_CONTRACT_ID", "STELLAR_NETWORK_PASSPHRASE")
        kept = {name: self.env.get(name, "") for name in (*names, "AJO_SANDBOX", "SECRET_KEY", "PUBLIC_URL")}
        write_private(self.config.data / "env", "".join(f"{name}='{value}'\n" for name, value in kept.items() if value))
        # Only this process gets the file's name, to check the variables in it.
        checked = {"ENV_FILE": str(self.env_file)} if self.env_file.exists() else {}
        prepare = ("-m", "devtools.stack.prepare", STAFF, str(self.password_file))
        part = self._python(ends, "Preparation", *prepare, env=self.env | checked)
        self.parts.remove(part)  # it ends by itself
        if part.process is not None and part.process.wait() != 0:
            refusals = [line for line in part.tail().splitlines() if "Refused to start" in line]
            if refusals:
                raise StackError(refusals[0].split("Refused to start. ")[1] + " See .env.example")
            part.check()
        sys.stderr.writelines(line for line in part.log.open() if line.startswith(WARNING))

    def _processes(self, ends: ExitStack) -> None:
        self._say("web, worker and beat")
        self.beat_file.unlink(missing_ok=True)
        self.env["BEAT_FILE"] = str(self.beat_file)
        counts = self.config.data / "metrics"
        shutil.rmtree(counts, ignore_errors=True)  # of processes that are no more
        self.env["PROMETHEUS_MULTIPROC_DIR"] = str(counts)
        celery = ("-m", "celery", "-q", "-A", "ajo.celery")
        node = f"worker-{secrets.token_hex(4)}@localhost"
        web = self._python(ends, "Web", "-m", "ajo.web")
        # Three processes: neither a long sweep nor transactions hold up the sync.
        alone = ("-c", "3", "-n", node, "--without-gossip", "--without-mingle")
        worker = self._python(ends, "Worker", *celery, "worker", *alone, niceness=LOW_PRIORITY)
        beat = self._python(ends, "Beat", *celery, "beat", "--pidfile=")
        broker = self.env.get("CELERY_BROKER_URL") or self.env["REDIS_URL"]
        namespace = redis_namespace(self.env["STELLAR_NETWORK_PASSPHRASE"], self.env["AJO_CONTRACT_ID"])
        with Celery(broker=broker, broker_transport_options={"global_keyprefix": f"{namespace}celery:"}) as caller:
            worker.wait_until(lambda: bool(caller.control.ping(destination=[node], timeout=0.5)))
        worker.lower_priority()  # from now on: a start should not take longer
        beat.wait_until(self.beat_file.exists)
        web.wait_until(lambda: serves_reads(*health(self.host, self.config.port)))

    def _print_addresses(self) -> None:
        """Print the addresses after the first pass, or after FIRST_SYNC seconds."""
        self._say("the first pass of the sync")
        deadline = time.monotonic() + FIRST_SYNC
        code, problems = health(self.host, self.config.port)
        while (code == 0 or problems) and not is_stopped(problems) and time.monotonic() < deadline:
            for part in self.parts:
                part.check()
            time.sleep(0.2)
            code, problems = health(self.host, self.config.port)
        site, rpc = self.env["PUBLIC_URL"].rstrip("/"), urlsplit(self.env["SOROBAN_RPC_URL"].split(",")[0])
        chain = (
            f"{rpc.scheme}://{in_url(rpc.hostname or '')}{f':{rpc.port}' if rpc.port else ''}"  # a path may hold a key
        )
        python, wallet = os.path.relpath(sys.executable), self.sandbox and wallet_of(self.sandbox)
        lines = [
            "Ajo is up; Ctrl-C stops it.",
            f"  API      {site}/api/v1/",
            f"  Docs     {site}/api/v1/docs/",
            f"  Admin    {site}/admin/   login: {STAFF}   password: {self.password_file.read_text().strip()}",
            f"  Follows  contract {self.env['AJO_CONTRACT_ID']}",
            f"           on {self.env['STELLAR_NETWORK_PASSPHRASE']!r} at {chain}"
            + ("" if self.config.rpc_url else " (the sandbox: a chain for development, not a network)"),
            *([f"  Wallet   {wallet[0]}   secret: {wallet[1]}   (has XLM there, to try things out)"] if wallet else []),
            f"  Manage   ENV_FILE={os.path.relpath(self.config.data / 'env')} {python} manage.py …",
            f"  Data     {self.config.data} (logs in {self.logs})",
            *(f"  Not yet: {problem}" for problem in problems),
        ]
        print("\n".join(lines), flush=True)


def stop_on_signals() -> None:
    """End the process at the first SIGINT, SIGTERM or SIGHUP; later ones are ignored while it stops."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(0)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)
