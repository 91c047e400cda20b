"""The stack: its processes, the order of their start, and the condition under which each counts as up."""

import fcntl
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from celery import Celery

from ajo.conf.addresses import in_url, ip_address, local_address, redis_namespace
from ajo.conf.checks import SANDBOX_PASSPHRASE, WARNING, redis_problem
from ajo.conf.env import Reader
from ajo.conf.reachability import why_not_postgresql, why_not_redis
from devtools.stack.postgres_server import postgres
from devtools.stack.process import ManagedProcess, StackError, has_disk_space, require_free
from devtools.stack.redis_server import redis
from devtools.stack.secret import stable_secret, write_private

STAFF = "staff"
STOPPED = "sync: stopped: "  # the prefix in /health/ready of a sync that waits for a person; reads are answered
FIRST_SYNC = 30  # seconds that the first pass may take before the addresses are printed without it


@dataclass(frozen=True)
class StackConfig:
    """The settings of `make run`. Each address that is set replaces an embedded server."""

    data: Path
    host: str
    port: int
    sandbox_port: int
    database_url: str
    redis_url: str
    rpc_url: str

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "StackConfig":
        """Read them from the environment. Raises StackError that names the variable."""
        config = cls(
            data=Path(env.get("DATA_DIR") or ".data").resolve(),
            host=_host(env),
            port=_port(env, "PORT", 8000),
            sandbox_port=_port(env, "SANDBOX_PORT", 8001),
            database_url=env.get("DATABASE_URL", "").strip(),
            redis_url=env.get("REDIS_URL", "").strip(),
            rpc_url=env.get("SOROBAN_RPC_URL", "").strip(),
        )
        if not config.rpc_url and env.get("AJO_CONTRACT_ID", "").strip():
            raise StackError("AJO_CONTRACT_ID is set and SOROBAN_RPC_URL is not: set both, or neither for the sandbox")
        return config


