"""`manage.py doctor`: a line for each part, with what to do, whatever is broken."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from psycopg.errors import InsufficientPrivilege, QueryCanceled
from redis import Redis

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.ops.doctor import Finding, Level, chain, diagnose
from ajo.ops.doctor.database import Server, _server_findings
from ajo.ops.doctor.machine import settings_findings
from ajo.ops.models import Heartbeat
from ajo.settings import BASE_DIR
from ajo.soroban.models import Checkpoint, HistoryGap
from devtools.sandbox.sandbox import Sandbox
from devtools.stack.process import free_port

TOTAL, USED = 10**12, 10**11  # bytes of a disk


@pytest.fixture(scope="module")
def network() -> Iterator[Sandbox]:
    with Sandbox() as made:
        made.chain.clock = time.time
        yield made


closed_at = 0.0


def close_one(network: Sandbox) -> None:
    """Close a ledger of now, unless the newest is still young: two within a second would be ahead of the clock."""
    global closed_at
    if time.time() - closed_at > 10:
        network.chain.close_ledger()
        closed_at = time.time()


@pytest.fixture
def service(network: Sandbox, settings: LazySettings, db: None, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A service that is well: a node of now, tables at its ledger, a worker and a beat."""
    settings.SOROBAN_RPC_URL = [network.url]
    settings.AJO_CONTRACT_ID = network.contract
    settings.STELLAR_NETWORK_PASSPHRASE = SANDBOX_PASSPHRASE
    monkeypatch.setenv("AJO_CONTRACT_ID", network.contract)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(TOTAL, USED, TOTAL - USED))
    close_one(network)
    latest = network.chain.latest
    Checkpoint.objects.create(
        network_passphrase=SANDBOX_PASSPHRASE, contract=network.contract, start_ledger=1, ledger=latest,
        chain_ledger=latest, chain_advanced_at=timezone.now(), chain_closed_at=timezone.now(),
    )  # fmt: skip
    for part in ("worker", "beat"):
        Heartbeat.objects.create(name=f"{part}@host:1", part=part, tasks=[{"name": "sync", "seconds": 1.0}])
    return network


def bad() -> list[Finding]:
    """What is not well."""
    return [finding for finding in diagnose() if finding.level is not Level.OK]


def only_bad() -> Finding:
    found = bad()
    assert len(found) == 1, found
    return found[0]


