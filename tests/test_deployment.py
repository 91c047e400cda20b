"""docker-compose.yml: no engine is at hand, so its form is checked against the compose specification's schema."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ajo.settings import BASE_DIR

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
