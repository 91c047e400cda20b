"""docs/operations.md, "Procedures": each block is run as it stands there, on a service in real processes."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from pytest_django import DjangoDbBlocker

from ajo.soroban.models import Checkpoint
from groups.bodies import group_bodies
from groups.models import Group, WalletLabel
from tests.migrations.test_releases import counts, load
from tests.support.databases import use_database
from tests.support.documents import commands, run_line
from tests.support.dump import RELEASES, WALLET
from tests.support.running import Running, running
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system
GUIDE = "operations.md"
# The test's checkout and packages, and the machine's units, stay as they are.
NOT_RUN_HERE = ("git ", ".venv/bin/python -m pip ", "cp deploy/systemd/")
APPLIED = "SELECT app, name FROM django_migrations ORDER BY id"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Running]:
    with (
        django_db_blocker.unblock(),
        running(
            tmp_path_factory.mktemp("procedures"),
            STALE_AFTER="86400",  # its chain stands still while nobody asks it to go on
        ) as service,
    ):
        service.start_web()
        wait_for(lambda: service.get("/health/live").status_code == 200, what="web")
        service.manage("sync")
        yield service


def follow(up: Running, heading: str) -> None:
    """Run a procedure; units are started and stopped as this service's processes."""
    for line in commands(GUIDE, heading):
        if line.startswith(NOT_RUN_HERE):
            continue
        connection.close()  # it may be dropped under this test's own session
        if line.startswith("systemctl "):
            _, verb, *units = line.split()
            for unit in units:
                systemctl(up, verb, unit.removeprefix("ajo-"))
        elif line.endswith("manage.py doctor"):
            examine(up, line)
        else:
            done = run_line(line, up.env, up.home)
            assert done.returncode == 0, done.stderr


def systemctl(up: Running, verb: str, name: str) -> None:
    """Start or stop a process of the service as the unit of this name."""
    if verb in ("stop", "restart") and hasattr(up, name):
        getattr(up, name).stop()
    if verb in ("start", "restart"):
        if name == "web":
            up.start_web()
        elif name == "worker":
            up.worker = up.start_worker()
        else:
            up.beat = up.start_beat()


def examine(up: Running, line: str) -> None:
    """Wait until the doctor finds nothing broken; this chain's clock stands still, which is a warning."""
    deadline = time.monotonic() + 120
    while True:
        done = run_line(f"{line} --json", up.env, up.home)
        errors = [each for each in json.loads(done.stdout)["findings"] if each["level"] == "error"]
        if not errors:
            assert done.returncode < 2
            return
        assert time.monotonic() < deadline, errors


def served(up: Running) -> dict[int, bytes]:
    """The body of every group, as the web answers it, beside what the tables say."""
    connection.close()
    bodies = group_bodies(Group.objects.values_list("id", flat=True))
    wait_for(lambda: up.get("/health/live").status_code == 200, what="web")
    for number, document in bodies.items():
        path = f"/api/v1/groups/{number}/"
        wait_for(lambda path=path, body=document.body: up.get(path).content == body, what=f"the body of {path}")  # type: ignore[misc]
    return {number: document.body or b"" for number, document in bodies.items()}


def live_on(up: Running) -> None:
    """Let people pay, follow them, and read everything, so that Redis holds it."""
    up.history.walk(6)
    up.sandbox.chain.close_ledger()
    up.manage("sync")
    served(up)


def test_an_older_backup_beside_a_newer_redis_becomes_what_the_chain_says(up: Running) -> None:
    WalletLabel.objects.create(address=WALLET, label="Treasurer")
    get_user_model().objects.create_superuser("amina", password="x")
    served(up)
    follow(up, "Back up")
    known = Checkpoint.objects.get().ledger
    live_on(up)
    WalletLabel.objects.update(label="written after the backup")
    newer = served(up)
    assert Checkpoint.objects.get().ledger > known
    for _ in range(2):  # a backup of what was restored can be restored as well
        follow(up, "Restore")
        assert served(up) == newer
        assert up.differences() == []
        assert WalletLabel.objects.get().label == "Treasurer"
        assert get_user_model().objects.get().username == "amina"
        follow(up, "Back up")
    live_on(up)
    assert up.differences() == []


def test_an_upgrade_ends_with_a_service_that_is_well(up: Running) -> None:
    follow(up, "Upgrade")
    assert up.get("/health/ready").status_code == 200
    for part in (up.worker, up.beat):
        part.stop()


def test_after_an_upgrade_the_backup_from_before_it_can_be_brought_back(tmp_path: Path) -> None:
    """With a database of an earlier release; its own code is not at hand here."""
    with use_database("ajo_rollback") as address:
        load(address, RELEASES / "8d92b22.sql.gz")
        before = state(address)
        in_database(address, tmp_path, "Back up")
        in_database(address, tmp_path, "Upgrade", but="doctor")
        assert len(state(address)[0]) > len(before[0])
        in_database(address, tmp_path, "Rollback")
        assert state(address) == before


def test_the_guides_way_to_tables_and_a_first_account_works_on_an_empty_database(tmp_path: Path) -> None:
    with use_database("ajo_guide") as address:
        [migrate] = [line for line in commands("deployment.md", "4. Tables and the first account") if "migrate" in line]
        for line in (migrate, ".venv/bin/python manage.py first_admin"):
            env = {"DATABASE_URL": address, "ADMIN_USERNAME": "kofi", "ADMIN_PASSWORD": "a-long-and-rare-one"}
            done = run_line(line, env, tmp_path)
            assert done.returncode == 0, done.stderr
        with psycopg.connect(address) as session:
            assert session.execute("SELECT username, is_superuser FROM auth_user").fetchall() == [("kofi", True)]


def state(address: str) -> tuple[list[tuple[object, ...]], dict[str, int]]:
    """The applied migrations, and the number of rows of each table."""
    with psycopg.connect(address) as session:
        return session.execute(APPLIED).fetchall(), counts(session)


def in_database(address: str, folder: Path, heading: str, but: str = "nothing") -> None:
    for line in commands(GUIDE, heading):
        if not line.startswith((*NOT_RUN_HERE, "systemctl ")) and but not in line:
            done: subprocess.CompletedProcess[str] = run_line(line, {"DATABASE_URL": address}, folder)
            assert done.returncode == 0, done.stderr
