"""`make run` as a person meets it: real processes, started and stopped."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from stellar_sdk import Keypair

from ajo.settings import BASE_DIR
from devtools.stack.process import LOW_PRIORITY, free_port
from devtools.stack.state import read_state
from tests.support.services import TEST_VARIABLES
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system
SERVER, REDIS = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]


def command(data: Path, port: int, sandbox_port: int, **more: str) -> dict[str, object]:
    """Arguments for subprocess: the stack in a folder and on ports of its own, nothing of the tests' settings."""
    env = {name: value for name, value in os.environ.items() if name not in TEST_VARIABLES}
    env |= {"DATA_DIR": str(data), "PORT": str(port), "SANDBOX_PORT": str(sandbox_port), "ENV_FILE": os.devnull, **more}
    return {"args": [sys.executable, "-m", "devtools.stack"], "cwd": BASE_DIR, "env": env, "text": True}


@dataclass
class Up:
    """A stack that has said that it is up."""

    process: subprocess.Popen[str]
    parts: list[psutil.Process]
    greeting: str
    port: int
    sandbox_port: int
    data: Path

    @property
    def password(self) -> str:
        return str(re.findall(r"password: (\S+)", self.greeting)[0])

    def end(self, number: signal.Signals) -> tuple[int, list[psutil.Process], str]:
        """Exit code, processes that are left, and what it wrote to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, psutil.wait_procs(self.parts, timeout=20)[1], errors

    def find(self, pattern: str) -> psutil.Process | None:
        """The first part whose command line matches; a server's short-lived helpers may be gone by now."""
        for part in self.parts:
            with suppress(psutil.NoSuchProcess):
                if re.search(pattern, " ".join(part.cmdline())):
                    return part
        return None


