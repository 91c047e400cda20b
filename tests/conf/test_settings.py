"""Settings: each is documented, and a bad value is refused by the variable's name before anything starts."""

import os
import re
import runpy
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from celery import Celery

from ajo.celery import app
from ajo.conf.checks import SANDBOX_PASSPHRASE, check_settings
from ajo.conf.env import READ_ELSEWHERE
from ajo.settings import BASE_DIR, ENV
from tests.support.services import CONTRACT

SECONDS = ("RPC_TIMEOUT", "SYNC_INTERVAL", "SWEEP_INTERVAL", "STALE_AFTER", "CACHE_TTL")
NUMBERS = (*SECONDS, "RPC_RETRIES", "RPC_EVENTS_LIMIT", "RUNS_KEPT_DAYS")
# Of asyncpg, Prisma, SQLAlchemy, JDBC and Django.
ODD_OPTIONS = [
    f"postgres://u:p@h/n?{option}"
    for option in ("connection_limit=5", "schema=other", "ssl=true", "pool=true", "conn_max_age=60", "x-y=1")
]
ODD_REDIS = [
    *(f"redis://h/{rest}" for rest in ("name", "0?family=6", "0?socket_timeout=x")),
    *(f"rediss://h?{rest}" for rest in ("ssl_ca_certs=/nowhere", "ssl_cert_reqs=perhaps")),
]
BAD = {
    "AJO_CONTRACT_ID": ["", "GABC", CONTRACT[:-1] + "B", CONTRACT.lower()],
    "STELLAR_NETWORK_PASSPHRASE": ["", "   "],
    "SOROBAN_RPC_URL": ["", "ftp://rpc.example", "rpc.example", "http://", "https://ok.example,nonsense", "http://a:x"],
    "SOROBAN_RPC_HEADERS": ["novalue", "{broken", '{"a": 1}', "[]"],
    "SECRET_KEY": ["", "change-me", "short", "django-insecure-" + "x" * 50],
    "SECRET_KEY_FALLBACKS": ["short", "x" * 50 + ",short"],
    "HSTS_SECONDS": ["-1", "for ever", "99999999"],
    "HSTS_INCLUDE_SUBDOMAINS": ["on", "maybe"],  # without HSTS_SECONDS
    "HSTS_PRELOAD": ["on", "maybe"],
    "DATABASE_URL": ["", "sqlite:///x", "postgres://", "postgres://host:port/name", *ODD_OPTIONS],
    "REDIS_URL": ["", "http://host", "redis://", "redis://host:port/0", *ODD_REDIS],
    "CELERY_BROKER_URL": ["amqp://host", "redis://"],
    "PUBLIC_URL": [
        "ajo.example",
        "ftp://ajo.example",
        "https://me@ajo.example",
        "https://ajo.example?a",
        "https://bücher.example",
        "https://ajo.example:x",
    ],
    "ALLOWED_HOSTS": ["ajo.example:443", "https://ajo.example", "ok.example,a b"],
    "TRUSTED_PROXIES": ["nonsense", "10.0.0.0/99"],
    "CLIENT_ADDRESS_HEADER": ["X_Forwarded_For", "two words", "Name:"],
    "READ_RATE": ["many", "10", "0/min", "10/month"],
    "CHAIN_RATE": ["-1/min"],
    "VERIFIED_TOKENS": ["CABC"],
    "DEBUG": ["perhaps"],
    "ACCESS_LOG": ["perhaps"],
    "AJO_SANDBOX": ["2", "off", ""],
    "LOG_LEVEL": ["LOUD"],
    "WEB_HOST": ["nonsense", "ajo.example", "127.0.0.1:8000", "fe80::1%eth0"],
    "RPC_PROXY": ["proxy:3128", "socks5://proxy"],
    "METRICS_TOKEN": ["guessable"],
    "PROMETHEUS_MULTIPROC_DIR": ["/dev/null/metrics", "/proc/metrics"],
    **{name: ["five", "-1", "1.5", "99999999"] for name in NUMBERS},
    **{name: ["0", "x"] for name in ("WEB_WORKERS", "WEB_THREADS", "DATABASE_POOL_SIZE", "PORT")},
}


