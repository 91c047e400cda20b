"""The embedded PostgreSQL: whose rights it has, what it keeps, and what a killed stack leaves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from ajo.devstack import postgres
from ajo.devstack.postgres_server import choose_runner, find_install
from ajo.devstack.process import StackError
from ajo.settings import BASE_DIR

HOLD = """
import sys
from pathlib import Path
from ajo.devstack import postgres
with postgres(Path(sys.argv[1]), Path(sys.argv[1]) / "log") as (address, part):
    print(part.process.pid, flush=True)
    sys.stdin.read()
"""


def ask(address: str, statement: str) -> object:
    with psycopg.connect(address, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        while cursor.nextset():
            pass
        row = cursor.fetchone()
    return row and row[0]


def test_data_is_there_after_a_restart_and_only_its_password_opens_it(tmp_path: Path) -> None:
    with postgres(tmp_path / "home", tmp_path / "log") as (address, _):
        ask(address, "CREATE TABLE kept AS SELECT 7 AS n; SELECT n FROM kept")
    with postgres(tmp_path / "home", tmp_path / "log") as (address, _):
        assert ask(address, "SELECT n FROM kept") == 7
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            ask(address.replace("ajo:", "ajo:not"), "SELECT 1")


def test_the_server_never_has_roots_rights(tmp_path: Path) -> None:
    with postgres(tmp_path / "home", tmp_path / "log") as (address, _):
        status = str(ask(address, "SELECT pg_read_file('/proc/self/status')"))
    assert status.split("Uid:")[1].split()[1] != "0"
    assert int(status.split("CapEff:")[1].split()[0], 16) == 0


def test_where_namespaces_are_forbidden_it_starts_as_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajo.devstack.postgres_server.REACHABLE", tmp_path)
    monkeypatch.setattr("ajo.devstack.postgres_server._succeeds", lambda argv: False)
    for folder in (tmp_path, *tmp_path.parents[:2]):  # pytest closes them to others; a machine's /var/tmp is open
        folder.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    with postgres(home, tmp_path / "log", runner=choose_runner(home, find_install())) as (_, part):
        assert part.process is not None
        assert psutil.Process(part.process.pid).uids().effective != 0


def test_an_interrupted_creation_of_the_cluster_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "home" / "data.draft").mkdir(parents=True)
    (tmp_path / "home" / "data.draft" / "PG_VERSION").write_text("18\n")
    with postgres(tmp_path / "home", tmp_path / "log") as (address, _):
        assert ask(address, "SELECT 1") == 1


def test_a_lock_of_a_process_that_is_no_server_is_forgotten(tmp_path: Path) -> None:
    with postgres(tmp_path / "home", tmp_path / "log"):
        lock = tmp_path / "home" / "data" / "postmaster.pid"
        text = lock.read_text()
    lock.write_text(text.replace(text.split()[0], str(os.getpid()), 1))
    with postgres(tmp_path / "home", tmp_path / "log") as (address, _):
        assert ask(address, "SELECT 1") == 1


def test_the_server_ends_when_its_stack_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        server = psutil.Process(int(holder.stdout.readline()))
        holder.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([server], timeout=30)[1] == []


def test_a_server_that_outlived_its_stack_is_stopped_first(tmp_path: Path) -> None:
    with postgres(tmp_path / "home", tmp_path / "log") as (_, first):
        assert first.process is not None
        with postgres(tmp_path / "home", tmp_path / "log2") as (address, _):
            assert first.process.wait(30) == 0
            assert ask(address, "SELECT 1") == 1


def test_a_server_that_cannot_start_is_one_line_that_says_where_to_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StackError) as caught, postgres(tmp_path / "home", tmp_path / "log", {"nonsense": "1"}):
        pass
    assert str(caught.value) == f"PostgreSQL stopped (exit code 1): see {tmp_path / 'log'}, then start again"
    assert 'unrecognized configuration parameter "nonsense"' in capsys.readouterr().err