def test_a_service_that_is_well_has_a_line_for_each_part_and_exit_code_0(
    service: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("doctor")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [
        "settings", "database", "database", "database", "redis", "rpc", "sync", "beat", "worker", "clocks", "clocks",
        "disk",
    ]  # fmt: skip
    assert all(line.startswith("ok ") and "→" not in line for line in lines)
    assert re.search(r"events of the last (\d+ (s|min|h)|\d days?)", lines[5])
    assert re.fullmatch(r"ok +beat +beat@host:1 is alive; sent sync \d+ s ago", lines[7])
    assert re.fullmatch(r"ok +worker +worker@host:1 is alive; runs sync for \d+ s", lines[8])


@pytest.mark.parametrize(("gaps", "code"), [(1, 1), (0, None)])
def test_a_warning_is_exit_code_1_and_json_says_the_same(
    service: Sandbox, capsys: pytest.CaptureFixture[str], gaps: int, code: int | None
) -> None:
    for _ in range(gaps):
        HistoryGap.objects.create(
            network_passphrase=SANDBOX_PASSPHRASE, contract=service.contract, from_ledger=0, to_ledger=4, why="w"
        )
    exited = None
    try:
        call_command("doctor", "--json")
    except SystemExit as ended:
        exited = ended.code
    document = json.loads(capsys.readouterr().out)
    assert exited == code
    assert document["status"] == ("warning" if gaps else "ok")
    assert [finding["text"] for finding in document["findings"] if finding["level"] != "ok"] == [
        "1 stretches of history are missing"
    ] * gaps


def test_while_nothing_works_every_part_says_why_without_a_traceback_and_soon(tmp_path: Path) -> None:
    """A file with a typo, a database, Redis and RPC where nobody listens."""
    port = free_port()
    file = tmp_path / "env"
    file.write_text("SYNC_INTERVLA=7\n")
    nowhere = {
        "DATABASE_URL": f"postgres://user:letmein@127.0.0.1:{port}/name",
        "REDIS_URL": f"redis://:letmein@127.0.0.1:{port}/0",
        "SOROBAN_RPC_URL": f"http://127.0.0.1:{port}/letmein12,http://127.0.0.1:{port}",
        "ENV_FILE": str(file),
    }
    argv = [sys.executable, "manage.py", "doctor"]
    done = subprocess.run(argv, cwd=BASE_DIR, env=os.environ | nowhere, capture_output=True, text=True, timeout=90)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (2, "")
    assert [line.split(None, 2)[:2] for line in lines if not line.startswith("ok")] == [
        ["warning", "settings"], ["error", "database"], ["error", "redis"], ["error", "rpc"], ["error", "rpc"],
    ]  # fmt: skip
    assert "SYNC_INTERVLA: nothing reads it; the nearest setting is SYNC_INTERVAL" in lines[0]
    assert all(" → " in line for line in lines if not line.startswith("ok"))
    assert "letmein" not in done.stdout


def test_a_refused_setting_is_named_and_what_it_leads_to_is_not_asked(service: Sandbox, settings: LazySettings) -> None:
    settings.SOROBAN_RPC_URL = ["rpc.example"]
    assert [str(finding) for finding in diagnose() if finding.level is not Level.OK] == [
        "error    settings   SOROBAN_RPC_URL: expected addresses that start with http:// or https://, comma separated"
        " → correct it; .env.example has every setting"
    ]


def test_without_settings_the_file_of_make_run_is_named(
    tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BASE_DIR = tmp_path
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings.SOROBAN_RPC_URL = []
    assert [each.level for each in settings_findings()] == [Level.ERROR]
    written = tmp_path / ".data" / "env"
    written.parent.mkdir()
    written.touch()
    [refused, hint] = settings_findings()
    assert (refused.level, hint.level) == (Level.ERROR, Level.WARNING)
    assert str(written) in hint.text
    assert f"ENV_FILE={written} .venv/bin/python manage.py" in hint.advice


def test_pending_migrations_and_a_missing_extension_are_errors_with_the_command(service: Sandbox) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
        cursor.execute("DROP EXTENSION pg_trgm CASCADE")
    assert [(finding.part, finding.text, finding.level) for finding in bad()] == [
        ("database", "the extension pg_trgm is missing", Level.ERROR),
        ("database", "1 migrations have not been applied", Level.ERROR),
    ]


@pytest.mark.parametrize(
    ("failure", "text", "advice"),
    [
        (
            InsufficientPrivilege(),
            "it refuses what every command asks (InsufficientPrivilege)",
            "give the user of DATABASE_URL the rights of the tables' owner",
        ),
        (
            QueryCanceled(),
            "it refuses what every command asks (QueryCanceled)",
            "see PostgreSQL's own log of this moment",
        ),
        (
            psycopg.InterfaceError(),
            "it refuses what every command asks (InterfaceError)",
            "see PostgreSQL's own log of this moment",
        ),
    ],
)
def test_a_refused_statement_is_told_and_rights_are_asked_for_only_where_they_lack(
    service: Sandbox, failure: psycopg.Error, text: str, advice: str
) -> None:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if "server_version" in sql or "extract(epoch" in sql:
            with connection.wrap_database_errors:
                raise failure
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        found = [finding for finding in diagnose() if finding.level is not Level.OK]
    assert [(each.part, each.text, each.advice) for each in found] == [("database", text, advice)]


def test_what_it_asks_of_the_database_ends_soon_and_binds_nobody_afterwards(service: Sandbox) -> None:
    seen: set[tuple[str, str]] = set()

    def look(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if "set_config" not in sql and not sql.startswith(("SAVEPOINT", "RELEASE")):
            seen.add(limits_now())
        return execute(sql, params, many, context)

    before = limits_now()
    with transaction.atomic():  # its end is the tests' end of a transaction
        with connection.execute_wrapper(look):
            assert bad() == []
        transaction.set_rollback(True)
    assert seen == {("5s", "5s")}
    assert limits_now() == before


def limits_now() -> tuple[str, str]:
    """The limits of this session, asked beside the wrappers of its statements."""
    found = connection.connection.execute(
        "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
    ).fetchone()
    return (found[0], found[1])


def test_tables_of_a_later_version_are_told_with_what_can_be_done(service: Sandbox) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('groups', '9999_later', now())")
    found = only_bad()
    assert found.text == "its tables are of a later version than this one: groups.9999_later"
    assert "Rollback" in found.advice


def test_more_connections_than_the_server_allows_are_told(service: Sandbox, settings: LazySettings) -> None:
    settings.WEB_WORKERS, settings.DATABASE_POOL_SIZE, settings.WEB_THREADS = 64, 4, 4
    assert only_bad().text.startswith("one machine's processes take up to 517 connections, ")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"major": 13}, "version 13 is too old"),
        ({"encoding": "LATIN1"}, "its encoding is LATIN1"),
        ({"is_read_only": True}, "it takes no writes"),
    ],
)
@pytest.mark.django_db
def test_a_server_that_cannot_serve_is_an_error(wrong: dict[str, Any], text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    well: dict[str, Any] = {
        "version": "18.1", "major": 18, "encoding": "UTF8", "is_read_only": False, "has_trigrams": True,
        "backend_pid": pid, "connection_limit": 100, "connections": 3, "size": 10,
    }  # fmt: skip
    assert [finding.level for finding in _server_findings(Server(**well))] == [Level.OK, Level.OK]
    [about, connections] = _server_findings(Server(**well | {"backend_pid": pid + 1}))
    assert ", behind a pooler; " in about.text
    assert connections.text.startswith("connections are the pooler's: let the pooler take ")
    found = [finding for finding in _server_findings(Server(**well | wrong)) if finding.level is not Level.OK]
    assert [(finding.text, finding.level) for finding in found] == [(text, Level.ERROR)]


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("allkeys-lru", "allkeys-lru throws away tasks and the freshness of bodies once it is full"),
        ("noeviction", "once it is full it refuses writes: nothing is cached, and no task is queued"),
    ],
)
def test_an_eviction_policy_that_loses_tasks_is_a_warning(
    service: Sandbox, settings: LazySettings, policy: str, text: str
) -> None:
    with Redis.from_url(settings.REDIS_URL) as server:
        server.config_set("maxmemory", 2**30)
        server.config_set("maxmemory-policy", policy)
        try:
            found = only_bad()
        finally:
            server.config_set("maxmemory", 0)
            server.config_set("maxmemory-policy", "noeviction")
    assert (found.part, found.level, found.text) == ("redis", Level.WARNING, text)
    assert found.advice == "set maxmemory-policy volatile-lru"