def problems(monkeypatch: pytest.MonkeyPatch, **env: str) -> list[str]:
    """The checks' messages for settings that are read from the tests' environment with these changes."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        "ajo.conf.checks.settings", SimpleNamespace(**runpy.run_path(str(BASE_DIR / "ajo" / "settings.py")))
    )
    return [str(error.msg) for error in check_settings()]


def test_the_example_names_exactly_the_settings_that_are_read() -> None:
    text = (BASE_DIR / ".env.example").read_text()
    assert set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)) == ENV.names | READ_ELSEWHERE


def test_the_example_gives_the_defaults_that_the_code_has(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.+)$", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    for name in given:
        monkeypatch.delenv(name, raising=False)
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    shown = {name: {"off": "False"}.get(text, text) for name, text in given.items() if name not in READ_ELSEWHERE}
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


HSTS = ("SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS", "SECURE_HSTS_PRELOAD")


def test_an_https_address_alone_promises_nothing_for_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if HSTS followed from PUBLIC_URL: every subdomain would be cut off, and preloaded for years."""
    monkeypatch.setenv("PUBLIC_URL", "https://ajo.example")
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    assert [values[name] for name in HSTS] == [0, False, False]
    assert (values["SESSION_COOKIE_SECURE"], values["CSRF_COOKIE_SECURE"]) == (True, True)
    monkeypatch.setenv("HSTS_SECONDS", "3600")
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    assert [values[name] for name in HSTS] == [3600, False, False]


def test_preloading_is_refused_where_the_list_would_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"HSTS_SECONDS": "31536000", "HSTS_INCLUDE_SUBDOMAINS": "on", "HSTS_PRELOAD": "on"}
    assert problems(monkeypatch, **asked) == []
    for name, value in (("HSTS_SECONDS", "3600"), ("HSTS_INCLUDE_SUBDOMAINS", "off")):
        found = problems(monkeypatch, **asked | {name: value})
        assert [message.split(":")[0] for message in found] == ["HSTS_PRELOAD"]


