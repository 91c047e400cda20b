"""Everything behind a pooler in transaction mode: each transaction may meet another server connection.

`make pooler`; needs Debian's pgbouncer. A session lock, a prepared statement or a server-side cursor would fail here.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from ajo.settings import BASE_DIR
from ajo.soroban.models import Checkpoint
from devtools.sandbox.sandbox import Sandbox
from devtools.stack.process import ManagedProcess, free_port
from tests.support.comparison import differences
from tests.support.databases import hold_transaction
from tests.support.factories import make_checkpoint, make_group
from tests.support.histories import History, contract_entries

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pooled(tmp_path: Path) -> Iterator[str]:
    """The test database's address through pgbouncer with two server connections for everyone."""
    database, port = connection.settings_dict, free_port()
    tmp_path.chmod(0o755)
    users = tmp_path / "users"
    users.write_text(f'"{database["USER"]}" "{database["PASSWORD"]}"\n')
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{database['NAME']} = host={database['HOST']} port={database['PORT']} dbname={database['NAME']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
        f"auth_file = {users}\npool_mode = transaction\n"
        "default_pool_size = 2\nmin_pool_size = 2\nserver_round_robin = 1\n"
    )
    argv = ["pgbouncer", str(config)]
    if os.geteuid() == 0:  # it refuses to run as root
        argv = ["unshare", "--user", "--", *argv]
    address = f"postgres://{database['USER']}:{database['PASSWORD']}@127.0.0.1:{port}/{database['NAME']}"
    part = ManagedProcess("pgbouncer", argv, tmp_path / "pgbouncer.log")
    part.start()
    try:
        part.wait_until(lambda: lets_in(address))
        yield address
    finally:
        part.stop()


ASK_THE_EDGE = """
import django
django.setup()
from ajo.edge import Edge
from tests.support.edge import ask

def nobody(environ, start_response):
    raise SystemExit(environ["PATH_INFO"] + " was left to Django")

edge = Edge(nobody)
for number in range(1, 21):
    status, headers, body = ask(edge, f"/api/v1/groups/{number}/")
    assert (status, str(number).encode() in body) == ("200 OK", True), status
edge.close()
"""


def lets_in(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def manage(address: str, sandbox: Sandbox, *arguments: str) -> str:
    environment = os.environ | {
        "DATABASE_URL": address,
        "SOROBAN_RPC_URL": sandbox.url,
        "RPC_EVENTS_LIMIT": "20",
        "AJO_CONTRACT_ID": sandbox.contract,
        "STELLAR_NETWORK_PASSPHRASE": sandbox.chain.passphrase,
    }
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_sync_sweeps_and_rebuild_work_behind_a_pooler_in_transaction_mode(pooled: str) -> None:
    with Sandbox() as sandbox:
        history = History(sandbox.chain, 5)
        history.walk(40)
        manage(pooled, sandbox, "sync")
        history.walk(20)
        manage(pooled, sandbox, "sync")
        manage(pooled, sandbox, "sweep")
        assert differences(contract_entries(sandbox.chain)) == []
        manage(pooled, sandbox, "sweep", "--deep")
        assert "groups_changed 0" in manage(pooled, sandbox, "rebuild", "--dry-run")
        manage(pooled, sandbox, "rebuild")
        assert differences(contract_entries(sandbox.chain)) == []
    assert Checkpoint.objects.get().ledger > 0


def test_the_edge_answers_from_the_tables_behind_a_pooler_in_transaction_mode(pooled: str) -> None:
    """Breaks if it ran its prepared statement only: the next transaction meets another session of the server."""
    make_checkpoint()
    for number in range(1, 21):
        make_group(number)
    done = subprocess.run(
        [sys.executable, "-c", ASK_THE_EDGE],
        cwd=BASE_DIR,
        env=os.environ | {"DATABASE_URL": pooled},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


ASK_UNDER_LIMITS = """
import sys, time
from ajo.wsgi import application
from tests.support.edge import ask

took = []
for path in sys.argv[1:]:
    began = time.monotonic()
    status, headers, body = ask(application, path)
    took.append(time.monotonic() - began)
    assert (status, "Retry-After" in dict(headers)) == ("503 Service Unavailable", True), (path, status, body)
    assert took[-1] < 8, (path, took)
"""
SETTINGS_NOW = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"


def test_web_processes_have_their_limits_behind_a_pooler_and_leave_none_to_others(pooled: str) -> None:
    """Breaks with limits at the session's beginning (they would be whoever's asks next), and with none."""
    make_checkpoint()
    make_group(1)
    paths = ("/api/v1/groups/", "/api/v1/groups/1/", "/api/v1/groups/1/members/")
    with hold_transaction("LOCK TABLE groups_group IN ACCESS EXCLUSIVE MODE"):
        done = subprocess.run(
            [sys.executable, "-c", ASK_UNDER_LIMITS, *paths],
            cwd=BASE_DIR, env=os.environ | {"DATABASE_URL": pooled}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert limits_of_others(pooled) == {("0", "0")}


def limits_of_others(pooled: str) -> set[tuple[str, str]]:
    """The limits that other clients find, in the server's sessions in turn."""
    found = set()
    for _ in range(4):
        with psycopg.connect(pooled, autocommit=True) as other:
            row = other.execute(SETTINGS_NOW).fetchone()
            assert row
            found.add((row[0], row[1]))
    return found


def test_the_doctor_sees_the_pooler_and_leaves_no_limit_to_others(pooled: str) -> None:
    """Breaks if it limited its statements by a SET of the session, which is another client's a moment later."""
    argv, env = [sys.executable, "manage.py", "doctor"], os.environ | {"DATABASE_URL": pooled}
    done = subprocess.run(argv, cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=120)
    assert ", behind a pooler; " in done.stdout, done.stdout + done.stderr
    assert "let the pooler take " in done.stdout
    assert limits_of_others(pooled) == {("0", "0")}