def test_a_node_of_another_network_and_a_contract_that_is_not_there_are_errors(
    service: Sandbox, settings: LazySettings
) -> None:
    with Sandbox(passphrase="Another ; network") as other:
        settings.SOROBAN_RPC_URL = [service.url, other.url]
        assert [(finding.level, finding.text) for finding in bad() if finding.part.startswith("rpc 2")] == [
            (Level.ERROR, "it serves the network “Another ; network”")
        ]
    settings.SOROBAN_RPC_URL = [service.url]
    with Sandbox(passphrase="Another ; network") as other:
        settings.AJO_CONTRACT_ID = other.contract
    assert "there is no such contract on its network" in [finding.text for finding in bad()]


def test_a_node_that_lags_or_fails_beside_a_good_one_is_a_warning(
    service: Sandbox, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SOROBAN_RPC_URL = [service.url, f"http://127.0.0.1:{free_port()}", service.url]
    ask = chain.ask_nodes()
    late = chain.Node(**{name: getattr(ask[2], name) for name in chain.Node.__slots__} | {"latest": ask[2].latest - 99})
    found = [each for each in chain.node_findings([*ask[:2], late]) if each.level is not Level.OK]
    assert [(each.part.split(":")[0], each.level, each.text) for each in found] == [
        ("rpc 2", Level.WARNING, "the RPC cannot be reached: ConnectionError"),
        ("rpc 3", Level.WARNING, "99 ledgers behind another node"),
    ]


def test_processes_that_are_silent_or_were_never_there_are_errors_with_their_command(service: Sandbox) -> None:
    Heartbeat.objects.filter(part="worker").update(seen_at=timezone.now() - timedelta(seconds=109))
    found = only_bad()
    assert (found.part, found.level) == ("worker", Level.ERROR)
    assert re.fullmatch(r"silent for 1[01]\d s; it ran sync \(worker@host:1\)", found.text)
    assert found.advice == "start celery -A ajo.celery worker anew, and see its log"
    Heartbeat.objects.all().delete()
    assert [(each.part, each.text) for each in bad()] == [("worker", "none runs"), ("beat", "none runs")]


@pytest.mark.parametrize(("ahead", "word"), [(100, "ahead of"), (-100, "behind")])
def test_a_host_whose_clock_is_off_is_told(
    service: Sandbox, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, ahead: int, word: str
) -> None:
    settings.AJO_SANDBOX = False  # whose clock may be moved
    now = time.time
    monkeypatch.setattr("ajo.ops.doctor.machine.time.time", lambda: now() + ahead)
    texts = [finding.text for finding in bad() if finding.part == "clocks"]
    assert f"this host's clock is 100 s {word} the database's" in texts
    assert len(texts) == 2  # and by the chain's
    assert {finding.part for finding in bad()} == {"clocks", "settings"}  # it is the sandbox's network


def test_the_moved_clock_of_a_sandbox_is_no_fault_of_this_host(
    service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    monkeypatch.setattr("ajo.ops.doctor.machine.time.time", lambda: now() - 100)
    assert {finding.text for finding in bad()} == {"this host's clock is 100 s behind the database's"}


@pytest.mark.parametrize(("free", "level"), [(2**30 - 1, Level.WARNING), (2**26 - 1, Level.ERROR)])
def test_a_disk_that_fills_is_told(service: Sandbox, monkeypatch: pytest.MonkeyPatch, free: int, level: Level) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(TOTAL, TOTAL - free, free))
    found = only_bad()
    assert (found.part, found.level) == ("disk", level)


def test_a_sync_that_waits_for_a_person_is_an_error_with_the_command(service: Sandbox) -> None:
    Checkpoint.objects.update(halted="the network started again")
    found = only_bad()
    assert (found.part, found.level) == ("sync", Level.ERROR)
    assert "manage.py reset_chain --yes" in found.text


def test_tables_that_are_behind_are_told(service: Sandbox) -> None:
    Checkpoint.objects.update(chain_ledger=Checkpoint.objects.get().ledger + 500)
    assert only_bad().text == "the tables are 500 ledgers behind the chain"
