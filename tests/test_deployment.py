"""docker-compose.yml, by the compose specification's schema as no engine is at hand, and the requirements."""

import ast
import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from ajo import __version__
from ajo.ops.doctor.database import BACKGROUND_CONNECTIONS
from ajo.settings import BASE_DIR
from tests.support.documents import commands
from tests.support.services import CONTRACT

COMPOSE = BASE_DIR / "docker-compose.yml"


def services() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text())["services"])


def test_the_compose_file_follows_the_specification() -> None:
    # The schema comes with check-jsonschema; nothing is fetched.
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "ok -- validation done")


def interpolated(**env: str) -> dict[str, Any]:
    """The file as compose reads it: `${NAME:-default}` and `${NAME:?message}`."""

    def value(match: re.Match[str]) -> str:
        return env.get(match["name"]) or match["default"] or ""

    text = re.sub(r"\$\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}", value, COMPOSE.read_text())
    return dict(yaml.safe_load(text)["services"])


@pytest.mark.parametrize(
    ("env", "published"),
    [
        ({}, "127.0.0.1:8000:8000"),
        ({"PORT": "8010"}, "127.0.0.1:8010:8010"),
        ({"PORT": "8010", "PUBLISH_ADDRESS": "192.0.2.7"}, "192.0.2.7:8010:8010"),
    ],
)
def test_what_is_published_is_what_links_say_and_on_loopback_unless_asked(env: dict[str, str], published: str) -> None:
    web = interpolated(**env)["web"]
    assert web["ports"] == [published]
    port = str(web["environment"]["PORT"])
    assert port == published.split(":")[-1]
    command = [sys.executable, "-c", "from ajo import settings; print(settings.PUBLIC_URL)"]
    own = {name: text for name, text in os.environ.items() if name != "PUBLIC_URL"}
    said = subprocess.run(command, cwd=BASE_DIR, env=own | {"PORT": port}, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"http://127.0.0.1:{port}"


def test_the_health_check_of_the_web_asks_its_own_port() -> None:
    check = interpolated()["web"]["healthcheck"]["test"]

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever).start()
        codes = []
        for port in (server.server_port, 1):
            command = [sys.executable, *check[2:]]
            done = subprocess.run(command, env=os.environ | {"PORT": str(port)}, capture_output=True, timeout=30)
            codes.append(done.returncode)
        server.shutdown()
    assert codes == [0, 1]