@contextmanager
def stack(data: Path, **more: str) -> Iterator[Up]:
    port, sandbox_port = free_port(), free_port()
    process = subprocess.Popen(
        **command(data, port, sandbox_port, **more),  # type: ignore[call-overload]
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        greeting = ""
        for line in process.stdout:
            greeting += line
            if line.startswith("  Data"):
                break
        assert "Ajo is up" in greeting, process.communicate()[1]
        yield Up(process, psutil.Process(process.pid).children(recursive=True), greeting, port, sandbox_port, data)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def halt_reason(data: Path, port: int, sandbox_port: int, **more: str) -> tuple[int, list[str]]:
    """Exit code and lines on stderr of a start that must not succeed."""
    done = subprocess.run(
        **command(data, port, sandbox_port, **more),  # type: ignore[call-overload]
        capture_output=True,
        timeout=120,
    )
    return done.returncode, done.stderr.splitlines()


def test_it_serves_says_where_and_ends_on_ctrl_c_with_nothing_left(tmp_path: Path) -> None:
    with stack(tmp_path) as up:
        site = f"http://127.0.0.1:{up.port}"
        assert f"{site}/api/v1/" in up.greeting
        assert f"{site}/admin/" in up.greeting
        # on a busy machine the sync still follows what the demo has done meanwhile
        ready = {"status": "ready", "problems": []}
        wait_for(
            lambda: requests.get(f"{site}/health/ready", timeout=10).json() == ready, 60, "a service that is ready"
        )
        style = requests.get(f"{site}/static/admin/css/base.css", timeout=10)
        assert (style.status_code, style.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
        with requests.Session() as session:
            page = session.get(f"{site}/admin/login/", timeout=10).text
            token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', page)[0]
            form = {"username": "staff", "password": up.password, "csrfmiddlewaretoken": token}
            assert session.post(f"{site}/admin/login/?next=/admin/", data=form, timeout=10).url == f"{site}/admin/"
        [(wallet, secret)] = re.findall(r"Wallet +(G\w{55})   secret: (S\w{55})   ", up.greeting)
        assert Keypair.from_secret(secret).public_key == wallet
        worker = up.find("ajo.celery worker")
        assert worker is not None
        assert worker.nice() == min(psutil.Process(up.process.pid).nice() + LOW_PRIORITY, 19)
        names = ("postgres", "valkey-server|redis-server", "devtools.sandbox", "ajo.web", "worker", "beat")
        assert [name for name in names if up.find(name) is None] == []
        assert up.end(signal.SIGINT) == (0, [], "")


def test_it_serves_on_ipv6_loopback(tmp_path: Path) -> None:
    """Breaks if the stack asked 127.0.0.1 whether the web is up: it would end after a minute."""
    with stack(tmp_path, WEB_HOST="::1") as up:
        site = f"http://[::1]:{up.port}"
        assert f"{site}/api/v1/" in up.greeting
        assert requests.get(f"{site}/health/ready", timeout=10).json() == {"status": "ready", "problems": []}
        code, lines = halt_reason(tmp_path / "two", up.port, free_port(), WEB_HOST="::1")
        assert (code, lines[0].split(":")[1]) == (1, f" port {up.port} is in use")


def asked(up: Up, what: str) -> tuple[int, str]:
    """Exit code and output of `make stop`, `make status` or `make logs` for this stack."""
    given: dict[str, Any] = command(up.data, up.port, up.sandbox_port)
    done = subprocess.run(**given | {"args": [*given["args"], what]}, capture_output=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_second_start_finds_its_data_and_copies_run_side_by_side(tmp_path: Path) -> None:
    with stack(tmp_path / "one") as first:
        password = first.password
    with stack(tmp_path / "one") as again, stack(tmp_path / "two") as other:
        assert again.password == password
        assert other.password != password
        assert requests.get(f"http://127.0.0.1:{other.port}/health/live", timeout=10).status_code == 200
        for ports in ((free_port(), free_port()), (again.port, again.sandbox_port)):
            code, [line] = halt_reason(tmp_path / "one", *ports)
            assert code == 1
            assert line.startswith(f"make run: Ajo runs in {tmp_path / 'one'} already: make stop ends it")
        code, said = asked(again, "status")
        assert code == 0
        parts = re.findall(r"^  (\w+(?: \w+)*) +process (\d+), for 0 h \d\d min \d\d s$", said, re.MULTILINE)
        assert [name for name, _ in parts] == ["PostgreSQL", "Redis", "Sandbox chain", "Web", "Worker", "Beat"]
        assert {int(pid) for _, pid in parts} <= {part.pid for part in again.parts}
        assert asked(again, "stop") == (0, "Stopped.\n")
        assert again.end(signal.SIGCONT) == (0, [], "")
        assert asked(again, "stop") == (0, f"Nothing runs in {again.data}.\n")
        assert asked(again, "status") == (3, f"Nothing runs in {again.data}. make run starts it.\n")
        code, said = asked(again, "logs")
        assert code == 0
        assert "logs/web.log <==" in said


def test_a_start_is_seen_and_can_be_stopped(tmp_path: Path) -> None:
    given: dict[str, Any] = command(tmp_path, free_port(), free_port())
    with subprocess.Popen(**given, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Starting in {tmp_path}\n"
        said = subprocess.run(**given | {"args": [*given["args"], "stop"]}, capture_output=True, timeout=120)
        assert (said.stdout, said.stderr, said.returncode) == ("Stopped.\n", "", 0)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert read_state(tmp_path) is None


def test_a_chain_that_began_again_is_refused_and_the_command_that_is_named_helps(tmp_path: Path) -> None:
    with stack(tmp_path):
        pass
    shutil.rmtree(tmp_path / "sandbox")
    with stack(tmp_path) as up:
        [start] = re.findall(r"Manage +ENV_FILE=(\S+) (\S+) manage.py", up.greeting)
        ready = f"http://127.0.0.1:{up.port}/health/ready"
        problems = wait_for(lambda: requests.get(ready, timeout=10).json()["problems"], what="it is refused")
        assert problems[0].startswith("sync: stopped: ")
        assert "`manage.py reset_chain --yes`" in problems[0]
        env = {"PATH": os.environ["PATH"], "ENV_FILE": start[0]}
        subprocess.run([start[1], "manage.py", "reset_chain", "--yes"], cwd=BASE_DIR, env=env, check=True, timeout=60)
        wait_for(lambda: requests.get(ready, timeout=10).json()["problems"] == [], what="the new chain is followed")


def test_a_part_that_dies_is_started_again_and_ends_everything_when_it_keeps_dying(tmp_path: Path) -> None:
    with stack(tmp_path) as up:
        died: set[int] = set()
        for _ in range(4):
            beat = wait_for(lambda: _runs(up, "Beat", died), what="beat runs")
            died.add(beat.pid)
            beat.kill()
        code, left, errors = up.end(signal.SIGCONT)
        assert (code, left) == (1, [])
        again = "Beat stopped (killed by SIGKILL) and is started again; its log is"
        assert [line for line in errors.splitlines() if line.startswith("Beat stopped")] == [
            f"{again} {tmp_path}/logs/beat.log.1"
        ] * 3
        assert errors.splitlines()[-1] == (
            f"make run: Beat stopped (killed by SIGKILL): see {tmp_path}/logs/beat.log, then start again"
        )


def _runs(up: Up, name: str, died: set[int]) -> psutil.Process | None:
    """The process of this name that the stack has started last, unless it is one of those that died."""
    state = read_state(up.data)
    assert state is not None
    [pid] = [part.pid for part in state.parts if part.name == name]
    return None if pid is None or pid in died else psutil.Process(pid)


def test_nothing_is_left_when_the_stack_itself_is_killed(tmp_path: Path) -> None:
    with stack(tmp_path) as up:
        assert up.end(signal.SIGKILL)[:2] == (-signal.SIGKILL, [])


@pytest.mark.parametrize("variable", ["PORT", "SANDBOX_PORT"])
def test_a_busy_port_is_one_line_that_names_the_variable(tmp_path: Path, variable: str) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        taken = busy.getsockname()[1]
        ports = {"PORT": free_port(), "SANDBOX_PORT": free_port(), variable: taken}
        code, lines = halt_reason(tmp_path, ports["PORT"], ports["SANDBOX_PORT"])
    expected = f"make run: port {taken} is in use: stop what uses it, or start with {variable}=<another port>"
    assert (code, lines) == (1, [expected])


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("PORT", "web", "PORT: expected a port number from 1 to 65535"),
        ("DATABASE_URL", "postgres://a:b@127.0.0.1:1/c", "DATABASE_URL: that server does not answer"),
        ("DATABASE_URL", f"{SERVER}?pgbouncer=1&connection_limit=5", "connection_limit; set DATABASE_POOL_SIZE"),
        ("DATABASE_URL", SERVER.replace("ajo:", "ajo:x"), "DATABASE_URL: the user or the password is wrong"),
        ("REDIS_URL", REDIS.replace("redis://:", "redis://:x"), "REDIS_URL: the user or the password is wrong"),
        ("REDIS_URL", f"{REDIS}?family=6", "REDIS_URL: there is no option family"),
        ("REDIS_URL", "redis://127.0.0.1:1/0", "REDIS_URL: that server does not answer"),
        ("AJO_CONTRACT_ID", "CABC", "AJO_CONTRACT_ID is set and SOROBAN_RPC_URL is not"),
        ("SYNC_INTERVAL", "soon", "SYNC_INTERVAL: expected a whole number from 1 to 3600"),
    ],
    ids=[
        "port", "no-postgresql", "pgbouncer", "postgresql-password", "redis-password", "redis-option", "no-redis",
        "contract-alone", "no-number",
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_one_line_that_names_it(
    tmp_path: Path, setting: str, value: str, message: str
) -> None:
    code, lines = halt_reason(tmp_path, free_port(), free_port(), **{setting: value})
    assert (code, len(lines)) == (1, 1)
    assert message in lines[0]
