"""The files of deploy/, by the tools that will read them.

`make deploy-files`; needs Debian's prometheus (for promtool), caddy and systemd. tests/nginx runs the nginx sample.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from ajo.settings import BASE_DIR
from tests.support.factories import make_configured_checkpoint

DEPLOY = BASE_DIR / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
EXPOSURE = 20  # tenths, of systemd's 0 (locked in) to 100
SUFFIXES = ("_bucket", "_count", "_sum", "_total", "_info", "")


def run(*argv: object, cwd: Path | None = None) -> str:
    done = subprocess.run(list(map(str, argv)), cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_the_alerts_fire_when_they_should(tmp_path: Path) -> None:
    for path in (DEPLOY / "prometheus").iterdir():
        text = path.read_text().replace("/etc/prometheus/", f"{tmp_path}/")
        (tmp_path / path.name).write_text(text)
    (tmp_path / "ajo-metrics-token").write_text("token")
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)
    assert "SUCCESS" in run("promtool", "check", "config", "prometheus.yml", cwd=tmp_path)
    assert "SUCCESS" in run("promtool", "test", "rules", "alerts_test.yml", cwd=tmp_path)


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def test_every_alert_says_what_to_do() -> None:
    assert len(alerts()) > 10
    for alert in alerts():
        assert alert["annotations"]["runbook"], alert["alert"]
        assert alert["labels"]["severity"] in ("page", "ticket")


def expressions() -> list[str]:
    """Every expression of the alerts and of the dashboard."""
    dashboard = json.loads((DEPLOY / "grafana" / "ajo.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    noted = [note["expr"] for note in dashboard["annotations"]["list"]]
    return [alert["expr"] for alert in alerts()] + shown + noted


@pytest.mark.django_db
def test_alerts_and_dashboard_ask_for_metrics_that_are_there(client: Client) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now(), chain_closed_at=timezone.now())
    answer = client.get("/metrics").content.decode()
    known = {f"{family.name}{suffix}" for family in text_string_to_metric_families(answer) for suffix in SUFFIXES}
    known |= {f"{metric.name}{suffix}" for metric in REGISTRY.collect() for suffix in SUFFIXES}
    asked = {name for text in expressions() for name in re.findall(r"\bajo_\w+", text)}
    assert len(asked) > 25
    assert asked - known == set()


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((DEPLOY / "grafana" / "ajo.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_caddy_takes_the_sample(tmp_path: Path) -> None:
    sample = DEPLOY / "caddy" / "Caddyfile"
    assert "Valid configuration" in run("caddy", "validate", "--adapter", "caddyfile", "--config", sample)
    assert run("caddy", "fmt", sample) == sample.read_text()


def unit(path: Path, home: Path) -> Path:
    """A copy of the unit whose programs are there: systemd-analyze looks for them."""
    programs = home / "opt" / ".venv" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("python", "celery"):
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to("/bin/true")
    text = path.read_text()
    assert "/opt/ajo/.venv/bin/" in text
    copy = home / path.name
    copy.write_text(text.replace("/opt/ajo", str(home / "opt")))
    return copy


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_the_unit_and_finds_it_locked_in(path: Path, tmp_path: Path) -> None:
    copy = unit(path, tmp_path)
    assert run("systemd-analyze", "verify", copy) == ""
    run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", copy)


def test_the_units_run_what_compose_runs() -> None:
    compose = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())["services"]
    assert [path.stem for path in UNITS] == ["ajo-beat", "ajo-web", "ajo-worker"]
    commands = {path.stem: re.findall(r"^ExecStart=\S+/(\S+ .*)$", path.read_text(), re.M)[0] for path in UNITS}
    for name in ("worker", "beat"):
        words = [word for word in compose[name]["command"] if word not in ("nice", "-n10")]
        assert commands[f"ajo-{name}"].replace("%H", "%h").split() == words
    assert commands["ajo-web"] == "python -m ajo.web"
    worker = next(path for path in UNITS if path.stem == "ajo-worker").read_text()
    assert "\nNice=10\n" in worker
    assert "\nCPUWeight=20\n" in worker