def _host(env: Mapping[str, str]) -> str:
    try:
        return ip_address(env.get("WEB_HOST", "").strip() or "127.0.0.1")
    except ValueError as error:
        raise StackError("WEB_HOST: expected an IP address: 127.0.0.1, ::1, 0.0.0.0 or ::, for example") from error


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise StackError(f"{name}: expected a port number from 1 to 65535")
    return int(text)


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

    def run(self) -> None:
        """Start everything, print the addresses, and watch, until a signal or the end of a process (StackError)."""
        if not self.config.rpc_url:
            require_free(self.config.sandbox_port, "SANDBOX_PORT")
        require_free(self.config.port, "PORT", self.config.host)
        with locked(self.config.data), ExitStack() as ends:
            self._servers(ends)
            self._prepare(ends)
            self._processes(ends)
            self._print_addresses()
            try:
                self._watch()
            finally:
                print("Stopping.", flush=True)

    def _watch(self) -> None:
        """Restart processes that a full disk ended, once it has room. Raises StackError when another one ends."""
        waiting: set[ManagedProcess] = set()
        while True:
            for part in self.parts:
                if part not in waiting and part.ended_by_full_disk:
                    print(f"The disk is full: {part.name} starts again when there is room.", file=sys.stderr)
                    waiting.add(part)
                elif part not in waiting:
                    part.check()
                elif has_disk_space(self.config.data):
                    waiting.remove(part)
                    part.start()
            time.sleep(0.3)

    def _python(self, ends: ExitStack, name: str, *args: str, env: Mapping[str, str] | None = None) -> ManagedProcess:
        log = self.logs / f"{name.lower().replace(' ', '-')}.log"
        part = ManagedProcess(name, [sys.executable, *args], log, env=env or self.env)
        ends.callback(part.stop)
        part.start()
        self.parts.append(part)
        return part

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
            self.env["DATABASE_URL"], part = ends.enter_context(postgres(data / "postgres", self.logs / "postgres.log"))
            self.parts.append(part)
        if self.config.redis_url:
            problem = redis_problem(self.config.redis_url) or why_not_redis(self.config.redis_url)
            if problem:
                raise StackError(f"REDIS_URL: {problem}")
        else:
            self.env["REDIS_URL"], part = ends.enter_context(redis(data / "redis", self.logs / "redis.log"))
            self.parts.append(part)
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
        sandbox = self._python(ends, "Sandbox chain", "-m", "devtools.sandbox")
        sandbox.wait_until(lambda: bool(contract_of(sandbox)) and is_healthy(self.config.sandbox_port))
        self.env["AJO_CONTRACT_ID"] = contract_of(sandbox)

    def _prepare(self, ends: ExitStack) -> None:
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
        self.beat_file.unlink(missing_ok=True)
        self.env["BEAT_FILE"] = str(self.beat_file)
        counts = self.config.data / "metrics"
        shutil.rmtree(counts, ignore_errors=True)  # of processes that are no more
        self.env["PROMETHEUS_MULTIPROC_DIR"] = str(counts)
        celery = ("-m", "celery", "-q", "-A", "ajo.celery")
        node = f"worker-{secrets.token_hex(4)}@localhost"
        web = self._python(ends, "Web", "-m", "ajo.web")
        # Two processes: a long sweep does not hold up the sync.
        worker = self._python(
            ends, "Worker", *celery, "worker", "-c", "3", "-n", node, "--without-gossip", "--without-mingle"
        )
        beat = self._python(ends, "Beat", *celery, "beat", "--pidfile=")
        broker = self.env.get("CELERY_BROKER_URL") or self.env["REDIS_URL"]
        namespace = redis_namespace(self.env["STELLAR_NETWORK_PASSPHRASE"], self.env["AJO_CONTRACT_ID"])
        with Celery(broker=broker, broker_transport_options={"global_keyprefix": f"{namespace}celery:"}) as caller:
            worker.wait_until(lambda: bool(caller.control.ping(destination=[node], timeout=0.5)))
        beat.wait_until(self.beat_file.exists)
        web.wait_until(lambda: serves_reads(*health(self.host, self.config.port)))

    def _print_addresses(self) -> None:
        """Print the addresses after the first pass, or after FIRST_SYNC seconds."""
        deadline = time.monotonic() + FIRST_SYNC
        _, problems = health(self.host, self.config.port)
        while problems and not is_stopped(problems) and time.monotonic() < deadline:
            for part in self.parts:
                part.check()
            time.sleep(0.2)
            _, problems = health(self.host, self.config.port)
        site, rpc = self.env["PUBLIC_URL"].rstrip("/"), urlsplit(self.env["SOROBAN_RPC_URL"].split(",")[0])
        chain = (
            f"{rpc.scheme}://{in_url(rpc.hostname or '')}{f':{rpc.port}' if rpc.port else ''}"  # a path may hold a key
        )
        python = os.path.relpath(sys.executable)
        lines = [
            "Ajo is up; Ctrl-C stops it.",
            f"  API      {site}/api/v1/",
            f"  Docs     {site}/api/v1/docs/",
            f"  Admin    {site}/admin/   login: {STAFF}   password: {self.password_file.read_text().strip()}",
            f"  Follows  contract {self.env['AJO_CONTRACT_ID']}",
            f"           on {self.env['STELLAR_NETWORK_PASSPHRASE']!r} at {chain}"
            + ("" if self.config.rpc_url else " (the sandbox: a chain for development, not a network)"),
            f"  Manage   ENV_FILE={os.path.relpath(self.config.data / 'env')} {python} manage.py …",
            f"  Data     {self.config.data} (logs in {self.logs})",
            *(f"  Not yet: {problem}" for problem in problems),
        ]
        print("\n".join(lines), flush=True)


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Lock the folder against a second stack, until the process ends. Raises StackError if it is locked."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(f"{data} is in use by another copy: stop it, or start with DATA_DIR=<another>") from error
        yield


def health(host: str, port: int) -> tuple[int, list[str]]:
    """Return status and problems of /health/ready; status 0 while there is no answer."""
    return _ask(host, port, "GET", "/health/ready", "problems")


def is_stopped(problems: Iterable[str]) -> bool:
    """Return whether the sync waits for a person, who needs the stack to be up."""
    return any(problem.startswith(STOPPED) for problem in problems)


def serves_reads(status: int, problems: Iterable[str]) -> bool:
    """Return whether reads are answered, if only from the tables of a chain that is gone."""
    return status == http.client.OK or is_stopped(problems)


def is_healthy(port: int) -> bool:
    """Return whether the Stellar RPC on this port reports itself healthy (getHealth)."""
    return (
        _ask("127.0.0.1", port, "POST", "/", "result", {"jsonrpc": "2.0", "id": 1, "method": "getHealth"})[0]
        == http.client.OK
    )


def _ask(host: str, port: int, method: str, path: str, field: str, body: object = None) -> tuple[int, list[str]]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, body=text, headers={"Content-Type": "application/json", "Host": "localhost"})
        answer = connection.getresponse()
        return answer.status, list(json.loads(answer.read())[field])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return 0, []
    finally:
        connection.close()


def contract_of(sandbox: ManagedProcess) -> str:
    """Return the contract's address, from `contract=C…` in the sandbox's ready line; empty before it."""
    found = re.search(r"\bcontract=(C[A-Z2-7]{55})\b", sandbox.log.read_text(errors="replace"))
    return found.group(1) if found else ""


def stop_on_signals() -> None:
    """End the process at the first SIGINT, SIGTERM or SIGHUP; later ones are ignored while it stops."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(0)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)