@pytest.mark.parametrize(
    ("interval", "age", "code"), [("", 40, 0), ("", 50, 1), ("60", 200, 0), ('"60"', 200, 0), ("'60'", 220, 1)]
)
def test_the_health_check_of_beat_waits_for_three_intervals(
    tmp_path: Path, interval: str, age: float, code: int
) -> None:
    """With the quotes that compose's raw format leaves around a value."""
    beat = interpolated()["beat"]
    file = tmp_path / "beat"
    file.touch()
    os.utime(file, (time.time() - age,) * 2)
    check = beat["healthcheck"]["test"][-1].replace(beat["environment"]["BEAT_FILE"], str(file))
    command = [sys.executable, "-c", check]
    done = subprocess.run(command, env={"SYNC_INTERVAL": interval}, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (code, "")


def test_images_of_others_are_named_by_digest() -> None:
    used = {service["image"] for service in services().values() if "build" not in service}
    used |= {words.split()[1] for words in (BASE_DIR / "Dockerfile").read_text().splitlines() if words[:5] == "FROM "}
    assert len(used) == 3
    for image in used:
        assert re.fullmatch(r"[a-z]+:[0-9.]+(-[a-z]+)?@sha256:[0-9a-f]{64}", image), image


def test_every_service_is_bounded_in_memory_processes_and_logs() -> None:
    for name, service in services().items():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert 0 < service["pids_limit"] <= 256, name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
    redis = services()["redis"]
    holds = redis["command"][redis["command"].index("--maxmemory") + 1]
    assert int(holds.removesuffix("mb")) < int(redis["mem_limit"].removesuffix("m"))


def test_the_doctor_counts_the_sessions_of_a_workers_processes_and_of_both_heartbeats() -> None:
    command = services()["worker"]["command"]
    assert int(command[command.index("-c") + 1]) + 2 == BACKGROUND_CONNECTIONS
    number = {5: "five"}[BACKGROUND_CONNECTIONS]
    assert f"connections and {number} more" in (BASE_DIR / "docs" / "deployment.md").read_text()


def test_the_worker_yields_to_readers() -> None:
    worker = services()["worker"]
    assert worker["command"][:3] == ["nice", "-n10", "celery"]
    assert worker["cpu_shares"] < 1024 / 4


@pytest.mark.parametrize(
    ("fails", "code", "ran"),
    [("", 0, ["migrate", "first_admin"]), ("first_admin", 0, ["migrate", "first_admin"]), ("migrate", 1, ["migrate"])],
)
def test_a_refused_password_of_the_first_account_keeps_nothing_from_starting(
    tmp_path: Path, fails: str, code: int, ran: list[str]
) -> None:
    (tmp_path / "python").write_text('#!/bin/sh\necho "$2"\ntest "$2" != "$FAILS"\n')
    (tmp_path / "python").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAILS": fails}
    done = subprocess.run(services()["migrate"]["command"], env=env, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout.split()) == (code, ran)


def test_the_guides_measures_are_those_of_the_benchmark_that_it_names() -> None:
    text = (BASE_DIR / "docs" / "deployment.md").read_text()
    found = json.loads((BASE_DIR / "devtools" / "benchmarks" / "results.json").read_text())
    assert f"on commit {found['commit'][:7]} ({found['machine']})" in text
    ours = {measure["name"]: measure["ours"] for measure in found["measures"]}
    counted = ("cached group, one hot key", "cached group, Zipf over 100,000", "304 to If-None-Match",
               "list, page 1 from the edge", "uncached group of ten members", "events to rows, 3,000 a second",
               next(name for name in ours if name.startswith("memory after ")))  # fmt: skip
    timed = ("list, page 1", "list, page 1,000", "p99 while 10,000 events are synced")
    for said in [f"{ours[name]:,.0f} " for name in counted] + [f"{ours[name]:.1f} ms" for name in timed]:
        assert said in text


def test_the_guides_settings_are_accepted(tmp_path: Path) -> None:
    lines = commands("deployment.md", "3. Settings")
    values = {"SECRET_KEY='…'": f"SECRET_KEY='{'k' * 50}'", "METRICS_TOKEN='…'": f"METRICS_TOKEN='{'t' * 50}'",
              "AJO_CONTRACT_ID='C…'": f"AJO_CONTRACT_ID='{CONTRACT}'"}  # fmt: skip
    assert set(values) < set(lines)
    assert all(re.fullmatch("[A-Z_]+='[^']+'", line) for line in lines)
    (tmp_path / "env").write_text("\n".join(values.get(line, line) for line in lines))
    env = {"PATH": os.environ["PATH"], "ENV_FILE": str(tmp_path / "env")}
    check = [sys.executable, "-c", "from ajo.conf.checks import refuse_bad_settings as check; check()"]
    done = subprocess.run(
        check, cwd=BASE_DIR, env=env | {"DJANGO_SETTINGS_MODULE": "ajo.settings"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_of_quoted_settings_is_the_same_to_the_shell_and_to_us(tmp_path: Path) -> None:
    """As the guides have it sourced: breaks without quotes, where a shell takes & for the end of a command."""
    [source] = [line for line in commands("operations.md", "Procedures") if "/etc/ajo/env" in line]
    assert source in commands("deployment.md", "4. Tables and the first account")
    said = {
        "DATABASE_URL": "postgres://ajo:p%23$$HOME`id`@h/ajo?sslmode=verify-full&sslrootcert=/etc/ssl/cert.pem",
        "STELLAR_NETWORK_PASSPHRASE": "Test SDF Network ; September 2015",
        "SOROBAN_RPC_HEADERS": '{"X-Key": "a b\\"}',
    }
    file = tmp_path / "env"
    file.write_text("".join(f"{name}='{value}'\n" for name, value in said.items()))
    show = f"import json, os; print(json.dumps({{name: os.environ[name] for name in {list(said)}}}))"
    shell = f"""{source.replace("/etc/ajo/env", str(file))}; exec '{sys.executable}' -c "{show}" """
    read = "from ajo.conf.env import EnvFile; from pathlib import Path; EnvFile(Path('.')).load(); " + show
    for argv in (["sh", "-euc", shell], [sys.executable, "-c", read]):
        env = {"PATH": os.environ["PATH"], "ENV_FILE": str(file)}
        done = subprocess.run(argv, cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == said


def test_certbot_proves_the_name_where_nginx_serves_it() -> None:
    [certbot] = [line for line in commands("deployment.md", "6. nginx and TLS") if line.startswith("certbot ")]
    root = re.findall(r"acme-challenge/ \{\s+root (\S+);", (BASE_DIR / "deploy" / "nginx" / "ajo.conf").read_text())
    assert re.findall(r"--webroot -w (\S+)", certbot) == root == ["/var/www/html"]


def test_nothing_but_the_web_is_published() -> None:
    assert [name for name, service in services().items() if "ports" in service] == ["web"]


def test_every_lasting_service_has_a_healthcheck() -> None:
    assert [name for name, service in services().items() if "healthcheck" not in service] == ["migrate"]


def test_ours_run_without_rights_and_wait_for_migrations() -> None:
    for name in ("web", "worker", "beat"):
        service = services()[name]
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
    assert "\nUSER ajo\n" in (BASE_DIR / "Dockerfile").read_text()


def test_everything_that_the_image_copies_is_sent_to_the_builder() -> None:
    lines = (BASE_DIR / "Dockerfile").read_text().splitlines()
    copied = {line.split()[1].strip("/") for line in lines if line.startswith("COPY ") and "--from" not in line}
    sent = {line[1:] for line in (BASE_DIR / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent
    assert all(Path(BASE_DIR / name).exists() for name in copied)


def imported(*places: str) -> set[str]:
    """Return the first names of all modules that files in these places import, save relative ones."""
    found = set()
    for place in places:
        root = BASE_DIR / place
        for path in root.rglob("*.py") if root.is_dir() else [root]:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.split(".")[0])
    return found


def distributions(requirements: list[str]) -> set[str]:
    """Return the normalized names; an extra stands for a distribution of its own, as psycopg[pool] for psycopg-pool."""
    names = set()
    for requirement in requirements:
        name, extras = re.fullmatch(r"([\w.-]+)(?:\[([\w,-]+)\])?.*", requirement).groups()  # type: ignore[union-attr]
        names |= {name, *(f"{name}-{extra}" for extra in (extras or "").split(",") if extra)}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


@pytest.mark.parametrize(
    ("places", "extras"),
    [(("manage.py", "ajo", "groups", "contributions"), ()), (("devtools", "tests"), ("run", "dev"))],
)
def test_every_package_that_is_imported_is_declared(places: tuple[str, ...], extras: tuple[str, ...]) -> None:
    project = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    declared = distributions([requirement for each in lists for requirement in each])
    owners = packages_distributions()
    for name in imported(*places) - {"ajo", "groups", "contributions", "devtools", "tests", *sys.stdlib_module_names}:
        assert distributions(owners[name]) & declared, name
    assert extras or "devtools" not in imported(*places)


def test_the_project_and_its_metadata_have_one_version() -> None:
    assert tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_the_image_installs_nothing_of_make_run_and_the_tests() -> None:
    extras = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = {}
    for name in ("requirements.txt", "requirements-run.txt", "requirements-dev.txt"):
        lines = (BASE_DIR / name).read_text().splitlines()
        pinned[name] = {line.split(" ")[0] for line in lines if "==" in line and not line.startswith((" ", "#"))}
    assert pinned["requirements.txt"] < pinned["requirements-run.txt"] < pinned["requirements-dev.txt"]
    # jsonschema and PyYAML are there for drf-spectacular
    only_here = distributions([*extras["run"], *extras["dev"]]) - {"jsonschema", "pyyaml"}
    assert not only_here & distributions([*pinned["requirements.txt"]])


def test_what_is_in_the_env_file_comes_as_it_is() -> None:
    """Breaks if compose put a variable in the place of a `$`, or if the quotes that its raw format leaves were kept."""
    token = "$ecret-$PATH-${HOME}-\\$$0123456789abcdef"
    text = f'# comment\n\nMETRICS_TOKEN={token}\nSTELLAR_NETWORK_PASSPHRASE="Test SDF Network ; September 2015"\n'
    text += f'SECRET_KEY=\'{token * 2}\'\nSOROBAN_RPC_HEADERS={{"X-Key": "a=\'b"}}\n'
    ours = [each for each in services().values() if each["image"] == "ajo"]
    assert [each["env_file"] for each in ours] == [[{"path": ".env", "format": "raw"}]] * len(ours)
    names = ("METRICS_TOKEN", "SECRET_KEY", "STELLAR_NETWORK_PASSPHRASE", "SOROBAN_RPC_HEADERS")
    # raw: each line is a name and a value, nothing is interpreted
    given = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    command = f"import json; from ajo import settings; print(json.dumps([getattr(settings, each) for each in {names}]))"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=BASE_DIR, env=os.environ | given | {"ENV_FILE": os.devnull},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [token, token * 2, "Test SDF Network ; September 2015", {"X-Key": "a='b"}]