@pytest.mark.parametrize("nothing", ["", " ", '""', "''", '" "'])
def test_an_empty_rate_means_no_limit(monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    """Breaks where docker and compose leave quotes around nothing: the default would apply."""
    assert problems(monkeypatch, READ_RATE=nothing, CHAIN_RATE=nothing) == []
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    assert (values["READ_RATE"], values["CHAIN_RATE"]) == ("", "")


@pytest.mark.parametrize("key", ["django-insecure-" + "x" * 50, "x" * 31])
@pytest.mark.parametrize("quotes", ["", "'", '"'])
def test_quotes_make_no_key_better(monkeypatch: pytest.MonkeyPatch, key: str, quotes: str) -> None:
    [found] = problems(monkeypatch, SECRET_KEY=f"{quotes}{key}{quotes}")
    assert found.startswith("SECRET_KEY: ")


def test_the_sandbox_is_refused_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(monkeypatch, AJO_SANDBOX="off", STELLAR_NETWORK_PASSPHRASE=SANDBOX_PASSPHRASE)
    assert [message.split(":")[0] for message in found] == ["AJO_SANDBOX"]


@pytest.mark.parametrize("header", ["X-Key=abc,X-Other=d=e", '{"X-Key": "abc", "X-Other": "d=e"}'])
def test_headers_are_read_as_pairs_and_as_json(monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    monkeypatch.setenv("SOROBAN_RPC_HEADERS", header)
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    assert values["SOROBAN_RPC_HEADERS"] == {"X-Key": "abc", "X-Other": "d=e"}


def test_the_queue_needs_no_second_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if it were beside the cache's: many managed servers refuse SELECT of any other than the first."""
    monkeypatch.setenv("REDIS_URL", "rediss://:p@host:7000/4?ssl_cert_reqs=required")
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    assert values["CELERY_BROKER_URL"] == "rediss://:p@host:7000/4?ssl_cert_reqs=required"


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


DOLLARS = "$ecret-$PATH-${HOME}-\\$0123456789abcdef"


@pytest.mark.parametrize("quotes", ["", "'"])
def test_a_secret_that_begins_with_a_dollar_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quotes: str
) -> None:
    """Breaks if $ecret were taken for the name of a variable, which is unset: /metrics would be open."""
    file = tmp_path / "settings.env"
    names = ("METRICS_TOKEN", "SECRET_KEY", "REDIS_URL", "DATABASE_URL", "SOROBAN_RPC_HEADERS", "AJO_CONTRACT_ID")
    values = dict.fromkeys(names, DOLLARS)
    values["DATABASE_URL"] = f"postgres://ajo:{DOLLARS.replace('{', '%7B').replace('}', '%7D')}@h/n"
    values["SOROBAN_RPC_HEADERS"] = f"X-Key={DOLLARS}"
    file.write_text("".join(f"{name}={quotes}{value}{quotes}\n" for name, value in values.items()))
    monkeypatch.setenv("ENV_FILE", str(file))
    for name in names:
        monkeypatch.setenv(name, "")  # so that what the file sets is taken back after the test
        monkeypatch.delenv(name)
    found = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    for name in ("METRICS_TOKEN", "SECRET_KEY", "REDIS_URL", "AJO_CONTRACT_ID"):
        assert found[name] == DOLLARS
    assert found["DATABASES"]["default"]["PASSWORD"] == DOLLARS
    assert found["SOROBAN_RPC_HEADERS"] == {"X-Key": DOLLARS}


def test_a_variable_that_nothing_reads_is_named_with_its_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.env"
    file.write_text("METRICS_TOKN=0123456789abcdef\nFOO=1\nHTTPS_PROXY=http://proxy\nexport LOG_LEVEL=INFO\n")
    for name in ("METRICS_TOKN", "FOO", "HTTPS_PROXY", "LOG_LEVEL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    assert problems(monkeypatch, ENV_FILE=str(file), REDIS_URI="redis://h", SECRET_KEYS="x", HOSTNAME="web-1") == [
        "FOO: nothing reads it.",
        "METRICS_TOKN: nothing reads it; the nearest setting is METRICS_TOKEN.",
        "SECRET_KEYS: nothing reads it; the nearest setting is SECRET_KEY.",
    ]


def test_a_variable_that_nothing_reads_is_told_and_keeps_nothing_from_starting(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("METRICS_TOKN=0123456789abcdef\n")
    env = os.environ | {"ENV_FILE": str(file)}
    code = "import django; django.setup(); from ajo.conf.checks import refuse_bad_settings; refuse_bad_settings()"
    for command in (["-c", code], ["manage.py", "check"]):
        done = subprocess.run([sys.executable, *command], cwd=BASE_DIR, env=env, capture_output=True, text=True)
        assert done.returncode == 0
        assert "METRICS_TOKN: nothing reads it; the nearest setting is METRICS_TOKEN." in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"DEBUG=off\nMETRICS_TOKEN: hunter2\n", "line 2"),
        (b"  METRICS_TOKEN=hunter2\n", "line 1"),
        (b"METRICS_TOKEN = hunter2\n", "line 1"),
        (b"METRICS_TOKEN=hunter2\xff\n", "not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_file_of_settings_that_cannot_be_read_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, said: str
) -> None:
    """Breaks if a line with spaces were dropped in silence, as django-environ does."""
    file = tmp_path / "settings.env"
    if content is not None:
        file.write_bytes(content)
    found = problems(monkeypatch, ENV_FILE=str(file))
    assert len(found) == 1
    assert found[0].startswith("ENV_FILE: ")
    assert said in found[0]
    assert "hunter2" not in found[0]


def test_options_that_other_libraries_add_to_a_database_s_address_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts print such addresses. Breaks if psycopg were given what it does not know, which is a traceback."""
    added = "pgbouncer=true&schema=public&statement_cache_size=0&sslmode=require&target_session_attrs=read-write"
    assert problems(monkeypatch, DATABASE_URL=f"postgres://u:p@h,i:6432/n?{added}") == []
    database = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))["DATABASES"]["default"]
    kept = {name: value for name, value in database["OPTIONS"].items() if name in parse_qs(added)}
    assert kept == {"sslmode": "require", "target_session_attrs": "read-write"}


def test_the_queue_believes_a_certificate_no_sooner_than_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks with Celery's own default, which believes any."""
    monkeypatch.setenv("REDIS_URL", "rediss://h/0")
    values = runpy.run_path(str(BASE_DIR / "ajo" / "settings.py"))
    broker = Celery(broker=values["CELERY_BROKER_URL"], broker_use_ssl=values["CELERY_BROKER_USE_SSL"])
    assert broker.connection().ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
