"""`manage.py doctor`: a line for each part, with what to do, whatever is broken."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.utils import timezone
from redis import Redis

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.ops.doctor import Level, chain, diagnose
from ajo.ops.doctor.machine import settings_findings
from ajo.ops.models import Heartbeat
from ajo.settings import BASE_DIR
from ajo.soroban.models import Checkpoint, HistoryGap
from devtools.sandbox.sandbox import Sandbox
from devtools.stack.process import free_port
from tests.support.doctor import TOTAL, bad, network, only_bad, service

__all__ = ["network", "service"]


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
