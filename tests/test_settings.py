"""Settings: each is documented, and a bad value is refused by the variable's name before anything starts."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ajo.celery import app
from ajo.checks import SANDBOX_PASSPHRASE, check_settings
from ajo.settings import BASE_DIR, ENV
from tests.services import CONTRACT

# Read by ajo/devstack and the sandbox, which must not load Django's settings, and by docker-compose.yml.
ELSEWHERE = {
    "DATA_DIR",
    "SANDBOX_PORT",
    "SANDBOX_LEDGER_SECONDS",
    "SANDBOX_DEMO",
    "POSTGRES_PASSWORD",
    "PUBLISH_ADDRESS",
}
SECONDS = ("RPC_TIMEOUT", "SYNC_INTERVAL", "SWEEP_INTERVAL", "STALE_AFTER", "CACHE_TTL")
NUMBERS = (*SECONDS, "RPC_RETRIES", "RPC_EVENTS_LIMIT", "RUNS_KEPT_DAYS")
BAD = {
    "AJO_CONTRACT_ID": ["", "GABC", CONTRACT[:-1] + "B", CONTRACT.lower()],
    "STELLAR_NETWORK_PASSPHRASE": ["", "   "],
    "SOROBAN_RPC_URL": ["", "ftp://rpc.example", "rpc.example", "http://", "https://ok.example,nonsense", "http://a:x"],
    "SOROBAN_RPC_HEADERS": ["novalue", "{broken", '{"a": 1}', "[]"],
    "SECRET_KEY": ["", "change-me", "short", "django-insecure-" + "x" * 50],
    "DATABASE_URL": ["", "sqlite:///x", "postgres://", "postgres://host:port/name"],
    "REDIS_URL": ["", "http://host", "redis://", "redis://host:port/0"],
    "CELERY_BROKER_URL": ["amqp://host", "redis://"],
    "PUBLIC_URL": ["ajo.example", "ftp://ajo.example"],
    "TRUSTED_PROXIES": ["nonsense", "10.0.0.0/99"],
    "READ_RATE": ["many", "10", "0/min", "10/month"],
    "CHAIN_RATE": ["-1/min"],
    "VERIFIED_TOKENS": ["CABC"],
    "DEBUG": ["perhaps"],
    "AJO_SANDBOX": ["2", "off", ""],
    "LOG_LEVEL": ["LOUD"],
    "METRICS_TOKEN": ["guessable"],
    "PROMETHEUS_MULTIPROC_DIR": ["/dev/null/metrics", "/proc/metrics"],
    **{name: ["five", "-1", "1.5", "99999999"] for name in NUMBERS},
    **{name: ["0", "x"] for name in ("WEB_WORKERS", "WEB_THREADS", "DATABASE_POOL_SIZE", "PORT")},
}


def problems(monkeypatch: pytest.MonkeyPatch, **env: str) -> list[str]:
    """The checks' messages for settings that are read from the tests' environment with these changes."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("ajo.checks.settings", SimpleNamespace(**runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))))
    return [str(error.msg) for error in check_settings()]


def test_the_example_names_exactly_the_settings_that_are_read() -> None:
    text = (BASE_DIR / ".env.example").read_text()
    assert set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)) == ENV.names | ELSEWHERE


def test_the_example_gives_the_defaults_that_the_code_has(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.+)$", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    for name in given:
        monkeypatch.delenv(name, raising=False)
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    shown = {name: {"off": "False"}.get(text, text) for name, text in given.items() if name not in ELSEWHERE}
    assert {name: str(values[name]) for name in shown} == shown


def test_settings_as_the_tests_have_them_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch) == []


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    found = problems(monkeypatch, **{name: value})
    assert len(found) == 1
    assert found[0].startswith(f"{name}: ")


def test_no_message_repeats_a_value_that_may_hold_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(
        monkeypatch, DATABASE_URL="mysql://u:hunter2@h/n", SOROBAN_RPC_HEADERS="hunter2", REDIS_URL="hunter2"
    )
    assert len(found) == 3
    assert "hunter2" not in "".join(found)


def test_an_empty_rate_means_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch, READ_RATE="", CHAIN_RATE="") == []


def test_the_sandbox_is_refused_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(monkeypatch, AJO_SANDBOX="off", STELLAR_NETWORK_PASSPHRASE=SANDBOX_PASSPHRASE)
    assert [message.split(":")[0] for message in found] == ["AJO_SANDBOX"]


@pytest.mark.parametrize("header", ["X-Key=abc,X-Other=d=e", '{"X-Key": "abc", "X-Other": "d=e"}'])
def test_headers_are_read_as_pairs_and_as_json(monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    monkeypatch.setenv("SOROBAN_RPC_HEADERS", header)
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    assert values["SOROBAN_RPC_HEADERS"] == {"X-Key": "abc", "X-Other": "d=e"}


def test_the_queue_has_a_database_number_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "rediss://:p@host:7000/4?ssl_cert_reqs=required")
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    assert values["CELERY_BROKER_URL"] == "rediss://:p@host:7000/5?ssl_cert_reqs=required"


def test_a_file_of_settings_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("SYNC_INTERVAL=7\nRPC_TIMEOUT=3\n")
    monkeypatch.setenv("ENV_FILE", str(file))
    monkeypatch.setenv("RPC_TIMEOUT", "4")
    monkeypatch.setenv("SYNC_INTERVAL", "")  # so that what the file sets is taken back after the test
    monkeypatch.delenv("SYNC_INTERVAL")
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    assert (values["SYNC_INTERVAL"], values["RPC_TIMEOUT"]) == (7, 4)


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "check"],
        ["-m", "ajo.web"],
        *(["-m", "celery", "-A", "ajo.celery", kind] for kind in ("worker", "beat")),
    ],
    ids=lambda command: command[-1],
)
def test_every_entry_point_refuses_in_a_line_and_without_a_traceback(command: list[str]) -> None:
    env = os.environ | {"AJO_CONTRACT_ID": "nonsense", "SYNC_INTERVAL": "soon"}
    done = subprocess.run([sys.executable, *command], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "AJO_CONTRACT_ID: expected a contract's address" in done.stderr
    assert "SYNC_INTERVAL: expected a whole number from 1 to 3600" in done.stderr
    assert "Traceback" not in done.stderr


def test_tasks_are_acknowledged_late_and_end_before_redis_gives_them_to_another() -> None:
    """A worker may die with any task. Breaks if a task were lost with it, waited behind another in a worker's hands, or
    were run twice because it takes long.
    """
    conf = app.conf
    assert (conf.task_acks_late, conf.task_reject_on_worker_lost, conf.worker_prefetch_multiplier) == (True, True, 1)
    assert 0 < conf.task_soft_time_limit < conf.task_time_limit < conf.broker_transport_options["visibility_timeout"]
    for entry in conf.beat_schedule.values():
        assert entry["options"]["expires"] == entry["schedule"]
